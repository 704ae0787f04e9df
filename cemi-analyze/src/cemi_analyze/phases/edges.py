"""How sharp the borders between two phases are, how many there are, and how thin that makes the phases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Deviation of the smoothing under which borders are followed, px.
SMOOTHING_PX = 1.0
#: Width of a border, in widths of the beam: from 1 % to 99 % of the way.
_BORDER = 4.8
_FEWEST = 30


@dataclass(frozen=True)
class Edges:
    """Borders between a dark and a bright phase.

    Attributes
    ----------
    per_px : float
        Length of the borders in a unit of area, 1/px.
    width_px : float
        Deviation of the beam, px, without the smoothing that was needed to follow the borders; 0 if too sharp to tell.
    dark_px, bright_px : float
        Mean chord of each phase, px: of lamellae pi / 2 times their width.
    """

    per_px: float
    width_px: float
    dark_px: float
    bright_px: float

    @property
    def mixed(self) -> float:
        """Share of the area that lies on borders."""
        return _BORDER * self.width_px * self.per_px

    @property
    def thinner(self) -> float:
        """Width of lamellae with the shorter chord, in deviations of the beam."""
        return 2 / math.pi * min(self.dark_px, self.bright_px) / max(self.width_px, 0.3)


def edges_of(
    image: NDArray[np.float32], valid: NDArray[np.bool_], dark: float, bright: float, noise: float = 0.0
) -> Edges | None:
    """Return what the borders of a picture are like; None where there are hardly any.

    Borders are counted where lines and columns cross the level half-way between the phases (Cauchy and Crofton: length
    in a unit of area = pi / 2 times the number of crossings in a unit of length, mean over both directions). How steep
    the picture is there tells the width of the beam.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        Without shading.
    valid : ndarray of bool, shape (h, w)
    dark, bright : float
        Grey levels of the phases.
    noise : float
        Deviation of the white noise, whose slope is taken off.
    """
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), SMOOTHING_PX), np.float32)
    contrast, middle = bright - dark, 0.5 * (dark + bright)
    darker = smooth < np.float32(middle)
    # Crossings count only where the picture goes on to a quarter of the contrast on both sides.
    crossings, steps, slopes, at = 0.0, 0.0, 0.0, 0
    gy = 0.5 * (smooth[2:, 1:-1] - smooth[:-2, 1:-1])
    gx = 0.5 * (smooth[1:-1, 2:] - smooth[1:-1, :-2])
    steep = gy * gy + gx * gx
    inner, used = darker[1:-1, 1:-1], valid[1:-1, 1:-1]
    border = np.zeros(inner.shape, bool)
    for axis in (0, 1):
        here = np.moveaxis(inner, axis, 1)
        ok = np.moveaxis(used, axis, 1)
        pairs = ok[:, 1:] & ok[:, :-1]
        changes = (here[:, 1:] != here[:, :-1]) & pairs
        crossings, steps = crossings + float(changes.sum()), steps + float(pairs.sum())
        np.moveaxis(border, axis, 1)[:, 1:] |= changes
    at = int(border.sum())
    if at < _FEWEST or contrast <= 0:
        return None
    # White noise of deviation n under a Gaussian of s: its slope has variance n^2 / (8 pi s^4) in each direction.
    of_noise = 2 * noise**2 / (8 * math.pi * SMOOTHING_PX**4)
    slopes = math.sqrt(max(float(steep[border].mean(dtype=np.float64)) - of_noise, 1e-12))
    seen_px = contrast / (math.sqrt(2 * math.pi) * slopes)
    # A central difference over 2 px sees a border of deviation s as one of sqrt(s^2 + 1/3).
    width_px = math.sqrt(max(seen_px**2 - SMOOTHING_PX**2 - 1 / 3, 0.0))
    per_line = crossings / steps
    share = float(inner[used].mean())
    return Edges(math.pi / 2 * per_line, width_px, 2 * share / per_line, 2 * (1 - share) / per_line)
