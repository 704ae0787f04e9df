"""Pairs of a fast (LD) and a slow (HD) scan of one field, made into something to train on.

The LD picture is only cropped: resampling would change its noise, which the network must meet as the microscope makes
it. The HD picture, whose noise is small and whose detail a beam has limited, is resampled onto the LD pixels with
splines that do not blur it, and brought to the LD grey levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.images.read_image import to_grey
from cemi_core.model.frame import to_unit_range
from cemi_core.numeric.robust import cauchy_weights, irls, mad_std
from cemi_denoise.noise.model import estimate_noise_model
from cemi_denoise.register.registration import CHANCE, SMOOTHING_PX, Match, comparable, fit_warp, whole_pixel_match
from cemi_denoise.register.warp import Warp, common_box, resampled

#: Distortions that `register_pair` can follow, and the order of their polynomials.
DISTORTIONS = {"shift": 0, "affine": 1, "quadratic": 2, "cubic": 3}
_SMALLEST_PX = 64
_SMALLEST_SHARE = 0.25
#: A stage that comes back to a field is a tenth of it off; what shows less in common is a neighbour.
_LEAST_COMMON_SHARE = 0.5
_LARGEST_CLIPPED_SHARE = 0.2
_LARGEST_SCALE = 0.05
_FINE_PX = 0.8
_COARSE_PIXELS = 3_000_000
_GREY_SMOOTHING_PX = 2.0
_GREY_ROUNDS = 8
_LEAST_AGREEMENT = 0.85
_OVER_CHANCE = 1.5


@dataclass(frozen=True)
class RegisteredPair:
    """An LD picture and the HD picture of the same pixels in the same grey levels.

    Attributes
    ----------
    name : str
    ld, hd : ndarray of float32, shape (h, w)
        The common field in [0, 1]; finite.
    noise : float
        Standard deviation of the noise of ``ld`` on the same scale.
    warp : Warp
        From pixels of the LD picture as it was given to the HD one.
    gain, offset : float
        LD grey = gain * HD grey + offset; already applied to ``hd``.
    agreement : float
        Correlation of the two over the correlation that the noise allows; 1 if they differ by noise alone.
    """

    name: str
    ld: NDArray[np.float32]
    hd: NDArray[np.float32]
    noise: float
    warp: Warp
    gain: float
    offset: float
    agreement: float


@dataclass(frozen=True)
class RejectedPair:
    """A pair that cannot be trained on, and why: one clause."""

    name: str
    reason: str


def register_pair(
    ld: NDArray[Any], hd: NDArray[Any], name: str = "", distortion: str = "affine"
) -> RegisteredPair | RejectedPair:
    """Register an HD picture to an LD one, crop both to the common field and match the grey levels.

    Parameters
    ----------
    ld, hd : ndarray, shape (h, w) or (h, w, channels)
        uint8, uint16, or float in [0, 1]; colours become grey. The sizes may differ, the magnification by at most 5 %.
    name : str
        Of the pair, for messages.
    distortion : {"shift", "affine", "quadratic", "cubic"}
        How the HD picture may be displaced against the LD one.
    """
    ld, hd = (to_unit_range(to_grey(np.asarray(picture))) for picture in (ld, hd))
    for picture, kind in ((ld, "LD"), (hd, "HD")):
        if reason := _unfit(picture):
            return RejectedPair(name, f"the {kind} image {reason}")
    if ld.shape == hd.shape and np.array_equal(ld, hd):
        return RejectedPair(name, "both images are the same: give two scans, the second one slower")
    shift = _coarse_shift(ld, hd)
    if isinstance(shift, str):
        return RejectedPair(name, shift)
    order = DISTORTIONS[distortion]
    warp = fit_warp(comparable(ld, _FINE_PX), comparable(hd, _FINE_PX), Warp.shift(*shift, ld.shape), order)
    if reason := _unlikely(warp):
        return RejectedPair(name, reason)
    top, left, height, width = common_box(warp, hd.shape)
    if min(height, width) < _SMALLEST_PX:
        return RejectedPair(name, f"the common field is only {width} x {height} px")
    share = height * width / min(ld.size, hd.size)
    if share < _LEAST_COMMON_SHARE:
        return RejectedPair(
            name, f"the images have {share:.0%} of their field in common: does one show the field beside it?"
        )
    field = np.ascontiguousarray(ld[top : top + height, left : left + width])
    return _judged(name, field, resampled(hd, warp, top, left, height, width), hd, warp)


def _unfit(picture: NDArray[np.float32]) -> str:
    """Return why a picture cannot be registered, or an empty text."""
    if picture.ndim != 2 or min(picture.shape) < _SMALLEST_PX:
        return f"has {' x '.join(map(str, picture.shape[::-1]))} px, and at least 64 x 64 are needed"
    missing = 1 - float(np.isfinite(picture).mean())
    if missing > 0:
        return f"has pixels that are not numbers ({missing:.1%}): crop it, or save it anew"
    if float(picture.std()) < 1e-4:
        return "is empty: all its pixels are alike"
    clipped = max(float((picture <= picture.min()).mean()), float((picture >= picture.max()).mean()))
    if clipped > _LARGEST_CLIPPED_SHARE:
        return f"is saturated: {clipped:.0%} of its pixels are black or white"
    return ""


def _coarse_shift(ld: NDArray[np.float32], hd: NDArray[np.float32]) -> tuple[int, int] | str:
    """Return the shift to a few pixels, or why there is none; large pictures are compared at a part of their size."""
    factor = math.ceil(math.sqrt(max(ld.size, hd.size) / _COARSE_PIXELS))
    match = coarse_match(coarse_picture(ld, factor), coarse_picture(hd, factor))
    if isinstance(match, str):
        return match
    return match.shift_px[0] * factor, match.shift_px[1] * factor


def coarse_picture(picture: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return a picture (h, w) reduced by a factor and made comparable."""
    return comparable(cv2.resize(picture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA))


def coarse_match(ld: NDArray[np.float32], hd: NDArray[np.float32]) -> Match | str:
    """Return how two coarse pictures lie to each other, or why they do not show the same."""
    match = whole_pixel_match(ld, hd, _SMALLEST_SHARE)
    return _by_chance(match, (ld, hd)) or match


def _by_chance(match: Match, pictures: tuple[NDArray[np.float32], NDArray[np.float32]]) -> str:
    """Return why a match is not believed: pictures of one kind of specimen correlate a little at some shift anyway.

    How much, a turn of the second picture by 180 degrees tells: it keeps the texture, and no true match survives it.
    """
    turned = whole_pixel_match(pictures[0], np.ascontiguousarray(pictures[1][::-1, ::-1]), _SMALLEST_SHARE)
    if match.significance < max(CHANCE, _OVER_CHANCE * turned.significance):
        return (
            "the images do not show the same field, or not at the same magnification "
            f"(correlation {match.quality:.2f}, and {turned.quality:.2f} with the HD image turned round)"
        )
    return ""


def _unlikely(warp: Warp) -> str:
    scale_y, scale_x = warp.magnification
    if max(abs(scale_y - 1), abs(scale_x - 1)) > _LARGEST_SCALE:
        return f"the magnifications differ by {100 * (scale_x - 1):+.1f} % in x and {100 * (scale_y - 1):+.1f} % in y"
    return ""


def _judged(
    name: str, ld: NDArray[np.float32], hd: NDArray[np.float32], stored_hd: NDArray[np.float32], warp: Warp
) -> RegisteredPair | RejectedPair:
    """Match the grey levels and reject a pair that differs by more than noise.

    The noise of the HD picture is that of ``stored_hd``, since resampling smooths it.
    """
    try:
        model, model_hd = estimate_noise_model([ld]), estimate_noise_model([stored_hd])
    except InputError as error:
        return RejectedPair(name, str(error))
    grey, grey_hd = float(ld.mean()), float(hd.mean())
    gain, offset = matched_greys(ld, hd, model_hd.smoothed_variance(grey_hd, _GREY_SMOOTHING_PX))
    if gain <= 0.05:
        return RejectedPair(name, f"the contrast of the images has nothing in common (gain {gain:.2f})")
    noise, noise_hd = float(model.sigma(grey)), gain * float(model_hd.sigma(grey_hd))
    if noise_hd > 1.2 * noise:
        return RejectedPair(
            name, f"the HD image is noisier than the LD one ({noise_hd:.3f} and {noise:.3f}): were they exchanged?"
        )
    smoothed_noise = (
        model.smoothed_variance(grey, SMOOTHING_PX),
        gain**2 * model_hd.smoothed_variance(grey_hd, SMOOTHING_PX),
    )
    hd = (np.float32(gain) * hd + np.float32(offset)).astype(np.float32)
    agreement = agreement_of(comparable(ld), comparable(hd), smoothed_noise)
    if agreement < _LEAST_AGREEMENT:
        return RejectedPair(name, f"the images agree in {agreement:.0%} only of what their noise allows")
    return RegisteredPair(name, ld, hd, noise, warp, gain, offset, agreement)


def matched_greys(
    first: NDArray[np.float32], second: NDArray[np.float32], smoothed_noise: float = 0.0
) -> tuple[float, float]:
    """Return gain and offset with which ``second``, the quieter picture, has the grey levels of ``first``.

    Least squares over smoothed pixels, with weights that fall where the two differ in more than grey levels.

    Parameters
    ----------
    first, second : ndarray of float32, shape (h, w)
        Of the same field.
    smoothed_noise : float
        Variance of the noise of ``second`` after the smoothing by 2 px, which would else lower the gain.
    """
    step = slice(2, -2, 2)
    target, seen = (
        cv2.GaussianBlur(p, (0, 0), _GREY_SMOOTHING_PX)[step, step].ravel().astype(np.float64) for p in (first, second)
    )

    def solve(weight: NDArray[np.float64]) -> tuple[float, float]:
        mean_t, mean_s = np.average(target, weights=weight), np.average(seen, weights=weight)
        spread = np.average((seen - mean_s) ** 2, weights=weight)
        spread = max(spread - smoothed_noise, 0.1 * spread)
        common = np.average((seen - mean_s) * (target - mean_t), weights=weight)
        gain = float(common / spread) if spread > 0 else 0.0
        return gain, float(mean_t - gain * mean_s)

    def reweigh(line: tuple[float, float], number: int) -> NDArray[np.float64]:
        rest = target - line[0] * seen - line[1]
        return np.asarray(cauchy_weights(rest, mad_std(rest, times=4.0) + 1e-9))

    return irls(solve, reweigh, np.ones_like(target), _GREY_ROUNDS)[0]


def agreement_of(first: NDArray[np.float32], second: NDArray[np.float32], noise: tuple[float, float]) -> float:
    """Return the correlation of two pictures over what it would be if they differed by their noise alone.

    Parameters
    ----------
    first, second : ndarray of float32, shape (h, w)
        As `comparable` gives them.
    noise : tuple of float
        Variance of the noise in each of the two.
    """
    variances = [max(float(p.var()) - n, 0.0) for p, n in zip((first, second), noise, strict=True)]
    structure = float(np.sqrt(variances[0] * variances[1]))
    common = float(np.mean((first - first.mean()) * (second - second.mean())))
    return min(max(common / structure, 0.0), 1.0) if structure > 0 else 0.0
