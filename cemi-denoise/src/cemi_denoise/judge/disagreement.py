"""Where frames overlap, two denoised views of one place must agree: noise is independent, the specimen is not.

A denoiser that only takes noise away never disagrees with itself more than the raw frames do, at any frequency; one
that makes structure out of noise does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from cemi_core.model.corrections import corrected_frames
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_denoise.judge.metrics import radial_power, ring_frequencies

#: Widths of the Gaussians, px, through which the difference of two views is seen.
SCALES_PX = (0.0, 1.0, 2.0, 4.0)
#: Standard deviations of the noise that a pixel may be off; noise alone exceeds this at 0.27 % of the pixels.
BOUND = 3.0
_WINDOW_PX = 33
_BINS = 16
_SMALLEST_PX = 64


@dataclass(frozen=True)
class Views:
    """Two views of one place, registered: as they came and denoised, all (h, w), on one scale of grey levels."""

    raw: tuple[NDArray[np.float32], NDArray[np.float32]]
    denoised: tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Disagreement:
    """How far two denoised views of one place differ, by what their noise allows.

    Attributes
    ----------
    score : ndarray of float32, shape (h, w)
        Difference of the denoised views over the standard deviation of the raw ones' around, at the scale of
        `SCALES_PX` where it is largest; 0 where the raw views differ more than the denoised ones.
    share : float
        Share of the pixels with a score above `BOUND`.
    frequency, power_ratio : ndarray of float, shape (16,)
        Cycles per px, and the power of the difference of the denoised views over that of the raw ones.
    """

    score: NDArray[np.float32]
    share: float
    frequency: NDArray[np.float64]
    power_ratio: NDArray[np.float64]

    @property
    def highest_ratio(self) -> float:
        """The largest of ``power_ratio``, below 1 for a denoiser that makes nothing out of noise."""
        return float(self.power_ratio.max())


def compare_views(views: Views) -> Disagreement:
    """Return where two denoised views disagree more than the noise of the raw ones allows.

    What moves or brightens one view against the other is in the raw difference as well, and so is no disagreement.

    Parameters
    ----------
    views : Views
        Finite, at least 64 px a side.
    """
    raw, denoised = (pair[0] - pair[1] for pair in (views.raw, views.denoised))
    raw, denoised = raw - raw.mean(), denoised - denoised.mean()
    score = np.zeros(raw.shape, np.float32)
    for scale in SCALES_PX:
        seen_raw, seen = (gaussian_filter(d, scale) if scale else d for d in (raw, denoised))
        allowed = np.sqrt(uniform_filter(seen_raw**2, _WINDOW_PX))
        ratio = np.divide(np.abs(seen), allowed, out=np.zeros_like(score), where=allowed > 0)
        score = np.maximum(score, np.where(np.abs(seen) > np.abs(seen_raw), ratio, 0))
    powers = [radial_power(difference, _BINS) for difference in (raw, denoised)]
    ratio = powers[1] / np.maximum(powers[0], 1e-30)
    return Disagreement(score, float(np.mean(score > BOUND)), ring_frequencies(_BINS), ratio)


def overlapping_pairs(layout: Layout, most: int) -> list[tuple[int, int]]:
    """Return up to ``most`` pairs of frames that lie well and overlap by 64 px or more, spread over the layout."""
    overlaps = (
        (pair.first, pair.second)
        for pair in layout.pairs
        if pair.kept and min(_overlap_px(layout, pair.first, pair.second)) >= _SMALLEST_PX + 2
    )
    pairs = [pair for pair in overlaps if all(layout.affine_of(index) is None for index in pair)]
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).astype(int)) if pairs else []
    return [pairs[index] for index in chosen]


def _overlap_px(layout: Layout, first: int, second: int) -> tuple[float, float]:
    places, sizes = layout.positions_px[[first, second]], layout.shapes[[first, second]]
    height, width = (places + sizes).min(0) - places.max(0)
    return float(height), float(width)


def overlap_views(
    raw: FrameSource, denoised: FrameSource, layout: Layout, pair: tuple[int, int], most_px: int = 512
) -> Views | None:
    """Return the overlap of two frames as both see it, at most ``most_px`` a side; None where pixels are missing.

    The second frame is shifted to the pixels of the first by Lanczos interpolation, raw and denoised alike, and
    brightness is corrected as the layout has it.

    Parameters
    ----------
    raw, denoised : FrameSource
        The same frames.
    layout : Layout
        Of these frames.
    pair : tuple of int
        One of `overlapping_pairs`.
    """
    first, second = pair
    shift = layout.positions_px[second] - layout.positions_px[first]
    top, left = np.maximum(np.ceil(shift), 0).astype(int)
    height, width = (np.floor(np.array(_overlap_px(layout, first, second))) - 1).astype(int)
    top, height = _middle(int(top), int(height), most_px)
    left, width = _middle(int(left), int(width), most_px)
    to_first = np.array([[1, 0, left - shift[1]], [0, 1, top - shift[0]]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    pairs = []
    for source in (raw, denoised):
        one, two = (corrected_frames(source, layout).read(index) for index in pair)
        one = one[top : top + height, left : left + width]
        two = cv2.warpAffine(two, to_first, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        if one.shape != two.shape or not (np.isfinite(one).all() and np.isfinite(two).all()):
            return None
        pairs.append((one, two))
    return Views(*pairs)


def _middle(start: int, size: int, most: int) -> tuple[int, int]:
    """Return the middle ``most`` px of a range as start and size."""
    return (start, size) if size <= most else (start + (size - most) // 2, most)
