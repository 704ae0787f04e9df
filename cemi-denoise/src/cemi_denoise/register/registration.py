"""Registration of two pictures of one field, to a small fraction of a pixel, with slow distortion if wanted.

Three steps: the whole-pixel shift by zero-mean normalised cross-correlation (ZNCC) over all shifts; the polynomial
under which blocks together correlate best; and least squares over all pixels (Gauss-Newton).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize

from cemi_core.numeric.robust import cauchy_weights, mad_std
from cemi_core.numeric.significance import significance
from cemi_core.numeric.zncc import overlap_zncc, shift_at
from cemi_denoise.register.warp import Warp, terms

Picture = NDArray[np.float32]

#: Gaussian that frames are smoothed with before they are compared, px; it leaves one independent pixel in 28.
SMOOTHING_PX = 1.5
#: Fisher's z times the root of the pixels that chance does not reach over the shifts of a field.
CHANCE = 25.0
_BLOCK_PX = 128
_STEPS = 20
_MOST_PIXELS = 1_000_000
_FINE_ENOUGH_PX = 0.002


@dataclass(frozen=True)
class Match:
    """The whole-pixel shift between two pictures.

    Attributes
    ----------
    shift_px : tuple of int
        (dy, dx): pixel (y, x) of the first lies at (y + dy, x + dx) of the second.
    quality : float
        ZNCC of the common field, -1 to 1.
    pixels : int
        Size of the common field.
    """

    shift_px: tuple[int, int]
    quality: float
    pixels: int

    @property
    def significance(self) -> float:
        """Fisher's z times the root of the pixels."""
        return float(significance(self.quality, self.pixels))


def is_significant(quality: float, pixels: int) -> bool:
    """Return whether a correlation of smoothed pictures is more than chance."""
    return Match((0, 0), quality, pixels).significance >= CHANCE


def comparable(image: Picture, smoothing_px: float = SMOOTHING_PX) -> Picture:
    """Return a picture (h, w) smoothed against noise and without slow shading, mean about 0."""
    fine = cv2.GaussianBlur(image, (0, 0), smoothing_px, borderType=cv2.BORDER_REFLECT)
    slow_px = max(8.0, min(image.shape) / 10)
    step = max(1, int(slow_px / 4))
    small = cv2.resize(fine, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), slow_px / step, borderType=cv2.BORDER_REFLECT)
    return fine - cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR)


def whole_pixel_match(first: Picture, second: Picture, smallest_share: float = 0.25) -> Match:
    """Return the shift of highest ZNCC over all shifts, normalised over the overlap at each.

    Padfield, IEEE Trans. Image Process. 21 (2012) 2706.

    Parameters
    ----------
    first, second : ndarray of float32, shapes (h, w) and (h', w')
        As `comparable` gives them; they may differ in size.
    smallest_share : float
        Smallest common field, as a share of the smaller picture.
    """
    # A match's shift goes from pixels of the first to the second; `overlap_zncc` gives the place of its second picture.
    quality, count = overlap_zncc(second, first, smallest_share * min(first.size, second.size))
    best = int(np.argmax(quality))
    return Match(
        shift_at(best, second.shape, quality.shape), float(min(quality.flat[best], 1.0)), int(count.flat[best])
    )


def fit_warp(first: Picture, second: Picture, start: Warp, order: int, reach_px: int = 12) -> Warp:
    """Return the warp from the first picture to the second that fits best near a start.

    Parameters
    ----------
    first, second : ndarray of float32, shapes (h, w) and (h', w')
        As `comparable` gives them; the second the quieter one.
    start : Warp
        Right to within ``reach_px`` anywhere.
    order : int
        Order of the polynomial that is fitted.
    reach_px : int
        How far around the start each block is looked for; 0 to go on from the start at once.
    """
    warp = start
    if reach_px > 0:
        blocks = _score_blocks(first, second, start, reach_px)
        for blur_px, step_order in ((reach_px / 4, min(order, 1)), (reach_px / 8, order), (0.0, order)):
            warp = _climb(blocks, warp.raised(max(step_order, warp.order)), blur_px)
    warp = warp.raised(max(order, warp.order))
    basis = _basis(warp)
    for _ in range(_STEPS):
        step = _newton_step(first, second, warp, basis)
        warp = Warp(warp.coefficients + step, warp.order, warp.shape)
        if np.abs(step).max() < _FINE_ENOUGH_PX:
            break
    return warp


@dataclass(frozen=True)
class _Blocks:
    """How well blocks of the first picture fit at whole-pixel shifts around where they are expected.

    middle (n, 2): (y, x) in the first picture; origin (n, 2): shift of the first score; scores (n, k, k): the logarithm
    of how likely a shift is. A block of parallel lamellae has a ridge, which tells nothing along them; so the blocks
    are not reduced to their best shifts.
    """

    middle: NDArray[np.float64]
    origin: NDArray[np.float64]
    scores: Picture


def _score_blocks(first: Picture, second: Picture, warp: Warp, reach: int) -> _Blocks:
    side = min(_BLOCK_PX, *(n // 2 for n in first.shape))
    middles, origins, scores = [], [], []
    rows, columns = (np.unique(np.linspace(0, n - side, 2 * (-(-n // side)) - 1).astype(int)) for n in first.shape)
    for top in rows:
        for left in columns:
            middle = np.array([top, left]) + (side - 1) / 2
            y, x = np.rint(warp.displacement(*middle)).astype(int) + np.array((top - reach, left - reach))
            around = second[max(y, 0) : y + side + 2 * reach, max(x, 0) : x + side + 2 * reach]
            if y < 0 or x < 0 or around.shape != (side + 2 * reach,) * 2:
                continue
            zncc = cv2.matchTemplate(around, first[top : top + side, left : left + side], cv2.TM_CCOEFF_NORMED)
            middles.append(middle)
            origins.append((y - top, x - left))
            scores.append(-np.log1p(-(np.clip(zncc, 0, 0.99) ** 2)))
    if not scores:
        return _Blocks(np.empty((0, 2)), np.empty((0, 2)), np.empty((0, 1, 1), np.float32))
    return _Blocks(np.array(middles), np.array(origins, float), np.array(scores))


def _climb(blocks: _Blocks, warp: Warp, blur_px: float) -> Warp:
    """Return the warp at which the blocks' scores, blurred by ``blur_px``, have the greatest sum."""
    if len(blocks.scores) == 0:
        return warp
    surface = gaussian_filter(blocks.scores, (0, blur_px, blur_px)) if blur_px else blocks.scores
    slopes = np.gradient(surface, axis=(1, 2))
    basis = np.stack(terms(blocks.middle[:, 0], blocks.middle[:, 1], warp.order, warp.shape))
    number = np.arange(len(surface))

    inside = surface.shape[-1] - 1.0
    steep = float(surface.max())

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        place = (flat.reshape(2, -1) @ basis).T - blocks.origin
        outside = place - np.clip(place, 0, inside)  # nothing is known there; a slope leads back
        at = np.stack([number, *place.T])
        height, *slope = (map_coordinates(s, at, order=1, mode="nearest") for s in (surface, *slopes))
        uphill = np.stack(slope) - 2 * steep * outside.T
        return -float(height.sum()) + steep * float((outside**2).sum()), -(uphill @ basis.T).ravel()

    found = minimize(loss, warp.coefficients.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return Warp(found.x.reshape(2, -1), warp.order, warp.shape)


def _basis(warp: Warp) -> Picture:
    """Return the terms of the polynomial at every pixel, (terms, h, w)."""
    rows, columns = (np.arange(side, dtype=float) for side in warp.shape)
    parts = terms(rows[:, None], columns[None, :], warp.order, warp.shape)
    return np.stack([np.broadcast_to(part, warp.shape) for part in parts]).astype(np.float32)


def _newton_step(first: Picture, second: Picture, warp: Warp, basis: Picture) -> NDArray[np.float64]:
    """Return the change of the coefficients that least squares ask for; gain and offset are solved for beside it."""
    places = np.indices(first.shape, np.float32) + np.tensordot(warp.coefficients.astype(np.float32), basis, 1)
    moved = cv2.remap(second, places[1], places[0], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    inside = np.logical_and.reduce([(p > 2) & (p < n - 3) for p, n in zip(places, second.shape, strict=True)])
    inside[[0, -1]] = inside[:, [0, -1]] = False
    step = max(1, math.isqrt(inside.size // _MOST_PIXELS))
    if step > 1:  # so many tell no more than enough, and take memory
        chosen = np.zeros_like(inside)
        chosen[::step, ::step] = True
        inside &= chosen
    target, seen = first[inside], moved[inside]
    design = np.stack([seen, np.ones_like(seen)], 1)
    gain, offset = np.linalg.lstsq(design, target, rcond=None)[0]
    if gain <= 0:
        return np.zeros((2, len(basis)))
    rest = target - gain * seen - offset
    weight = cauchy_weights(rest, mad_std(rest, times=3.0) + 1e-12)
    own = [slope[inside] * term[inside] for slope in np.gradient(moved) for term in basis]
    # the noise in a picture's own slopes would make the steps too short; the other picture's are free of it
    other = [slope[inside] * term[inside] / gain for slope in np.gradient(first) for term in basis]
    instruments = np.stack([*own, *design.T], 1) * weight[:, None]
    columns = np.stack([*((a + b) / 2 for a, b in zip(own, other, strict=True)), *design.T], 1)
    normal = (instruments.T @ columns).astype(np.float64)
    normal = (normal + normal.T) / 2 + 1e-7 * np.trace(normal) / len(normal) * np.eye(len(normal))
    solved = np.linalg.solve(normal, (instruments.T @ rest).astype(np.float64))
    # more than a pixel at once is not believed
    return np.clip(solved[:-2] / gain, -1, 1).reshape(2, -1)
