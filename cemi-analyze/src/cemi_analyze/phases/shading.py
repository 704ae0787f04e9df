"""Shading: brightness that changes slowly over a picture, told apart from where the phases are."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.mixture import Mixture
from cemi_core.numeric.robust import mad_std

#: Pixels that are enough to fit a surface.
_SAMPLES = 8_000
#: Smoothing of the pixels that are compared, px, and the shading, over the contrast, that is left alone.
_AGAINST_NOISE_PX, _HARDLY_ANY = 1.0, 0.02


def without_shading(image: NDArray[np.float32], valid: NDArray[np.bool_], mixture: Mixture) -> NDArray[np.float32]:
    """Return a picture with its shading taken out, given the phases of a first fit; itself where there is hardly any.

    Each pixel is compared with the phase that it is nearest to, so wide areas of one phase are not taken for shading,
    as a local mean would. What is left is fitted by a quadratic surface that adds and one that multiplies (offset and
    gain of the detector), by least squares over pixels drawn at random; those far off count less.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
    valid : ndarray of bool, shape (h, w)
    mixture : Mixture
        Of the picture as it is.
    """
    level = nearest_level(image, mixture)
    middle = 0.5 * float(mixture.levels[0] + mixture.levels[-1])
    contrast = float(mixture.levels[-1] - mixture.levels[0])
    drawn = _drawn(valid)
    rows, columns = np.divmod(drawn, image.shape[1])
    surface = _surface(image.shape, rows, columns)
    brightness = (level.ravel()[drawn] - middle)[:, None] / contrast
    # The last two stand for what the levels themselves are off by, which is no shading.
    terms = np.concatenate([surface, brightness * surface, np.ones_like(brightness), brightness], axis=1)
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), _AGAINST_NOISE_PX), np.float32)
    found = _robust_fit(terms, (smooth - level).ravel()[drawn].astype(np.float64))
    count = surface.shape[1]
    adds = _everywhere(image.shape, found[:count])
    gains = _everywhere(image.shape, found[count : 2 * count] / contrast)
    if math.hypot(float(adds.std()), contrast * float(gains.std())) < _HARDLY_ANY * contrast:
        return image
    flat = np.float32(middle) + (image - adds - np.float32(middle)) / (1 + np.clip(gains, -0.6, 1.5))
    return np.asarray(flat, np.float32)


def nearest_level(image: NDArray[np.float32], mixture: Mixture) -> NDArray[np.float32]:
    """Return the level of the phase that each pixel is nearest to, under a smoothing of 1 px against noise."""
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)
    middles = 0.5 * (mixture.levels[1:] + mixture.levels[:-1])
    return mixture.levels.astype(np.float32)[np.digitize(smooth, middles)]


def flat_matrix(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a picture of one grey level with its shading taken out; spots and scratches do not draw the surface.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
    valid : ndarray of bool, shape (h, w)
    """
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.float32)
    drawn = _drawn(valid)
    surface = _surface(image.shape, *np.divmod(drawn, image.shape[1]))
    terms = np.concatenate([surface, np.ones((len(drawn), 1))], axis=1)
    wanted = smooth.ravel()[drawn].astype(np.float64)
    wanted -= float(np.median(wanted))
    return np.asarray(image - _everywhere(image.shape, _robust_fit(terms, wanted)[:-1]), np.float32)


def _robust_fit(terms: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of a least-squares fit in which what is far off counts less (Cauchy's weights)."""
    root = np.ones(len(wanted))
    found: NDArray[np.float64] = np.zeros(terms.shape[1])
    for _ in range(4):
        found = np.asarray(np.linalg.lstsq(terms * root[:, None], wanted * root, rcond=1e-6)[0], np.float64)
        left = wanted - terms @ found
        scale = float(mad_std(left)) + 1e-9
        root = np.sqrt(1 / (1 + (left / (2 * scale)) ** 2))
    return found


def _drawn(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return flat places of pixels drawn at random (a lattice would beat with lamellae), always the same."""
    places = np.flatnonzero(valid)
    return places if len(places) <= _SAMPLES else np.random.default_rng(0).choice(places, _SAMPLES, replace=False)


def _surface(shape: tuple[int, int], rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the terms of a quadratic surface without its mean at places, shape (n, 5)."""
    y, x = np.broadcast_arrays((rows - 0.5 * (shape[0] - 1)) / shape[0], (columns - 0.5 * (shape[1] - 1)) / shape[1])
    return np.stack([y, x, y * x, y**2 - 1 / 12, x**2 - 1 / 12], axis=-1)


def _everywhere(shape: tuple[int, int], found: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a surface at all pixels."""
    y = ((np.arange(shape[0]) - 0.5 * (shape[0] - 1)) / shape[0])[:, None]
    x = ((np.arange(shape[1]) - 0.5 * (shape[1] - 1)) / shape[1])[None, :]
    of_y = (found[0] * y + found[3] * (y**2 - 1 / 12)).astype(np.float32)
    of_x = (found[1] * x + found[4] * (x**2 - 1 / 12)).astype(np.float32)
    return np.asarray(of_y + of_x + (found[2] * y).astype(np.float32) * x.astype(np.float32), np.float32)
