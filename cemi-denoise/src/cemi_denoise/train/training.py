"""Training of a denoiser: SEMNET by the absolute error, then SEMGAN by perceptual and adversarial losses as well."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cemi_core.errors import InputError
from cemi_denoise.network.networks import DenoisingNetwork
from cemi_denoise.train.batches import Batch
from cemi_denoise.train.losses import PerceptualLoss, gan_loss


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    The defaults are those of Lang et al. (Microstructures 2025, 5, 2025004): Adam with 1e-4, 40,000 steps, exponential
    moving average 0.999, and for SEMGAN the losses L1 : perceptual : adversarial = 1 : 1 : 0.1.

    Attributes
    ----------
    stage : {"semnet", "semgan"}
        SEMNET is trained by L1 alone.
    steps : int
        Batches in all.
    learning_rate : float
    schedule : {"constant", "cosine"}
        Whether the learning rate falls to a fiftieth along a cosine; short trainings gain by it.
    average : float
        Share of the old weights in the moving average at each step; the average is what is used afterwards.
    grey_error : {"absolute", "squared"}
        What is made small of the difference of grey levels. A noisy target (Noise2Noise) needs the squared error: only
        its mean is the specimen, and counted electrons have another median.
    l1, perceptual, adversarial : float
        Weights of the losses of SEMGAN; the first is that of the error of the grey levels.
    autocast : {"float32", "bfloat16", "float16"}
        Type of the numbers inside the convolutions.
    """

    stage: Literal["semnet", "semgan"] = "semnet"
    steps: int = 40_000
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    average: float = 0.999
    grey_error: Literal["absolute", "squared"] = "absolute"
    l1: float = 1.0
    perceptual: float = 1.0
    adversarial: float = 0.1
    autocast: Literal["float32", "bfloat16", "float16"] = "float32"

    @property
    def grey_name(self) -> str:
        """Name of the error of the grey levels in logs."""
        return {"absolute": "l1", "squared": "l2"}[self.grey_error]

    def rate_at(self, step: int) -> float:
        """Return the learning rate at a step."""
        if self.schedule == "constant":
            return self.learning_rate
        fall = 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1)))
        return self.learning_rate * (0.02 + 0.98 * fall)


class Training:
    """A network in training: its weights, their moving average, the optimisers, and the step that is next.

    Parameters
    ----------
    network : DenoisingNetwork
        Trained in place.
    plan : Plan
    device : str
        A torch device name.
    perceptual_loss : PerceptualLoss, optional
        Needed for SEMGAN.
    discriminator : nn.Module, optional
        Needed for SEMGAN.
    share_gradients : callable, optional
        Called with the parameters after each backward pass; averages their gradients over several processes.
    """

    def __init__(
        self,
        network: DenoisingNetwork,
        plan: Plan,
        device: str = "cpu",
        perceptual_loss: PerceptualLoss | None = None,
        discriminator: nn.Module | None = None,
        share_gradients: Callable[[Iterable[nn.Parameter]], None] | None = None,
    ) -> None:
        self.plan = plan
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), plan.learning_rate)
        self.step_number = 0
        self._share_gradients = share_gradients or (lambda parameters: None)
        # 16-bit floats end at 6e-8, so that small gradients are lost unless the loss is scaled up
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=plan.autocast == "float16")
        self._adversary: _Adversary | None = None
        if plan.stage == "semgan":
            if perceptual_loss is None or discriminator is None:
                raise ValueError("SEMGAN needs a perceptual loss and a discriminator")
            critics = (m.to(self.device, memory_format=torch.channels_last) for m in (perceptual_loss, discriminator))
            self._adversary = _Adversary(*critics, plan)

    def step(self, batch: Batch) -> dict[str, float]:
        """Take one step and return the losses by name.

        Raises
        ------
        InputError
            The loss is no number: the training has diverged.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step_number)
        noisy, target, noise = (part.to(self.device) for part in (batch.noisy, batch.target, batch.noise))
        with self._autocast():
            output = self.network(noisy, noise)
        output = output.float()
        grey = {"absolute": functional.l1_loss, "squared": functional.mse_loss}[self.plan.grey_error](output, target)
        losses = {self.plan.grey_name: grey}
        total = self.plan.l1 * grey
        if self._adversary is not None:
            with self._autocast():
                more = self._adversary.losses_of(output, target)
            total = total + self.plan.perceptual * more["perceptual"] + self.plan.adversarial * more["adversarial"]
            losses |= more
        if not math.isfinite(float(total.detach())):
            raise self._diverged()
        self._descend(total, self.network, self.optimizer)
        if self._adversary is not None:
            with self._autocast():
                losses["discriminator"] = self._adversary.discriminator_loss(output.detach(), target, self.step_number)
            self._descend(losses["discriminator"], self._adversary.discriminator, self._adversary.optimizer)
        self._scaler.update()
        self._follow()
        self.step_number += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to go on, tensors and plain numbers only.

        Raises
        ------
        InputError
            Weights are no numbers: the training has diverged, which the loss of the next step would tell.
        """
        if not all(bool(parameter.isfinite().all()) for parameter in self.average.parameters()):
            raise self._diverged()
        state: dict[str, Any] = {
            "step": self.step_number,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self._scaler.is_enabled():
            state["scaler"] = self._scaler.state_dict()
        if self._adversary is not None:
            state["discriminator"] = self._adversary.discriminator.state_dict()
            state["discriminator_optimizer"] = self._adversary.optimizer.state_dict()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        if self._adversary is not None:
            self._adversary.discriminator.load_state_dict(state["discriminator"])
            self._adversary.optimizer.load_state_dict(state["discriminator_optimizer"])
        self.step_number = int(state["step"])

    def _diverged(self) -> InputError:
        return InputError(f"the training diverged at step {self.step_number}; lower the learning rate")

    def _descend(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._share_gradients(network.parameters())
        self._scaler.step(optimizer)

    def _follow(self) -> None:
        """Let the moving average follow; faster in the beginning, when there is nothing to average yet."""
        share = min(self.plan.average, (1 + self.step_number) / (10 + self.step_number))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - share)

    def _autocast(self) -> torch.autocast:
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.plan.autocast)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


class _Adversary:
    """What SEMGAN's generator is up against, and the discriminator's own training."""

    def __init__(self, perceptual: PerceptualLoss, discriminator: nn.Module, plan: Plan) -> None:
        self.perceptual = perceptual
        self.discriminator = discriminator
        self.plan = plan
        self.optimizer = torch.optim.Adam(discriminator.parameters(), plan.learning_rate)

    def losses_of(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the generator's perceptual and adversarial losses."""
        self.discriminator.requires_grad_(False)
        return {
            "perceptual": self.perceptual(output, target).float(),
            "adversarial": gan_loss(self.discriminator(output).float(), True),
        }

    def discriminator_loss(self, output: Tensor, target: Tensor, step: int) -> Tensor:
        """Return what the discriminator itself is trained to make small at this step."""
        self.discriminator.requires_grad_(True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(step)
        return gan_loss(self.discriminator(target).float(), True) + gan_loss(self.discriminator(output).float(), False)
