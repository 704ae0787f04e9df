"""Evaluates a pair of frames: the ZNCC of the overlap at the whole shifts around an expected one, on one level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cemi_stitch.correlation.zncc_opencv import template_zncc_on_cpu
from cemi_stitch.frames.filters import shading_sigma_px, without_shading

#: The shortest side of an overlap that can be compared, px of a level.
MIN_SIDE = 8
#: Pixels at the edge of an overlap that are left out where there are enough of them.
EDGE_PX = 4
#: From how many smoothed edges on an overlap can spare them: at full resolution, where they would bias the shift of a
#: thin overlap (0.08 px at 26 px), and on pooled levels, where smoothing reaches less far.
THIN_FINE, THIN_COARSE = 4, 10
#: Pixels of an overlap, at most, that are compared at full resolution; more would add time and no certainty.
MAX_TEMPLATE_PIXELS = 300_000


@dataclass(frozen=True)
class Evaluation:
    """Which shifts to try: ``middle`` give or take ``reach``, (y, x) in px of a level (a pooling factor)."""

    level: int
    middle: tuple[int, int]
    reach: int


@dataclass(frozen=True)
class Surface:
    """ZNCC at each shift, ``surface``, float32 (2 reach + 1, 2 reach + 1), from so many pixels of the level."""

    surface: NDArray[np.float32]
    pixels: int


#: What an evaluation gives: a surface, or the reason why there is none.
Outcome = Surface | str
TOO_SMALL, NO_CONTRAST = "overlap is too small", "overlap has no contrast"


@dataclass(frozen=True)
class Pieces:
    """What is compared: the corners (y, x) of patch and template in their frames, and the template's size."""

    patch: tuple[int, int]
    template: tuple[int, int]
    size: tuple[int, int]


def pieces(first: Sequence[int], second: Sequence[int], evaluation: Evaluation) -> Pieces | None:
    """Return the template in a frame of shape ``second`` and the patch, larger by the reach, in one of ``first``.

    Overlaps thinner than some smoothed edges keep theirs: a little wrong is better than nothing left. None where the
    overlap is too small.
    """
    bounds, spared = [], THIN_FINE if evaluation.level == 1 else THIN_COARSE
    for axis in (0, 1):
        start = max(0, evaluation.reach - evaluation.middle[axis])
        stop = min(second[axis], first[axis] - evaluation.reach - evaluation.middle[axis])
        if stop - start < MIN_SIDE:
            return None
        # Smoothing saw nothing beyond the edge of a frame: what lies there differs between two frames.
        edge = EDGE_PX if stop - start >= spared * EDGE_PX else 0
        bounds.append((start + edge, stop - edge))
    (top, bottom), (left, right) = _middle(bounds)
    corner = (top + evaluation.middle[0] - evaluation.reach, left + evaluation.middle[1] - evaluation.reach)
    return Pieces(corner, (top, left), (bottom - top, right - left))


def _middle(bounds: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the middle of a rectangle given by (start, stop) in y and x, at most about `MAX_TEMPLATE_PIXELS` of it."""
    sides = [stop - start for start, stop in bounds]
    keep = min(1.0, math.sqrt(MAX_TEMPLATE_PIXELS / (sides[0] * sides[1])))
    cut = [int(side * (1 - keep) / 2) for side in sides]
    return [(start + c, stop - c) for (start, stop), c in zip(bounds, cut, strict=True)]


def evaluated(first: Tensor, second: Tensor, evaluation: Evaluation, every: int = 1) -> Outcome:
    """Evaluate two frames (h, w) on the CPU; ``every`` so many rows and columns of the template are enough."""
    cut = pieces(first.shape, second.shape, evaluation)
    if cut is None:
        return TOO_SMALL
    (height, width), sigma = cut.size, shading_sigma_px(second.shape)
    wide = _part(first, cut.patch, (height + 2 * evaluation.reach, width + 2 * evaluation.reach))
    patch, template = (without_shading(part, sigma).numpy() for part in (wide, _part(second, cut.template, cut.size)))
    return outcome(template_zncc_on_cpu(patch, template, every), height * width)


def outcome(surface: NDArray[np.float32], pixels: int) -> Outcome:
    """Return a surface, or the reason why it tells nothing."""
    return Surface(surface, pixels) if surface.any() else NO_CONTRAST


def _part(picture: Tensor, corner: tuple[int, int], size: tuple[int, int]) -> Tensor:
    return picture[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
