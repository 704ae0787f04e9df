"""What a segmenter is worth while it is trained: overlap and share on fields that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cemi_analyze.train.views import Views
from cemi_learn.data.labelled import IGNORED, LabelledSet
from cemi_learn.digest import digest_of

#: Fields are cut to so many pixels a side, so that a measurement takes seconds.
_LARGEST_PX = 512


@dataclass(frozen=True)
class Field:
    """A field that is measured: image (c, h, w), mask (h, w)."""

    image: NDArray[np.float32]
    mask: NDArray[np.int64]


@dataclass(frozen=True)
class Examination:
    """Fields that a network is measured on, again and again.

    Attributes
    ----------
    fields : tuple of Field
    classes : tuple of str
    """

    fields: tuple[Field, ...]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, data: LabelledSet, views: Views | None, count: int, seed: int) -> Examination:
        """Return the middle of each image of a set, in ``count`` views."""
        fields = []
        for number, image in enumerate(data.images):
            (height, width), edge = image.shape, _LARGEST_PX
            top, left = max(0, (height - edge) // 2), max(0, (width - edge) // 2)
            where = slice(top, top + edge), slice(left, left + edge)
            pixels, mask = image.channels[(slice(None), *where)], image.mask[where].astype(np.int64)
            for view in range(count if views is not None else 1):
                shown, of = pixels, mask
                if views is not None:
                    rng = np.random.default_rng((seed, number, view))
                    plane, of = views(pixels[0], mask, rng)
                    shown = plane[None]
                fields.append(Field(shown, of))
        return cls(tuple(fields), tuple(label.name for label in data.classes))

    @cached_property
    def digest(self) -> str:
        """Hash of what is measured on."""
        return digest_of(part for field in self.fields for part in (field.image, field.mask))

    def logits(self, network: nn.Module) -> list[Tensor]:
        """Return the answer (k, h, w) of a network for each field."""
        device = next(network.parameters()).device
        was = network.training
        network.eval()
        with torch.inference_mode():
            found = [network(torch.from_numpy(field.image[None]).to(device))[0].float().cpu() for field in self.fields]
        network.train(was)
        return found

    def scores(self, network: nn.Module) -> dict[str, float]:
        """Return the overlap (IoU) of each class beyond the first, and how far shares are off."""
        found = [classes_of(logits).numpy() for logits in self.logits(network)]
        masks = [field.mask for field in self.fields]
        return scores_of(found, masks, self.classes)


def classes_of(logits: Tensor) -> Tensor:
    """Return the likeliest class (h, w) for logits (k, h, w)."""
    return (logits[0] > 0).long() if logits.shape[0] == 1 else logits.argmax(0)


def probabilities_of(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the probability of each class (classes, h, w) for logits (k, h, w)."""
    if logits.shape[0] == 1:
        of_second = (logits / temperature).sigmoid()
        return torch.cat([1 - of_second, of_second])
    return (logits / temperature).softmax(0)


def scores_of(
    found: Sequence[NDArray[np.int64]], masks: Sequence[NDArray[np.int64]], classes: Sequence[str]
) -> dict[str, float]:
    """Return ``iou_NAME`` over all pixels of all fields, and ``share_error``: the rms over fields and classes."""
    scores: dict[str, float] = {}
    off = []
    for index, name in enumerate(classes[1:], start=1):
        both = either = 0
        for answer, mask in zip(found, masks, strict=True):
            said = mask != IGNORED
            both += int(((answer == index) & (mask == index)).sum())
            either += int((((answer == index) | (mask == index)) & said).sum())
            if said.any():
                off.append(float((answer[said] == index).mean() - (mask[said] == index).mean()))
        scores[f"iou_{name}"] = both / either if either else 1.0
    scores["share_error"] = float(np.sqrt(np.mean(np.square(off)))) if off else 0.0
    return scores


def score_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the scores of these classes."""
    return (*(f"iou_{name}" for name in classes[1:]), "share_error")
