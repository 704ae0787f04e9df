"""Two phases by one threshold: half-way between their grey levels, or Otsu's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.answer import OTSU, Answer, answer_of
from cemi_analyze.phases.drawn import drawn_on
from cemi_analyze.phases.evidence import NO_CONTRAST
from cemi_analyze.phases.levels import PhaseLevels, flat_noise, phase_levels
from cemi_analyze.phases.methods import otsu_threshold
from cemi_analyze.phases.settings import PhaseFractionSettings
from cemi_analyze.picture.cell import Cell
from cemi_analyze.picture.texture import levelled_by_texture, smoothed_against_noise

#: Distance of the extreme grey levels over that of Otsu's classes above which the extremes are not the phases' own
#: (shining edges, scratches): on blurred or noisy phases it is 1.4 to 2.2.
_EXTREMES_APART = 2.4


@dataclass(frozen=True)
class Thresholded:
    """A cell made ready for thresholds: without noise, shading and the brightness of grains."""

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    levels: PhaseLevels | None
    otsu: float
    notes: tuple[str, ...]
    reason: str

    @property
    def classes_apart(self) -> float:
        """Distance of the mean grey levels of Otsu's classes."""
        pixels = self.image[self.valid]
        dark, bright = pixels[pixels < self.otsu], pixels[pixels >= self.otsu]
        if not len(dark) or not len(bright):
            return 0.0
        return float(bright.mean(dtype=np.float64)) - float(dark.mean(dtype=np.float64))

    @property
    def extremes_apart(self) -> bool:
        """Whether the extreme grey levels are much further apart than the means of Otsu's classes."""
        return self.levels is not None and self.levels.contrast > _EXTREMES_APART * self.classes_apart

    def answer(self, method: str, blocks: tuple[int, int], settings: PhaseFractionSettings) -> Answer | None:
        """Return the shares by a threshold; None where there are no two phases."""
        if self.levels is None or self.reason:
            return None
        at = self.otsu if method == OTSU else self.levels.midpoint
        dark = (self.image < at).astype(np.float32)
        apart = self.classes_apart if method == OTSU and self.extremes_apart else self.levels.contrast
        off = 0.5 * float(np.mean(np.abs(self.image[self.valid] - at) < settings.level_uncertainty * apart))
        return answer_of((dark, 1 - dark), self.valid, blocks, (off, off), settings.counted)


def thresholded(cell: Cell, length_px: float, settings: PhaseFractionSettings) -> Thresholded:
    """Return a cell made ready for thresholds; ``length_px`` is a wave of its texture."""
    bars = drawn_on(np.ascontiguousarray(cell.image[cell.core]), cell.valid[cell.core])
    imaged = cell.valid
    if bars.share:
        imaged = imaged.copy()
        imaged[cell.core] &= ~bars.mask
    image = smoothed_against_noise(cell.image)
    if settings.levelling:
        image = levelled_by_texture(image, imaged, length_px)
    image, valid = np.ascontiguousarray(image[cell.core]), imaged[cell.core]
    left_out = f"{100 * bars.share:.1f} % of the pixels were left out: bars, borders or marks that were drawn"
    notes = (left_out,) if bars.share else ()
    pixels = image[valid]
    if len(pixels) < 32 * 32:
        return Thresholded(image, valid, None, 0.0, notes, "too little of it shows the specimen")
    levels = phase_levels(pixels, flat_noise(image))
    otsu = otsu_threshold(pixels)
    reason = NO_CONTRAST if is_structureless(pixels, levels, settings.least_contrast) else ""
    return Thresholded(image, valid, levels, otsu, notes, reason)


def is_structureless(pixels: NDArray[np.float32], levels: PhaseLevels, least_contrast: float) -> bool:
    """Return whether a cell shows no two phases.

    Either the variation of the grey levels is no more than a few times the noise and their distribution is that of
    noise (skewness and excess kurtosis near 0), or there is no contrast at all.
    """
    deviation = float(pixels.std(dtype=np.float64))
    if levels.contrast <= 0 or deviation < 1e-6:
        return True
    if levels.contrast < least_contrast * levels.noise:
        return True
    standard = (pixels - np.float32(pixels.mean(dtype=np.float64))) / np.float32(deviation)
    squares = standard * standard
    skewness, excess = float(np.mean(squares * standard)), float(np.mean(squares * squares)) - 3
    return deviation < 2.0 * levels.noise and abs(skewness) < 0.15 and abs(excess) < 0.25
