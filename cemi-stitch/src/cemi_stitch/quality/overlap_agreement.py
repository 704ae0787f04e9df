"""Measures how well two placed frames agree where they overlap, and how well their noise would let them.

All of it is read from small copies of the frames, so it costs a fraction of the matching.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cemi_core.model.frame import FrameSource
from cemi_core.model.mosaic import Box
from cemi_core.numeric.noise import noise_std
from cemi_core.numeric.peak import parabola_peak
from cemi_core.numeric.significance import fisher_z
from cemi_stitch.tasks import use_threads

#: A small copy has at most this many pixels, all of them together at most `MAX_TOTAL_PIXELS` (one byte each), and a
#: pixel of it is the mean of at most 4 x 4, since a shift of one pixel must stay visible.
MAX_PIXELS, MAX_TOTAL_PIXELS, LARGEST_FACTOR = 100_000, 200_000_000, 4
#: Gaussian that small copies are smoothed with, small px, and the one that counts as shading, share of the short side.
SMOOTHING, SHADING_SCALE = 1.0, 1 / 12
#: Shifts around the solved place that are tried, px, and at least so many small px.
REACH_PX, MIN_REACH = 8.0, 3
#: A better place nearer than this is no misplacement.
TOLERANCE_PX = 1.0
#: Standard errors by which an agreement exceeds chance (the best of many shifts), and one agreement another.
BEYOND_CHANCE, CLEARLY = 4.5, 3.0
#: Lags of the autocorrelation that tell how many independent pixels an overlap is worth.
LAGS = 16

Verdict = Literal["agrees", "misplaced", "differs", "unclear"]


@dataclass(frozen=True)
class SmallFrame:
    """A frame averaged over blocks, smoothed, without shading, in one byte per pixel.

    Attributes
    ----------
    levels : ndarray of uint8, shape (h, w)
        128 is the local mean; flat (all 128) where the frame shows nothing.
    noise : float
        Standard deviation of what the noise of the frame leaves in ``levels``.
    scale : float
        Levels per unit of the [0, 1] scale.
    memory : ndarray of float64, shape (2, lags)
        Autocorrelation along y and x at lags 0, 1, ... small px.
    """

    levels: NDArray[np.uint8]
    noise: float
    scale: float
    memory: NDArray[np.float64]


@dataclass(frozen=True)
class Overlap:
    """Two placed frames where they overlap.

    Attributes
    ----------
    first, second : int
        Frame indices.
    box : Box
        The overlap in mosaic pixels.
    agreement : float
        Zero-mean normalised cross-correlation at the solved places; NaN where an overlap shows nothing.
    best : float
        The highest one within `REACH_PX`.
    allowed : float
        The one that the noise of both frames would leave to a perfect placement, from the noise of each frame alone.
    contrast : tuple of float
        Standard deviation of both frames in the overlap, with their noise, on the [0, 1] scale.
    chance : float
        Standard deviation of the correlation of unrelated pictures of this size and texture.
    misfit_px : tuple of float
        (dy, dx) by which ``second`` would have to move for the best agreement.
    verdict : str
        ``"agrees"``, ``"misplaced"`` (a shift would make it agree clearly better), ``"differs"`` (no agreement, though
        the noise would allow it), ``"unclear"`` (too little to see).
    """

    first: int
    second: int
    box: Box
    agreement: float
    best: float
    allowed: float
    contrast: tuple[float, float]
    chance: float
    misfit_px: tuple[float, float]
    verdict: Verdict

    @property
    def area_px(self) -> int:
        """Pixels of the mosaic that both frames see."""
        return self.box.height * self.box.width

    @property
    def distance_px(self) -> float:
        """Length of the misfit, px; `REACH_PX`, the least that it can be, where no shift within that agrees."""
        return REACH_PX if self.verdict == "differs" else math.hypot(*self.misfit_px)

    @property
    def agrees(self) -> bool:
        """Whether the two frames agree as well as their noise allows."""
        return self.verdict == "agrees"

    @property
    def is_bad(self) -> bool:
        """Whether the two frames cannot both lie right."""
        return self.verdict in ("misplaced", "differs")


def small_factor(shapes: Sequence[tuple[int, int]]) -> int:
    """Return the edge in px of the blocks that become one pixel of a small copy, the same for all frames."""
    budget = min(MAX_PIXELS, MAX_TOTAL_PIXELS / max(len(shapes), 1))
    largest = max(height * width for height, width in shapes)
    shortest = min(min(shape) for shape in shapes)
    return max(1, min(math.ceil(math.sqrt(largest / budget)), LARGEST_FACTOR, shortest // 16))


def make_small_frames(source: FrameSource, indices: Sequence[int], factor: int, threads: int) -> list[SmallFrame]:
    """Read frames and return their small copies; a module-level function, so that any executor can run it."""
    use_threads(threads)
    return [make_small_frame(source.read(index), factor) for index in indices]


def make_small_frame(image: NDArray[np.float32], factor: int) -> SmallFrame:
    """Return the small copy of ``image`` (float32, NaN allowed).

    The noise is read from the copy before smoothing, as if it were white (`noise_std`).
    """
    valid = np.isfinite(image)
    if not valid.all():
        image = np.where(valid, image, image[valid].mean() if valid.any() else 0).astype(np.float32)
    height, width = max(image.shape[0] // factor, 1), max(image.shape[1] // factor, 1)
    whole = np.ascontiguousarray(image[: height * factor, : width * factor], np.float32)
    small = whole
    if factor > 1:
        small = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    kernel = cv2.getGaussianKernel(2 * math.ceil(3 * SMOOTHING) + 1, SMOOTHING)
    smooth = cv2.sepFilter2D(small, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    flat = np.asarray(smooth, np.float32)
    flat = flat - _slow(flat, max(2.0, SHADING_SCALE * min(small.shape)))
    deviation = float(flat.std())
    if deviation < 1e-6:
        return SmallFrame(np.full(flat.shape, 128, np.uint8), 0.0, 1.0, np.ones((2, 1)))
    scale = 127 / min(float(np.abs(flat).max()), 8 * deviation)
    levels = np.clip(np.rint(flat * scale + 128), 1, 255).astype(np.uint8)
    noise = noise_std(small, lines=None) * float((kernel**2).sum()) * scale
    return SmallFrame(levels, noise, scale, _memory(levels))


def _slow(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return what varies slowly: a wide Gaussian, on blocks of a third of its width."""
    step = max(1, min(int(sigma / 3), min(image.shape) // 4))
    shape = (max(image.shape[1] // step, 1), max(image.shape[0] // step, 1))
    coarse = cv2.GaussianBlur(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    return np.asarray(cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _memory(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the autocorrelation along y and x up to `LAGS`, over a sample of the lines."""
    lags = min(LAGS, min(levels.shape) // 2)
    found = np.ones((2, lags + 1))
    for axis, lines in enumerate((levels.T, levels)):
        sample = lines[:: max(1, len(lines) // 64)].astype(np.float64) - 128
        energy = float((sample**2).mean()) or 1.0
        for lag in range(1, lags + 1):
            found[axis, lag] = float((sample[:, lag:] * sample[:, :-lag]).mean()) / energy
    return found


def compare_overlaps(
    small: Mapping[int, SmallFrame],
    pairs: Sequence[tuple[int, int, tuple[float, float], Box]],
    factor: int,
    threads: int,
) -> list[Overlap]:
    """Judge pairs ``(first, second, shift_px, box)``; a module-level function, so that any executor can run it."""
    use_threads(threads)
    return [_compared(small[i], small[j], i, j, shift, box, factor) for i, j, shift, box in pairs]


def _compared(
    a: SmallFrame, b: SmallFrame, first: int, second: int, shift_px: tuple[float, float], box: Box, factor: int
) -> Overlap:
    unknown = (math.nan, math.nan)
    nothing = Overlap(first, second, box, math.nan, math.nan, math.nan, unknown, math.nan, unknown, "unclear")
    shift = (shift_px[0] / factor, shift_px[1] / factor)
    whole = (round(shift[0]), round(shift[1]))
    cuts = [_cut(a.levels.shape[n], b.levels.shape[n], whole[n], factor) for n in (0, 1)]
    if cuts[0] is None or cuts[1] is None:
        return nothing
    (reach_y, a_y, b_y), (reach_x, a_x, b_x) = cuts[0], cuts[1]
    field, template = a.levels[a_y, a_x], b.levels[b_y, b_x]
    middle = field[reach_y : len(field) - reach_y, reach_x : field.shape[1] - reach_x]
    spread = (float(middle.std()), float(template.std()))
    if min(spread) < 0.5:
        return nothing
    surface = cv2.matchTemplate(field, template, cv2.TM_CCOEFF_NORMED).astype(np.float64)
    solved = (reach_y + shift[0] - whole[0], reach_x + shift[1] - whole[1])
    agreement = float(map_coordinates(surface, np.reshape(solved, (2, 1)), order=3, mode="nearest")[0])
    peak, best = _peak(surface)
    best = max(best, agreement)
    misfit = ((peak[0] - solved[0]) * factor, (peak[1] - solved[1]) * factor)
    share = [max(0.0, 1 - (frame.noise / found) ** 2) for frame, found in zip((a, b), spread, strict=True)]
    allowed = math.sqrt(share[0] * share[1])
    chance = _chance(a, b, template.size)
    verdict = _verdict(agreement, best, allowed, chance, math.hypot(*misfit))
    contrast = (spread[0] / a.scale, spread[1] / b.scale)
    return Overlap(first, second, box, agreement, best, allowed, contrast, chance, misfit, verdict)


def _cut(first: int, second: int, shift: int, factor: int) -> tuple[int, slice, slice] | None:
    """Return (reach, part of the first frame, part of the second) along one axis; the first is wider by the reach."""
    sides = min(first, second + shift) - max(0, shift)
    reach = min(max(MIN_REACH, math.ceil(REACH_PX / factor)), max(2, sides // 4))
    start, stop = max(reach, shift), min(first - reach, second + shift)
    if stop - start < 5:
        return None
    return reach, slice(start - reach, stop + reach), slice(start - shift, stop - shift)


def _peak(surface: NDArray[np.float64]) -> tuple[tuple[float, float], float]:
    """Return place and height of the highest value, by a parabola along each axis where it has two neighbours."""
    y, x = (int(n) for n in np.unravel_index(int(np.argmax(surface)), surface.shape))
    place, height = [float(y), float(x)], float(surface[y, x])
    for axis, line, at in ((0, surface[:, x], y), (1, surface[y], x)):
        if 0 < at < len(line) - 1:
            step, rise = parabola_peak(*line[at - 1 : at + 2]) or (0.0, 0.0)
            place[axis] += step
            height += rise
    return (place[0], place[1]), min(height, 1.0)


def _chance(a: SmallFrame, b: SmallFrame, pixels: int) -> float:
    """Return the standard deviation of the correlation of unrelated pictures with these autocorrelations (Bartlett)."""
    lags = min(a.memory.shape[1], b.memory.shape[1])
    product = (a.memory[:, :lags] * b.memory[:, :lags])[:, 1:]
    along = 1 + 2 * np.maximum(product.sum(axis=1), 0)
    return math.sqrt(float(along[0] * along[1]) / pixels)


def _verdict(agreement: float, best: float, allowed: float, chance: float, distance_px: float) -> Verdict:
    if best < BEYOND_CHANCE * chance:
        return "differs" if _should_agree(best, allowed, chance) else "unclear"
    gain = fisher_z(best, 0.999) - fisher_z(agreement, 0.999)
    return "misplaced" if distance_px > TOLERANCE_PX and gain > CLEARLY * chance else "agrees"


def _should_agree(best: float, allowed: float, chance: float) -> bool:
    return allowed > 2 * BEYOND_CHANCE * chance and best < allowed / 2


def excused_by_noise(overlaps: Sequence[Overlap]) -> list[Overlap]:
    """Return the overlaps, those that differ as unclear where noise that is not white explains it.

    The noise of a single frame is read as if it were white, and is far too low if a denoiser has smoothed it. How much
    frames that agree still differ tells more: the median of v (1 - r), v being the variance of a frame in the overlap
    and r the agreement. An overlap that holds little more than that, such as a part without grains, need not agree.
    """
    seen = [(1 - max(o.agreement, 0.0)) * (o.contrast[0] ** 2 + o.contrast[1] ** 2) / 2 for o in overlaps if o.agrees]
    if not seen:
        return list(overlaps)
    noise = float(np.median(seen))
    judged = []
    for overlap in overlaps:
        if overlap.verdict == "differs":
            share = [max(0.0, 1 - noise / max(contrast, 1e-9) ** 2) for contrast in overlap.contrast]
            allowed = min(overlap.allowed, math.sqrt(share[0] * share[1]))
            verdict: Verdict = "differs" if _should_agree(overlap.best, allowed, overlap.chance) else "unclear"
            overlap = replace(overlap, allowed=allowed, verdict=verdict)
        judged.append(overlap)
    return judged
