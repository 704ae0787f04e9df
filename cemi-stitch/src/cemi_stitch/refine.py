"""The fine match: full-resolution shifts of single pairs, from a window down to a fraction of a pixel."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import PairShift
from cemi_stitch.pairs import Window
from cemi_stitch.prepare import prepared
from cemi_stitch.zncc import MIN_CONTRAST, subpixel_peak, template_zncc

#: Prepared frames that a task keeps, enough for pairs that are ordered along a pass.
FRAMES_KEPT = 6
#: Half the window on the coarsest level, and on every finer one, in px of that level.
FIRST_REACH, NEXT_REACH = 6, 2
#: The shortest side of an overlap that can be compared, px.
MIN_SIDE = 12
#: Pixels of an overlap, at most, that are compared at full resolution; more would add time and no certainty.
MAX_TEMPLATE_PIXELS = 300_000
#: Pixels of all patches of one batch on a GPU; on a CPU single pairs stay in the cache.
GPU_BATCH_PIXELS = 16_000_000


@dataclass(frozen=True)
class MatchOptions:
    """What a matching task needs to know of settings and machine."""

    smoothing_px: float = 1.5
    device: str = "cpu"
    threads: int = 1
    mirror: bool = False


def match_windows(source: FrameSource, windows: Sequence[Window], options: MatchOptions) -> list[PairShift]:
    """Read the frames of ``windows`` and return their shifts to a fraction of a pixel, in the same order.

    A module-level function, so that any executor can run it. With ``options.mirror`` the second frames are turned by
    180 degrees, which no true match survives.
    """
    if options.device == "cpu" and torch.get_num_threads() != options.threads:
        torch.set_num_threads(options.threads)
    frames = PreparedFrames(source, options)
    return [match_pair(frames, window, options.mirror) for window in windows]


class PreparedFrames:
    """Frames prepared and on the device, the last few kept."""

    def __init__(self, source: FrameSource, options: MatchOptions) -> None:
        self._source = source
        self._options = options
        self._kept: OrderedDict[int, Tensor] = OrderedDict()

    def __getitem__(self, index: int) -> Tensor:
        """Return frame ``index``, float32 (h, w), prepared; 0 where it is NaN."""
        if index not in self._kept:
            self._kept[index] = prepared(self._source.read(index), self._options.smoothing_px, self._options.device)
            while len(self._kept) > FRAMES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        return self._kept[index]


def match_pair(frames: PreparedFrames, window: Window, mirror: bool = False) -> PairShift:
    """Return the shift of one pair: pyramid search over the window, then a quadratic through the peak."""
    first, second = frames[window.first], frames[window.second]
    second = second.flip((0, 1)) if mirror else second
    shift = [round(s) for s in window.shift_px]
    peak, reach = None, max(window.reach_px)
    for level in _levels(reach):
        half = min(FIRST_REACH, math.ceil(reach / level) + 1) if peak is None else NEXT_REACH
        for _ in range(3 if level == 1 else 1):
            patches = _patches(first, second, shift, half * level, level)
            if patches is None or min(patches[1].shape) < max(MIN_SIDE, level):
                return _unmatched(window, "overlap is too small")
            surface = template_zncc(*[[_pooled(p, level)] for p in patches], half)[0]
            peak = divmod(int(surface.argmax()), 2 * half + 1)
            shift = [s + level * (p - half) for s, p in zip(shift, peak, strict=True)]
            if max(abs(p - half) for p in peak) < half:
                break
    if float(surface.max()) == 0.0 and float(patches[1].std()) < MIN_CONTRAST:
        return _unmatched(window, "overlap has no contrast")
    return _measured(window, shift, surface, peak, patches[1].numel())


def _levels(reach: float) -> list[int]:
    """Return the pooling factors, coarse to fine, ending in 1."""
    level = 1
    while FIRST_REACH * level < reach + 1:
        level *= 2
    return [2**k for k in range(int(math.log2(level)), -1, -1)]


def _patches(
    first: Tensor, second: Tensor, shift: Sequence[int], margin: int, level: int
) -> tuple[Tensor, Tensor] | None:
    """Cut the template out of ``second`` and the patch, larger by ``margin`` on every side, out of ``first``."""
    bounds = []
    for axis in (0, 1):
        start = max(0, margin - shift[axis])
        stop = min(second.shape[axis], first.shape[axis] - margin - shift[axis])
        if stop - start < MIN_SIDE:
            return None
        bounds.append((start, stop))
    (top, bottom), (left, right) = _middle(bounds, MAX_TEMPLATE_PIXELS * level**2)
    patch = first[
        top + shift[0] - margin : bottom + shift[0] + margin, left + shift[1] - margin : right + shift[1] + margin
    ]
    return patch, second[top:bottom, left:right]


def _middle(bounds: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Return the middle part, of at most about ``most`` px, of a rectangle given by (start, stop) in y and x."""
    sides = [stop - start for start, stop in bounds]
    keep = min(1.0, math.sqrt(most / (sides[0] * sides[1])))
    cut = [int(side * (1 - keep) / 2) for side in sides]
    return [(start + c, stop - c) for (start, stop), c in zip(bounds, cut, strict=True)]


def _pooled(patch: Tensor, level: int) -> Tensor:
    if level == 1:
        return patch
    height, width = (int(size) // level * level for size in patch.shape)
    return avg_pool2d(patch[None, None, :height, :width], level)[0, 0]


def _measured(window: Window, shift: Sequence[int], surface: Tensor, peak: tuple[int, int], pixels: int) -> PairShift:
    edge = surface.shape[0] - 1
    if not (0 < peak[0] < edge and 0 < peak[1] < edge):
        return PairShift(
            window.first, window.second, (float(shift[0]), float(shift[1])), float(surface.max()), pixels
        ).dropped("no peak within the window")
    near = surface[peak[0] - 1 : peak[0] + 2, peak[1] - 1 : peak[1] + 2]
    offset, height, curvature = subpixel_peak(near[None])
    quality = min(float(height[0]), 1.0)
    return PairShift(
        window.first,
        window.second,
        (shift[0] + float(offset[0, 0]), shift[1] + float(offset[0, 1])),
        quality,
        pixels,
        _standard_error(quality, float(curvature[0]), pixels),
    )


def _standard_error(quality: float, curvature: float, pixels: int) -> float:
    """Return the standard error of a shift from the height and sharpness of its correlation peak.

    Cramér-Rao bound for two pictures with equal noise: variance = 2 (1 - q) / (q'' n), q'' being the curvature of the
    peak and n the number of independent pixels; smoothing leaves about one in 4 pi sigma^2, taken as 28 (sigma = 1.5
    px).
    """
    if curvature <= 0:
        return float("nan")
    return math.sqrt(2 * max(1 - quality, 1e-4) * 28 / (curvature * pixels))


def _unmatched(window: Window, reason: str) -> PairShift:
    return PairShift(window.first, window.second, window.shift_px, 0.0).dropped(reason)
