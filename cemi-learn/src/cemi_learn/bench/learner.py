"""One step after the other: gradients, optimisers, and the moving average that follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cemi_core.errors import InputError
from cemi_learn.bench.average import moving_average
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.task import MAIN, Objective, Step, Task


class Learner:
    """The networks of a task in training: weights, moving average, optimisers, and the step that is next.

    Parameters
    ----------
    task : Task
    plan : Plan
    device : str
        A torch device name.
    share_gradients : callable, optional
        Called with a network after each backward pass; averages its gradients over several processes.
    rank : int
        Which of these processes this is: each drops out other values.
    """

    def __init__(
        self,
        task: Task[Any],
        plan: Plan,
        device: str = "cpu",
        share_gradients: Callable[[nn.Module], None] | None = None,
        rank: int = 0,
    ) -> None:
        self.task, self.plan = task, plan
        self.device = torch.device(device)
        torch.manual_seed(plan.seed)
        built = task.build()
        self.architecture = dict(built.architecture)
        self.networks = {
            name: network.to(self.device).to(memory_format=torch.channels_last)
            for name, network in built.by_name.items()
        }
        self.trained = {name: net for name, net in self.networks.items() if _wants_gradients(net)}
        for network in self.trained.values():
            network.train()
        self._averaged = moving_average(self.networks[MAIN], plan.average)
        self.optimizers = {name: self._optimizer(name, network) for name, network in self.trained.items()}
        self.step_number = 0
        self._share_gradients = share_gradients or (lambda network: None)
        self._rank = rank
        # 16-bit floats end at 6e-8, so that small gradients are lost unless the loss is scaled up
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=plan.precision == "float16")

    @property
    def network(self) -> nn.Module:
        """The network in training."""
        return self.networks[MAIN]

    @property
    def average(self) -> nn.Module:
        """The moving average of the network, which is what is used afterwards."""
        return self._averaged.module

    def step(self, batch: Any) -> dict[str, float]:
        """Take one step and return the parts of the losses by name.

        Raises
        ------
        InputError
            The loss is not a number: the training has diverged.
        """
        rate = self.plan.rate_at(self.step_number)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("lr_factor", 1.0)
        # what is drawn within a step depends on its number alone, so that a training can be resumed anywhere
        torch.manual_seed(_seed_of(self.plan.seed, self.step_number, self._rank))
        losses: dict[str, Tensor] = {}
        step = Step(self.step_number, self.autocast)
        for objective in self.task.objectives(self.networks, moved(batch, self.device), step):
            self._descend(objective)
            losses |= objective.parts
        self._scaler.update()
        self._follow()
        self.step_number += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to go on, tensors and plain data only.

        Raises
        ------
        InputError
            Weights are not numbers: the training has diverged, which the loss of the next step would tell.
        """
        if not all(bool(parameter.isfinite().all()) for parameter in self.average.parameters()):
            raise self._diverged()
        return {
            "step": self.step_number,
            "networks": {name: network.state_dict() for name, network in self.trained.items()},
            "average": self._averaged.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        KeyError, ValueError, RuntimeError
            It is the state of other networks.
        """
        for name, network in self.trained.items():
            network.load_state_dict(state["networks"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
        self._averaged.load_state_dict(state["average"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        self.step_number = int(state["step"])

    def autocast(self) -> torch.autocast:
        """Return a context in which convolutions compute in the number type of the plan."""
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.plan.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _optimizer(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.task.parameter_groups(name, network), self.plan.learning_rate)

    def _diverged(self) -> InputError:
        return InputError(f"the training diverged at step {self.step_number}; lower the learning rate")

    def _descend(self, objective: Objective) -> None:
        if not math.isfinite(float(objective.total.detach())):
            raise self._diverged()
        network, optimizer = self.trained[objective.network], self.optimizers[objective.network]
        optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(objective.total).backward()
        self._share_gradients(network)
        if self.plan.clip_norm is not None:
            self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), self.plan.clip_norm)
        self._scaler.step(optimizer)

    def _follow(self) -> None:
        self._averaged.update_parameters(self.network)


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _wants_gradients(network: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in network.parameters())


def moved(batch: Any, device: torch.device) -> Any:
    """Return a batch on a device: a tensor, or tensors in tuples, lists, mappings and dataclasses."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(batch, **{f.name: moved(getattr(batch, f.name), device) for f in fields(batch)})
    if isinstance(batch, Mapping):
        return {name: moved(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(moved(value, device) for value in batch)
    return batch
