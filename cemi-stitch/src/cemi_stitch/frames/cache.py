"""Keeps the frames of a matching task: read once, smoothed, on the device, at full size and pooled."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.model.frame import FrameSource
from cemi_stitch.frames import filters
from cemi_stitch.frames.filters import pooled, smoothed

#: Frames that a task keeps, enough for pairs that are ordered along a pass.
FRAMES_KEPT = 6
#: From this Gaussian on, px, every second row and column tell all: less than 0.4 % of what it lets through is finer.
SMOOTH_PX = 1.5


@dataclass(frozen=True)
class MatchOptions:
    """What a matching task needs to know of settings and machine."""

    smoothing_px: float = 1.5
    device: str = "cpu"
    threads: int = 1
    mirror: tuple[int, ...] = ()
    pattern: NDArray[np.float32] | None = None
    matcher: str = "zncc"
    features: str = "sift"

    @property
    def together(self) -> bool:
        """Whether all pairs of a task are compared at once, as a GPU likes it; else one after the other, by OpenCV."""
        return self.device not in filters.OPENCV_DEVICES


class PreparedFrames:
    """Frames smoothed and on the device, at full size and pooled; the last few kept.

    Parameters
    ----------
    source : FrameSource
    options : MatchOptions
    kept : int
        How many frames are kept.
    keep_raw : bool
        Whether `raw` is asked for.
    """

    def __init__(
        self, source: FrameSource, options: MatchOptions, kept: int = FRAMES_KEPT, keep_raw: bool = False
    ) -> None:
        self._source = source
        self._options = options
        self._most = kept
        self._keep_raw = keep_raw
        self._kept: OrderedDict[int, dict[int, Tensor]] = OrderedDict()

    def shape(self, index: int, factor: int = 1) -> tuple[int, int]:
        """Return height and width of frame ``index`` on the level ``factor``."""
        height, width = self._source.frames[index].shape
        return height // factor, width // factor

    def enough(self, factor: int) -> int:
        """Return how many rows and columns apart pixels of the level ``factor`` still tell all of a frame."""
        return 2 if factor == 1 and self._options.smoothing_px >= SMOOTH_PX else 1

    def level(self, index: int, factor: int) -> Tensor:
        """Return frame ``index``, float32 (h // factor, w // factor), averaged over blocks."""
        levels = self._levels(index)
        if factor not in levels:
            levels[factor] = pooled(levels[1], factor)
        return levels[factor]

    def second(self, index: int, factor: int) -> Tensor:
        """Return frame ``index`` as a pair's second frame: flipped where that destroys every true match."""
        level = self.level(index, factor)
        return level.flip(self._options.mirror) if self._options.mirror else level

    def mirrored(self, axes: tuple[int, ...]) -> PreparedFrames:
        """Return the same frames, kept together with these, with second frames flipped along ``axes``."""
        other = copy(self)
        other._options = replace(self._options, mirror=axes)
        return other

    def raw(self, index: int) -> Tensor:
        """Return frame ``index`` without smoothing, which is kept on request only."""
        return self._levels(index)[0]

    def _levels(self, index: int) -> dict[int, Tensor]:
        if index not in self._kept:
            self._kept[index] = self._read(index)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        return self._kept[index]

    def _read(self, index: int) -> dict[int, Tensor]:
        frame, options = self._source.read(index), self._options
        if options.pattern is not None:
            frame = frame - options.pattern
        levels = {1: smoothed(frame, options.smoothing_px, options.device)}
        if self._keep_raw:
            levels[0] = smoothed(frame, 0.0, options.device)
        return levels
