"""The training of a segmenter as the bench runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cemi_analyze.segment.weights import TASK, find_segmenter, named_classes
from cemi_analyze.train.calibration import calibration_of
from cemi_analyze.train.examination import Examination, classes_of, score_names
from cemi_analyze.train.labels import opened_split
from cemi_analyze.train.losses import cross_entropy, dice_loss
from cemi_analyze.train.patches import ViewedPatches
from cemi_analyze.train.recipe import NetworkSettings, SegmenterRecipe
from cemi_analyze.train.views import Views
from cemi_core.errors import InputError
from cemi_core.model.encoder import Encoder
from cemi_core.model.stages import Runtime
from cemi_learn.bench.task import MAIN, Networks, Objective, Provenance, Step, Task
from cemi_learn.data.patches import LabelledPatches
from cemi_learn.data.split import Split
from cemi_learn.digest import digest_of
from cemi_learn.encoders.find import find_encoder
from cemi_learn.encoders.segmentation import (
    SegmentationNetwork,
    architecture_of,
    rebuilt_segmentation_network,
    segmentation_network,
)
from cemi_learn.weights.stored_network import StoredNetwork, read_network, rebuild

_SHOWN = 4
_Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class SegmenterTask(Task[_Batch]):
    """A segmenter in training.

    Attributes
    ----------
    recipe : SegmenterRecipe
    split : Split
        What is trained on, and what is measured on.
    weights_dir : str or None
        Folder with weights to start from.
    """

    name: ClassVar[str] = TASK
    summary: ClassVar[str] = "Weights of a network that gives every pixel of an image a class"
    smaller_is_better = frozenset({"share_error"})

    recipe: SegmenterRecipe
    split: Split
    weights_dir: str | None = None

    @classmethod
    def opened(cls, recipe: SegmenterRecipe, weights_dir: str | None = None) -> SegmenterTask:
        """Return the training that a recipe describes, after reading and checking all its labels.

        Raises
        ------
        InputError
            The labels cannot be trained with, or the weights to start from do not fit.
        """
        task = cls(recipe, opened_split(recipe), weights_dir)
        channels = {len(image.channels) for image in (*task.split.train.images, *task.split.validation.images)}
        wanted = task.network_settings.in_channels
        if channels != {wanted}:
            told = " and ".join(map(str, sorted(channels)))
            raise InputError(f"the images have {told} channels and the network takes {wanted}: set network.in_channels")
        if recipe.views is not None and wanted != 1:
            raise InputError("'views' are for images of one channel: leave it out")
        return task

    @cached_property
    def examination(self) -> Examination:
        """What the network is measured on."""
        chosen = self.recipe.validation
        return Examination.of(self.split.validation, self._views, chosen.views, chosen.seed)

    @cached_property
    def _patches(self) -> ViewedPatches:
        recipe = self.recipe
        patches = LabelledPatches(self.split.train, recipe.patch_px, recipe.batch, recipe.seed, recipe.turned)
        return ViewedPatches(patches, self._views)

    @property
    def _views(self) -> Views | None:
        return None if self.recipe.views is None else Views(**self.recipe.views.model_dump())

    @cached_property
    def _started_from(self) -> StoredNetwork | None:
        if not self.recipe.start_from:
            return None
        stored = read_network(find_segmenter(self.recipe.start_from, self.weights_dir), TASK)
        known = [label.name for label in named_classes(stored)]
        if known != self.recipe.classes:
            raise InputError(
                f"{stored.path} tells {', '.join(known)} apart, and the recipe names {', '.join(self.recipe.classes)}"
            )
        return stored

    @cached_property
    def network_settings(self) -> NetworkSettings:
        """The network of the recipe, or that of the weights that it starts from, or the default."""
        if self.recipe.network is not None:
            return self.recipe.network
        if self._started_from is None:
            return NetworkSettings()
        kept = ("name", "encoder", "in_channels", "decoder_channels")
        made_from = self._started_from.architecture
        return NetworkSettings(**{name: made_from[name] for name in kept if name in made_from}, pretrained=False)

    @property
    def _encoder(self) -> Encoder:
        chosen = self.network_settings
        weights = {} if chosen.encoder_weights is None else {"weights": chosen.encoder_weights}
        return find_encoder(chosen.encoder, Runtime(), **weights)

    def build(self) -> Networks:
        """Return the network: encoder with its own weights, decoder drawn; or that which it starts from."""
        if self._started_from is not None:
            stored = self._started_from
            network = rebuild(stored, rebuilt_segmentation_network)
            return Networks({MAIN: network}, stored.architecture)
        chosen = self.network_settings
        logits = 1 if len(self.recipe.classes) == 2 else len(self.recipe.classes)
        encoder, shape = self._encoder, (logits, chosen.in_channels)
        network = segmentation_network(chosen.name, encoder, *shape, chosen.pretrained, chosen.decoder_channels)
        return Networks({MAIN: network}, architecture_of(chosen.name, encoder, *shape, chosen.decoder_channels))

    def batch(self, step: int) -> _Batch:
        """Return images and classes of a step."""
        return self._patches(step)

    def objectives(self, networks: Mapping[str, nn.Module], batch: _Batch, step: Step) -> Iterator[Objective]:
        """Yield the loss of the network."""
        images, classes = batch
        with step.precision():
            logits = networks[MAIN](images)
        logits = logits.float()
        parts = {}
        if "bce" in self.recipe.loss:
            parts["bce"] = cross_entropy(logits, classes)
        if "dice" in self.recipe.loss:
            parts["dice"] = dice_loss(logits, classes)
        yield Objective(torch.stack(list(parts.values())).sum(), parts)

    def loss_names(self) -> Sequence[str]:
        """Return the columns of the log for losses."""
        return tuple(name for name in ("bce", "dice") if name in self.recipe.loss)

    def score_names(self) -> Sequence[str]:
        """Return the scores: overlap of each class, and how far shares are off."""
        return score_names(self.recipe.classes)

    def examine(self, network: nn.Module) -> Mapping[str, float]:
        """Return the scores on the fields that are set aside."""
        return self.examination.scores(network)

    def examined_on(self) -> str:
        """Return a hash of these fields."""
        return self.examination.digest

    def sample(self, network: nn.Module) -> NDArray[np.uint8]:
        """Return an image with a row for each of the first fields: image, wanted, found."""
        first = Examination(self.examination.fields[:: max(1, len(self.examination.fields) // _SHOWN)][:_SHOWN], ())
        count = len(self.recipe.classes)
        rows = []
        edge = min(min(field.mask.shape) for field in first.fields)
        for field, logits in zip(first.fields, first.logits(network), strict=True):
            grey = np.clip(field.image.mean(0) * 255, 0, 255)
            drawn = [np.clip(of, 0, None) * 255 / (count - 1) for of in (field.mask, classes_of(logits).numpy())]
            rows.append(np.hstack([part[:edge, :edge] for part in (grey, *drawn)]))
        return np.vstack(rows).astype(np.uint8)

    def identity(self) -> Mapping[str, Any]:
        """Return all that the weights depend on: pixels and masks count, not their paths."""
        settings = self.recipe.model_dump(mode="json", exclude={*self.recipe.only_written, "validation", "data"})
        settings["data"] = self.split.train.digest
        settings["start_from"] = Path(self.recipe.start_from).name
        return settings

    def start_digest(self) -> str:
        """Return a hash of the weights that it starts from."""
        if self._started_from is None:
            return ""
        return digest_of(self._started_from.tensors[name].numpy() for name in sorted(self._started_from.tensors))

    def provenance(self) -> Provenance:
        """Return what the card says of data and network."""
        recipe, encoder = self.recipe, self._encoder
        credit = encoder.origin.in_words(encoder.name) if self.network_settings.pretrained else ""
        before = () if self._started_from is None else tuple(self._started_from.card.get("credits", ()))
        return Provenance(
            data=_in_words(self.split.train),
            measured_on=_in_words(self.split.validation),
            settings=recipe.model_dump(mode="json", include={"batch", "patch_px", "loss", "views"}),
            started_from=recipe.start_from,
            credits=(*((credit,) if credit else ()), *before),
        )

    def more_for_card(self, network: nn.Module) -> Mapping[str, Any]:
        """Return the classes, how far the network looks, and what its probabilities are worth."""
        assert isinstance(network, SegmentationNetwork)
        classes = [{"name": label.name, "colour": label.colour} for label in self.split.train.classes]
        return {"classes": classes, **calibration_of(network, self.examination)}

    def use(self) -> str:
        """Return how the weights are used in a recipe."""
        return (
            "In a recipe: `analyze: [{use: segment, with: {weights: PATH}}]`. It knows the kinds of structure, scale "
            "and noise named above; on others, compare its mask with a few that you draw."
        )


def _in_words(data: Any) -> tuple[str, ...]:
    """Return a line for the whole, and one for the specimens in it by kind."""
    kinds: dict[str, int] = {}
    for image in data.images:
        if image.name.rpartition("-")[2].isdigit() and image.name.count("-") >= 2:
            kind = image.name.rsplit("-", 2)[0]
            kinds[kind] = kinds.get(kind, 0) + 1
    told = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
    return (data.summary(), *((f"made fields: {told}",) if told else ()))
