"""Several processes that train one network, each on its own device, through the package accelerate.

``accelerate launch --num_processes 4 -m cemi_run.cli train NAME RECIPE --device cuda`` starts them. Each makes batches
of its own; their gradients are averaged, so that all hold the same weights, and the first one writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cemi_core.errors import MissingDependencyError

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Processes:
    """The processes that train together; by default this one alone.

    Attributes
    ----------
    device : str
        Of this process.
    rank, count : int
        Which process this is, and of how many.
    accelerator : accelerate.Accelerator or None
    """

    device: str
    rank: int = 0
    count: int = 1
    accelerator: Any = None

    @property
    def share_gradients(self) -> Callable[[nn.Module], None] | None:
        """What averages the gradients of a network over the processes, or None for one process."""
        return None if self.accelerator is None else self._share

    def own(self, batches: Callable[[int], BatchT]) -> Callable[[int], BatchT]:
        """Return the batches of this process: of as many in a row as there are processes, one."""
        if self.count == 1:
            return batches

        def own(step: int) -> BatchT:
            return batches(step * self.count + self.rank)

        return own

    def any(self, wish: bool) -> bool:
        """Return whether any process wishes something; every process must ask."""
        if self.accelerator is None:
            return wish
        wishes = torch.tensor(float(wish), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wishes, "sum") > 0)

    def _share(self, network: nn.Module) -> None:
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        self._average([*gradients, *_seen_by_norms(network)])

    def _average(self, tensors: list[Tensor]) -> None:
        # one message for all of them: a network has hundreds of small tensors
        mean = self.accelerator.reduce(torch.cat([tensor.reshape(-1) for tensor in tensors]), "mean")
        start = 0
        for tensor in tensors:
            tensor.copy_(mean[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()


def _seen_by_norms(network: nn.Module) -> Iterable[Tensor]:
    """Yield the means and variances that batch normalisation has seen, which each process sees its own of."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            for seen in (module.running_mean, module.running_var):
                if seen is not None:
                    yield seen


def join_processes(device: str) -> Processes:
    """Return the processes that ``accelerate launch`` started together with this one, or this one alone.

    Parameters
    ----------
    device : str
        A torch device name; with several processes its kind alone counts.

    Raises
    ------
    MissingDependencyError
        There are several processes, and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes(device)
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingDependencyError(
            "several processes train one network through the package accelerate: pip install 'cemi-learn[train]'"
        ) from error
    accelerator = Accelerator(cpu=torch.device(device).type == "cpu")
    return Processes(str(accelerator.device), accelerator.process_index, accelerator.num_processes, accelerator)
