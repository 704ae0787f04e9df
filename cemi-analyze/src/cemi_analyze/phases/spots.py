"""A rare phase in one grey level: pores, precipitates, inclusions, found as spots that noise cannot make."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.numeric.noise import noise_std
from cemi_core.numeric.robust import mad_std

#: Smoothing under which spots are looked for, px.
_SEEN_PX = 1.2
#: A spot is this many deviations off the matrix somewhere, and its outline is where half its depth is reached.
_SURE, _FEWEST_PX = 6.0, 5
#: Largest share of the area that spots may have: more is a phase of its own, for which there are other methods.
_MOST = 0.05
#: Widening of a spot until all its blurred border is in, px, and how far inside it shows its own level.
_BORDER_PX, _CORE_PX = 4, 2
_SMALLEST_CORE_PX = 9
#: What is left of the noise, over what should be, above which there is texture.
_TEXTURED = 1.5


@dataclass(frozen=True)
class Spots:
    """Spots of a rare phase.

    Attributes
    ----------
    coverage : ndarray of float32, shape (h, w)
        How much of each pixel is the rare phase; noise makes single pixels exceed 0 to 1, their mean does not.
    mask, around : ndarray of bool, shape (h, w)
        The spots, and they with their blurred borders.
    number : int
    dark : bool
        Whether they are darker than the matrix.
    level_known : bool
        Whether spots are wide enough to show their own grey level; if not, their area is an upper bound.
    systematic : float
        95 % half-width of the share, from the level of the spots.
    """

    coverage: NDArray[np.float32]
    mask: NDArray[np.bool_]
    around: NDArray[np.bool_]
    number: int
    dark: bool
    level_known: bool
    systematic: float


def rare_spots(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> Spots | None:
    """Return the spots of a rare phase in a picture of one grey level; None without any, or with more than 5 %.

    Whether the picture has one grey level `is_one_level` tells.

    The area is that of the mean grey level: what the matrix lacks in and around the spots, over the depth of the
    widest ones. So neither blur nor a threshold moves it.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Without shading.
    valid : ndarray of bool, shape (h, w)
    """
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), _SEEN_PX), np.float32)
    some = smooth[::2, ::2][valid[::2, ::2]].astype(np.float64)
    if not some.size:
        return None
    matrix = float(np.median(some))
    scatter = max(float(mad_std(some, about=matrix)), 1e-6)
    found = [_of_sign(image, smooth, valid, matrix, scatter, dark) for dark in (True, False)]
    dark, bright = (spots for spots in found)
    if dark is None or bright is None:
        return dark or bright
    larger, smaller = (dark, bright) if dark.mask.sum() >= bright.mask.sum() else (bright, dark)
    return larger if smaller.mask.sum() < 0.1 * larger.mask.sum() else None


def is_one_level(image: NDArray[np.float32], valid: NDArray[np.bool_], spots: Spots | None) -> bool:
    """Return whether a picture shows nothing but white noise beside its spots.

    Under a smoothing of 1.2 px white noise keeps 0.235 of its deviation; any texture keeps more.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Without shading.
    valid : ndarray of bool, shape (h, w)
    spots : Spots or None
    """
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), _SEEN_PX), np.float32)
    rest = valid if spots is None else valid & ~spots.around
    left = float(smooth[rest].std(dtype=np.float64))
    return left < _TEXTURED * noise_std(image) / (2 * math.sqrt(math.pi) * _SEEN_PX)


def _of_sign(
    image: NDArray[np.float32],
    smooth: NDArray[np.float32],
    valid: NDArray[np.bool_],
    matrix: float,
    scatter: float,
    dark: bool,
) -> Spots | None:
    sign = np.float32(-1 if dark else 1)
    off = sign * (smooth - np.float32(matrix))
    sure = (off > _SURE * scatter) & valid
    if not sure.any():
        return None
    number, found, stats, _ = cv2.connectedComponentsWithStats(((off > 3 * scatter) & valid).astype(np.uint8))
    labels = np.asarray(found, np.int64)
    height = np.zeros(number)
    np.maximum.at(height, labels[sure], off[sure])
    kept = (height > 0) & (stats[:, cv2.CC_STAT_AREA] >= _FEWEST_PX)
    kept[0] = False
    if not kept.any():
        return None
    inside = kept[labels] & (off > 0.5 * height[labels])
    if inside[valid].mean() > _MOST:
        return None
    square = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BORDER_PX + 1, 2 * _BORDER_PX + 1))
    around = (cv2.dilate(inside.astype(np.uint8), square) > 0) & valid
    core_of = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _CORE_PX + 1, 2 * _CORE_PX + 1))
    core = cv2.erode(inside.astype(np.uint8), core_of) > 0
    level_known = int(core.sum()) >= _SMALLEST_CORE_PX
    pixels = sign * (image[core] - np.float32(matrix)) if level_known else off[inside]
    depth = float(pixels.mean(dtype=np.float64)) if level_known else float(np.quantile(pixels, 0.98))
    beyond = valid & ~around
    here = float(image[beyond].mean(dtype=np.float64)) if beyond.any() else matrix
    coverage = np.where(around, sign * (image - np.float32(here)) / np.float32(depth), np.float32(0))
    share = float(coverage[valid].mean(dtype=np.float64))
    if share <= 0:
        return None
    # The level by the scatter of the spots' cores, and their border followed to half a pixel.
    spread = float(pixels.std(dtype=np.float64)) / depth / math.sqrt(len(pixels))
    return Spots(
        coverage=coverage.astype(np.float32),
        mask=inside,
        around=around,
        number=int(kept.sum()),
        dark=dark,
        level_known=level_known,
        systematic=float(share * (2 * spread + 0.05)),
    )
