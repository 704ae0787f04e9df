"""Images that stand alone: nothing is matched or joined, and the mosaic shows them side by side on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.mosaic import Box, Patch
from cemi_core.model.settings import Settings
from cemi_core.model.stages import PlaceContext, Runtime

#: A row of the sheet may be so many times as wide as one of images of mean width.
_MAX_UNEVEN = 1.5


class SeparateSettings(Settings):
    """How the sheet is laid out; no number that is measured depends on it."""

    gap_px: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Empty pixels between two images, so that a filter on the sheet mixes none.",
    )


@dataclass(frozen=True)
class SeparateStitcher:
    """Puts images side by side, row by row in their order, on a sheet that is nearly square.

    Parameters
    ----------
    settings : SeparateSettings, optional
    """

    settings: SeparateSettings = field(default_factory=SeparateSettings)

    def place(self, frames: FrameSource, context: PlaceContext) -> Layout:
        """Return the layout of the sheet: each image is a component of its own, at a whole pixel."""
        shapes = np.array([frame.shape for frame in frames.frames], np.int64).reshape(-1, 2)
        count = len(shapes)
        return Layout(
            positions_px=sheet_positions_px(shapes, self.settings.gap_px),
            shapes=shapes,
            component=np.arange(count),
            residual_px=np.full(count, np.nan),
            gain=np.ones(count),
            offset=np.zeros(count),
            placed_by_prior=np.zeros(count, bool),
        )

    def blend(self, patches: Sequence[Patch], box: Box) -> NDArray[np.float32]:
        """Return the sheet in ``box``: each image as it is, float32; NaN between them."""
        sheet = np.full((box.height, box.width), np.nan, np.float32)
        for patch in patches:
            whole = Box(round(patch.y_px), round(patch.x_px), *patch.image.shape)
            part = whole.within(box)
            there = Box(part.y - box.y, part.x - box.x, part.height, part.width)
            here = Box(part.y - whole.y, part.x - whole.x, part.height, part.width)
            sheet[there.slices] = patch.image[here.slices]
        return sheet


def sheet_positions_px(shapes: NDArray[np.int64], gap_px: int) -> NDArray[np.float64]:
    """Return where the images of a sheet begin, (y, x) in px: row by row, each row as high as its highest image.

    Parameters
    ----------
    shapes : ndarray of int, shape (n, 2)
        (height, width) of each image, px.
    gap_px : int
        Empty pixels between two images.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    steps = shapes + gap_px
    in_a_row = math.ceil(math.sqrt(steps.prod(axis=1).sum()) / steps[:, 1].mean()) if len(steps) else 1
    widest = max(_MAX_UNEVEN * in_a_row * steps[:, 1].mean(), steps[:, 1].max(initial=0)) if len(steps) else 0
    positions = np.zeros((len(shapes), 2))
    y, x, row_height, in_row = 0, 0, 0, 0
    for number, (height, width) in enumerate(steps.tolist()):
        if in_row and (in_row == in_a_row or x + width > widest):
            y, x, row_height, in_row = y + row_height, 0, 0, 0
        positions[number] = y, x
        x, row_height, in_row = x + width, max(row_height, height), in_row + 1
    return positions


def make(settings: SeparateSettings, runtime: Runtime) -> SeparateStitcher:
    """Make the stitcher for a recipe."""
    return SeparateStitcher(settings)
