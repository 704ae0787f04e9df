"""The training of a denoiser as the bench runs it: SEMNET by the error of the grey levels, SEMGAN by three losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cemi_core.plugins.manager import registry
from cemi_denoise.network.networks import DenoisingNetwork
from cemi_denoise.network.runner import measured_context_px
from cemi_denoise.train.batches import Batch
from cemi_denoise.train.losses import gan_loss
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.scores import Examination, choose_metrics, sample_sheet
from cemi_denoise.train.sources import OpenedData, open_training_data, open_validation_data
from cemi_denoise.train.start import start_digest, start_networks
from cemi_learn.bench.task import MAIN, Networks, Objective, Provenance, Step, Task


@dataclass(frozen=True)
class DenoiserTask(Task[Batch]):
    """A denoising network in training.

    Attributes
    ----------
    recipe : TrainingRecipe
    data : OpenedData
        What is trained on.
    examination : Examination or None
        What is measured on.
    weights_dir : str or None
        Folder with weights to start from, and of the perceptual loss.
    """

    name: ClassVar[str] = "denoiser"

    recipe: TrainingRecipe
    data: OpenedData
    examination: Examination | None
    weights_dir: str | None = None

    @classmethod
    def opened(cls, recipe: TrainingRecipe, weights_dir: str | None = None) -> DenoiserTask:
        """Return the training that a recipe describes, after reading all its images.

        Raises
        ------
        InputError
            An image cannot be read, none can be used, or a metric is not here.
        """
        data, checked, examination = open_training_data(recipe), open_validation_data(recipe), None
        if recipe.validation is not None and checked is not None:
            held = tuple(checked.batches(index) for index in range(recipe.validation.batches))
            metrics = choose_metrics(recipe.validation.metrics, weights_dir)
            examination = Examination(held, metrics, checked.summary)
        return cls(recipe, data, examination, weights_dir)

    @property
    def summary(self) -> str:  # type: ignore[override]
        """What the card begins with."""
        return f"Weights of a network that takes the noise out of SEM images ({self.recipe.stage.upper()})"

    @property
    def grey_error(self) -> Literal["absolute", "squared"]:
        """What is made small of the difference of grey levels.

        A noisy target (Noise2Noise) needs the squared error: only its mean is the specimen, and counted electrons have
        another median.
        """
        chosen = self.recipe.losses.grey_error
        if chosen == "auto":
            return "absolute" if self.recipe.data.overlaps is None else "squared"
        return chosen

    def build(self) -> Networks:
        """Return the network, and for SEMGAN the perceptual loss and the discriminator."""
        return start_networks(self.recipe, self.weights_dir)

    def batch(self, step: int) -> Batch:
        """Return the patches of a step."""
        return self.data.batches(step)

    def objectives(self, networks: Mapping[str, nn.Module], batch: Batch, step: Step) -> Iterator[Objective]:
        """Yield the loss of the network, then that of the discriminator."""
        weights = self.recipe.losses
        with step.precision():
            output = networks[MAIN](batch.noisy, batch.noise)
        output = output.float()
        error = {"absolute": functional.l1_loss, "squared": functional.mse_loss}[self.grey_error]
        grey = error(output, batch.target)
        if self.recipe.stage == "semnet":
            yield Objective(weights.l1 * grey, {self._grey_name: grey})
            return
        perceptual, adversarial = self._seen(networks, output, batch.target, step)
        total = weights.l1 * grey + weights.perceptual * perceptual + weights.adversarial * adversarial
        yield Objective(total, {self._grey_name: grey, "perceptual": perceptual, "adversarial": adversarial})
        discriminator = networks["discriminator"].requires_grad_(True)
        with step.precision():
            real = gan_loss(discriminator(batch.target).float(), True)
            told_apart = real + gan_loss(discriminator(output.detach()).float(), False)
        yield Objective(told_apart, {"discriminator": told_apart}, "discriminator")

    @staticmethod
    def _seen(networks: Mapping[str, nn.Module], output: Tensor, target: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Return how VGG19 and how the discriminator see what the network made."""
        discriminator = networks["discriminator"].requires_grad_(False)
        with step.precision():
            perceptual = networks["perceptual"](output, target).float()
            return perceptual, gan_loss(discriminator(output).float(), True)

    @property
    def _grey_name(self) -> str:
        return {"absolute": "l1", "squared": "l2"}[self.grey_error]

    def loss_names(self) -> Sequence[str]:
        """Return the columns of the log for losses."""
        more = ("perceptual", "adversarial", "discriminator") if self.recipe.stage == "semgan" else ()
        return (self._grey_name, *more)

    def score_names(self) -> Sequence[str]:
        """Return the metrics of ``validation``."""
        return () if self.examination is None else tuple(self.examination.metrics)

    def examine(self, network: nn.Module) -> Mapping[str, float]:
        """Return the mean of each metric over the patches of ``validation``."""
        assert self.examination is not None and isinstance(network, DenoisingNetwork)
        return self.examination.scores(network)

    def baseline(self) -> Mapping[str, float]:
        """Return the metrics of the noisy patches themselves."""
        return {} if self.examination is None else self.examination.scores(None)

    def examined_on(self) -> str:
        """Return a hash of the patches of ``validation``."""
        return "" if self.examination is None else self.examination.digest

    def better(self, score: str, new: float, old: float) -> bool:
        """Return whether a metric is better, as its description says; a ratio is the better the nearer it is to 1."""
        wanted = registry().metrics.get(score).description.better
        if wanted == "1":
            return abs(new - 1) < abs(old - 1)
        return new > old if wanted == "higher" else new < old

    def sample(self, network: nn.Module) -> NDArray[np.uint8]:
        """Return an image with a row for each of the first patches: noisy, denoised, target."""
        assert isinstance(network, DenoisingNetwork)
        return sample_sheet(network, self.examination.batches[0] if self.examination is not None else self.batch(0))

    def identity(self) -> Mapping[str, Any]:
        """Return all that the weights depend on: the pixels count, not their paths, since folders may be moved."""
        settings = self.recipe.model_dump(mode="json", exclude={*self.recipe.only_written, "validation"})
        for mode, names in (("sem", ("noise_of",)), ("pairs", ("ld", "hd")), ("overlaps", ("run",))):
            for name in names:
                (settings["data"][mode] or {}).pop(name, None)
        settings["data"].pop("images")
        settings["data"]["pixels"] = self.data.digest
        settings["start_from"] = Path(self.recipe.start_from).name
        return settings

    def start_digest(self) -> str:
        """Return a hash of the weights in ``start_from``."""
        return start_digest(self.recipe, self.weights_dir)

    def provenance(self) -> Provenance:
        """Return what the card says of the data, the losses and the start."""
        recipe = self.recipe
        kept = {"stage", "batch", "patch_px"} | (
            {"losses", "discriminator_features"} if recipe.stage == "semgan" else set()
        )
        return Provenance(
            data=self.data.summary,
            measured_on=() if self.examination is None else self.examination.summary,
            settings=recipe.model_dump(mode="json", include=kept),
            started_from=recipe.start_from,
        )

    def more_for_card(self, network: nn.Module) -> Mapping[str, Any]:
        """Return how far the network looks."""
        assert isinstance(network, DenoisingNetwork)
        return {"context_px": measured_context_px(network)}

    def use(self) -> str:
        """Return how the weights are used in a recipe."""
        return (
            f"In a recipe: `denoise: [{{use: {self.recipe.stage}, with: {{weights: PATH}}}}]`. It has learnt the kinds "
            "of structure and noise named above; on others, compare a denoised image with a slow scan of the same "
            "field."
        )

    def too_much(self, device: str) -> str:
        """Return what to lower when a batch does not fit into memory."""
        return (
            f"a batch of {self.recipe.batch} patches of {self.recipe.patch_px} px does not fit into the memory of "
            f"{device}; lower 'batch' or 'patch_px', or set precision: bfloat16"
        )
