"""Two phases told apart, smoothed just as much as the noise asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.levels import phase_levels
from cemi_analyze.phases.methods import otsu_threshold
from cemi_analyze.picture.cell import Cell
from cemi_analyze.picture.spectrum import Spectrum, spectrum_of
from cemi_analyze.texture.chords import Mask, crossings

#: Gaussian smoothings that are tried against noise, px: the first under which noise makes few boundaries is taken.
_SMOOTHINGS_PX = (0.0, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
#: Share of the boundaries that noise may make.
_FALSE_SHARE = 0.02
#: How many more boundaries there may be than with the next smoothing.
_STABLE = 1.05
#: Deviation of the noise in the bright phase over that of all the picture: electrons are counted.
_BRIGHT_NOISE = 1.15
#: Widest smoothing, as a share of the mean chord, under which the phases keep their shape.
_MAX_SMOOTHING = 0.25
#: Contrast over noise (after smoothing) below which there are no two phases.
_MIN_CONTRAST = 2.0
#: Variance of the grey levels over that of the noise below which a picture shows noise alone.
_MIN_VARIANCE = 1.3
_TOO_NOISY = "too noisy: the noise makes boundaries, and the smoothing against it would blur the phases"
_ONE_PHASE = "no two phases"


@dataclass(frozen=True)
class Phases:
    """Two phases told apart.

    Attributes
    ----------
    dark : ndarray of bool, shape (h, w)
    others : tuple of ndarray of bool
        The same by Otsu's threshold, and by the next smoothing: how much hangs on how it was done.
    smoothing_px : float
    reason : str
        Why they cannot be told apart; empty if they can.
    """

    dark: Mask
    others: tuple[Mask, ...]
    smoothing_px: float
    reason: str = ""


def told_apart(cell: Cell) -> Phases:
    """Tell the two phases of a cell apart, smoothed just as much as the noise asks for.

    The threshold lies half-way between the grey levels of the phases. Noise of deviation s crosses a level that is c/2
    away m / pi exp(-(c / 2 s)^2 / 2) times per px, where m is the deviation of its slope over s (S. O. Rice, Bell Syst.
    Tech. J. 1945, 24, 46); and it roughens the boundaries that are there, the more the less it is smoothed. So the
    smoothing is the least at which the former is under 2 % of the boundaries, and the next one makes them hardly fewer.
    """
    valid = cell.valid[cell.core]
    spectrum = spectrum_of(cell.image[cell.core], valid)
    here = _cut(cell, valid, spectrum, _SMOOTHINGS_PX[0])
    for sigma, wider_px in pairwise(_SMOOTHINGS_PX):
        wider = _cut(cell, valid, spectrum, wider_px)
        if here.found > 0 and here.false < _FALSE_SHARE * here.found and here.found < _STABLE * wider.found:
            share = float(here.dark[valid].mean())
            chord = min(share, 1 - share) / (0.5 * here.found)
            if sigma > _MAX_SMOOTHING * chord:
                break
            image = smoothed(cell.image, sigma)[cell.core]
            return Phases(here.dark, (image < otsu_threshold(image[valid]), wider.dark), sigma)
        here = wider
    reason = _TOO_NOISY if here.found > 0 else _ONE_PHASE
    return Phases(np.zeros(valid.shape, bool), (), _SMOOTHINGS_PX[-1], reason)


@dataclass(frozen=True)
class _Cut:
    """A cell cut half-way between its grey levels, the boundaries along x per px, and how many the noise makes."""

    dark: Mask
    found: float
    false: float


def _cut(cell: Cell, valid: Mask, spectrum: Spectrum, sigma_px: float) -> _Cut:
    image = smoothed(cell.image, sigma_px)[cell.core]
    noise, slope = spectrum.noise_after(sigma_px)
    levels = phase_levels(image[valid], noise)
    dark = image < levels.midpoint
    variance = float(image[valid].var(dtype=np.float64))
    if variance < _MIN_VARIANCE * noise**2 or levels.contrast < max(_MIN_CONTRAST * noise, 1e-6):
        return _Cut(dark, 0.0, 0.0)
    change, sure = crossings(dark, valid)["x"]
    away = 0.5 * levels.contrast / (_BRIGHT_NOISE * max(noise, 1e-9))
    return _Cut(dark, float(change[sure].mean()) if sure.any() else 0.0, slope / math.pi * math.exp(-0.5 * away**2))


def smoothed(image: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Return the picture after a Gaussian; as it is for 0 px."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32) if sigma_px > 0 else image
