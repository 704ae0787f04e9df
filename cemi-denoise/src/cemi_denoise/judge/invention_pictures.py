"""Pictures of the checks against invention: what came, what was made of it, and what is odd about that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemi_denoise.judge.disagreement import BOUND, Views

_PANEL_PX = 256
_GAP_PX = 6
_MARK = np.array([255, 120, 0], np.float32)
Rgb = NDArray[np.uint8]


def uncertainty_picture(image: NDArray[np.float32], mean: NDArray[np.float32], spread: NDArray[np.float32]) -> Rgb:
    """Return input, output, and the output coloured where the spread nears the noise.

    Parameters
    ----------
    image, mean : ndarray of float32, shape (h, w)
        Grey levels.
    spread : ndarray of float32, shape (h, w)
        In units of the noise; 1 is full colour.
    """
    low, high = _range(image)
    return _side_by_side(
        [_grey(image, low, high), _grey(mean, low, high), _coloured(_grey(mean, low, high), spread)],
        enlarged=2 if max(image.shape) <= _PANEL_PX // 2 else 1,
    )


def disagreement_picture(views: Views, score: NDArray[np.float32]) -> Rgb:
    """Return the two denoised views at their worst place, and the first coloured where they disagree."""
    box = _worst_box(score > BOUND)
    first, second = (view[box] for view in views.denoised)
    low, high = _range(first)
    marked = _coloured(_grey(first, low, high), np.clip((score[box] - BOUND) / BOUND, 0, 1) + (score[box] > BOUND) / 2)
    return _side_by_side([_grey(first, low, high), _grey(second, low, high), marked])


def residual_picture(image: NDArray[np.float32], denoised: NDArray[np.float32], residual: NDArray[np.float32]) -> Rgb:
    """Return the middle of input, output, and of the residual in units of the noise, grey from -4 to 4."""
    top, left = (max(0, (size - _PANEL_PX) // 2) for size in image.shape)
    box = slice(top, top + _PANEL_PX), slice(left, left + _PANEL_PX)
    low, high = _range(image[box])
    panels = [_grey(image[box], low, high), _grey(denoised[box], low, high), _grey(residual[box], -4, 4)]
    return _side_by_side(panels)


def _worst_box(marked: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the square of `_PANEL_PX` that holds the most marked pixels, to a quarter of its edge."""
    total = np.pad(marked.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    edges = [min(_PANEL_PX, size) for size in marked.shape]
    starts = [range(0, size - edge + 1, _PANEL_PX // 4) for size, edge in zip(marked.shape, edges, strict=True)]

    def inside(top: int, left: int) -> int:
        bottom, right = top + edges[0], left + edges[1]
        return int(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left])

    top, left = max(((y, x) for y in starts[0] for x in starts[1]), key=lambda place: inside(*place))
    return slice(top, top + edges[0]), slice(left, left + edges[1])


def _range(image: NDArray[np.float32]) -> tuple[float, float]:
    low, high = np.percentile(image, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-3))


def _grey(image: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Return an image as RGB (h, w, 3), 0 to 255."""
    return np.repeat((255 * np.clip((image - low) / (high - low), 0, 1))[..., None], 3, axis=2).astype(np.float32)


def _coloured(picture: NDArray[np.float32], amount: NDArray[np.float32]) -> NDArray[np.float32]:
    share = np.clip(amount, 0, 1)[..., None]
    return (1 - share) * picture + share * _MARK


def _side_by_side(panels: list[NDArray[np.float32]], enlarged: int = 1) -> Rgb:
    gap = np.full((panels[0].shape[0], _GAP_PX, 3), 255, np.float32)
    row = [part for panel in panels for part in (panel, gap)][:-1]
    joined = np.rint(np.concatenate(row, axis=1)).astype(np.uint8)
    return np.repeat(np.repeat(joined, enlarged, 0), enlarged, 1)
