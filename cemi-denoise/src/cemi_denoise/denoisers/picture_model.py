"""Models of others, read from a file, as filters: padding, alignment of tiles, and how far a model looks."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.errors import InputError
from cemi_denoise.denoisers.once import once
from cemi_denoise.denoisers.placed_filter import PlacedFilter

log = logging.getLogger("cemi")

Picture = NDArray[np.float32]
#: A setting: pixels around a tile, or "auto" for `measured_reach_px`.
Reach = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
REACH_DESCRIPTION = "How far from a pixel the model looks, px; 'auto' tries it out when the model is loaded."
#: Mirrored around a picture, because most models darken or brighten the edges of what they see.
_MARGIN_PX = 32
_CORE_PX = 16
_REACHES_PX = (8, 16, 24, 32, 48, 64, 96, 128)
#: A quarter of a grey level of 255.
_TOLERANCE = 0.25 / 255


@dataclass(frozen=True)
class ModelFile:
    """A file, as it was when last looked at, and the device that its model runs on.

    Attributes
    ----------
    path : str
    modified_ns : int
        When the file was written last.
    device : str
        Such as ``"cpu"`` or ``"cuda:1"``.
    """

    path: str
    modified_ns: int
    device: str

    @classmethod
    def found(cls, path: str, device: str) -> ModelFile:
        """Return a file that is there.

        Raises
        ------
        InputError
            It is not.
        """
        if not Path(path).is_file():
            raise InputError(f"there is no model file {path}; model names the file of a network")
        return cls(path, Path(path).stat().st_mtime_ns, device)


@dataclass(frozen=True)
class PictureModel(PlacedFilter):
    """A model that turns a picture into one of the same size; a subclass gives `run`.

    Parameters
    ----------
    reach_px : int or "auto"
        How far from a pixel it looks, px; "auto" tries it out at first use, once in each process.
    multiple_px : int
        Height and width that it takes are multiples of this.
    """

    reach_px: int | Literal["auto"] = field(default="auto", kw_only=True)
    multiple_px: int = field(default=1, kw_only=True)

    @property
    def file(self) -> ModelFile | None:
        """The file that the model is read from, as it is now; None if there is none."""
        return None

    @property
    def multiple(self) -> int:
        """``multiple_px``; a subclass may know better from the model."""
        return self.multiple_px

    @property
    def reach(self) -> int:
        """``reach_px``, or how far the model looks."""
        if self.reach_px == "auto":
            return _reach_of(replace(self, origin_px=(0, 0)), self.file)
        return self.reach_px

    @abstractmethod
    def run(self, image: Picture) -> Picture:
        """Return a picture (h, w), multiples of `multiple`, as the model changes it."""

    def filter(self, image: Picture, imaged: NDArray[np.bool_] | None) -> Picture:
        """Return the picture, run with mirrored margins on the grid of the whole picture."""
        return run_aligned(self.run, image, self.origin_px, self.multiple)


@once(maxsize=8)
def _reach_of(model: PictureModel, file: ModelFile | None) -> int:
    name = "the model" if file is None else Path(file.path).name
    return measured_reach_px(model.run, model.multiple, name)


def run_aligned(
    run: Callable[[Picture], Picture], image: Picture, origin_px: tuple[int, int], multiple: int
) -> Picture:
    """Return what ``run`` makes of ``image`` padded by mirroring, so that strides begin at multiples of ``multiple``.

    Parameters
    ----------
    run : callable
        ``run(picture) -> picture`` of the same size.
    image : ndarray of float32, shape (h, w)
    origin_px : tuple of int
        (y, x) of its first pixel in the whole picture.
    multiple : int
        Strides, windows or foldings of the model, px.
    """
    margin = -(-_MARGIN_PX // multiple) * multiple
    before = [margin + origin % multiple for origin in origin_px]
    after = [margin + -(size + first) % multiple for size, first in zip(image.shape, before, strict=True)]
    padded = np.pad(image, tuple(zip(before, after, strict=True)), mode="symmetric")
    result = run(np.ascontiguousarray(padded))
    return result[before[0] :, before[1] :][: image.shape[0], : image.shape[1]]


def measured_reach_px(run: Callable[[Picture], Picture], multiple: int = 1, name: str = "the model") -> int:
    """Return how much a tile needs around it so that no pixel differs by more than a quarter of a grey level of 255.

    A noisy picture is run whole and cut around its middle. A model that looks farther than 128 px (some weigh their
    channels by the mean of all they see) is said to the user, because its tiles may show.

    Parameters
    ----------
    run : callable
        See `run_aligned`.
    multiple : int
        See `run_aligned`.
    name : str
        For the message.
    """
    edge = 2 * _REACHES_PX[-1] + 3 * _CORE_PX
    rng = np.random.default_rng(0)
    steps = np.kron(rng.random((edge // 19 + 1,) * 2), np.ones((19, 19)))[:edge, :edge]
    image = np.clip(0.2 + 0.6 * steps + 0.08 * rng.standard_normal(steps.shape), 0, 1).astype(np.float32)
    first = (edge - _CORE_PX) // 2
    core = slice(first, first + _CORE_PX)
    whole = run_aligned(run, image, (0, 0), multiple)[core, core]
    difference = np.inf
    for reach in _REACHES_PX:
        low = first - reach
        around = slice(low, first + _CORE_PX + reach)
        part = run_aligned(run, image[around, around], (low, low), multiple)
        difference = float(np.abs(part[reach : reach + _CORE_PX, reach : reach + _CORE_PX] - whole).max())
        if difference <= _TOLERANCE:
            return reach
    log.warning(
        "%s looks farther than %d px: tiles of a large picture may differ by %.1f grey levels of 255",
        name,
        _REACHES_PX[-1],
        255 * difference,
    )
    return _REACHES_PX[-1]
