"""Two-point correlation of two phases: how alike two places are, by their distance and direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import fft

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells, overlay, thumbnail
from cemi_analyze.phases.levels import phase_levels
from cemi_analyze.phases.methods import otsu_threshold
from cemi_analyze.picture.cell import Cell, cell_of
from cemi_analyze.picture.spectrum import Spectrum, spectrum_of
from cemi_analyze.texture.chords import Mask, crossings, lineal_path
from cemi_analyze.uncertainty.blocks import block_means, blocks_along
from cemi_analyze.uncertainty.intervals import (
    Interval,
    e562_interval,
    effective_fields,
    likeness_of_neighbours,
)
from cemi_core.model.result import Result, Table
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

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
_TOO_LONG = "correlated over more than a third of the cell"
_E = math.e


class TwoPointSettings(Settings):
    """What is told of the two-point statistics."""

    max_px: int = Field(
        default=64, ge=8, le=512, description="Largest distance in the tables of the two-point functions, px."
    )


@dataclass(frozen=True)
class TwoPoint:
    """The two-point correlation of a phase: the chance that two places are both in it.

    Attributes
    ----------
    s2 : ndarray of float64, shape (2 m + 1, 2 m + 1)
        At displacements (dy, dx) from -m to m px; ``s2[m, m]`` is the phase fraction.
    """

    s2: NDArray[np.float64]

    @property
    def fraction(self) -> float:
        """The phase fraction."""
        return float(self.s2[self.max_px, self.max_px])

    @property
    def max_px(self) -> int:
        """Largest distance along x and y, px."""
        return len(self.s2) // 2

    @property
    def along_x(self) -> NDArray[np.float64]:
        """At 0, 1, ... px along x."""
        return self.s2[self.max_px, self.max_px :]

    @property
    def along_y(self) -> NDArray[np.float64]:
        """At 0, 1, ... px along y."""
        return self.s2[self.max_px :, self.max_px]

    def radial(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return distances, px, and the mean over all directions at each: one ring for each px."""
        m = self.max_px
        offset = np.arange(-m, m + 1)
        distance = np.hypot(offset[:, None], offset[None, :])
        ring = np.rint(distance).astype(np.int64)
        used = (ring <= m) & np.isfinite(self.s2)
        number = np.maximum(np.bincount(ring[used], minlength=m + 1), 1)
        mean = np.bincount(ring[used], self.s2[used], m + 1) / number
        return np.bincount(ring[used], distance[used], m + 1) / number, mean


def two_point_correlation(mask: Mask, valid: Mask | None = None, max_px: int = 64) -> TwoPoint:
    """Return the two-point correlation of a phase.

    All pairs of imaged pixels at a displacement count, and no others: there is no wrapping around and no padding
    (S. Torquato, Random Heterogeneous Materials, 2002, 2.2 and 12.3).

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        The phase.
    valid : ndarray of bool, shape (h, w), optional
    max_px : int
        Largest distance along x and y; at most the edge of the image less one.
    """
    known = np.ones(mask.shape, bool) if valid is None else valid
    max_px = min(max_px, min(mask.shape) - 1)
    shape = tuple(fft.next_fast_len(size + max_px, real=True) for size in mask.shape)
    offset = np.arange(-max_px, max_px + 1)

    def pairs(array: Mask) -> NDArray[np.float64]:
        spectrum = fft.rfft2(array.astype(np.float32), shape)
        full = fft.irfft2(spectrum.real**2 + spectrum.imag**2, shape)
        return np.asarray(full[np.ix_(offset, offset)], np.float64)

    if known.all():
        height, width = (size - np.abs(offset) for size in mask.shape)
        number = np.multiply.outer(height, width).astype(np.float64)
    else:
        number = np.rint(pairs(known))
    with np.errstate(invalid="ignore", divide="ignore"):
        s2 = np.where(number > 0, pairs(mask & known) / number, np.nan)
    s2[max_px, max_px] = mask[known].mean() if known.any() else np.nan
    return TwoPoint(s2)


def correlation_length(distance_px: NDArray[np.float64], s2: NDArray[np.float64]) -> float:
    """Return the distance at which the correlation of a phase has fallen to 1/e, px; NaN where it does not.

    The correlation is (S2 - f^2) / (f - f^2) with the phase fraction f = S2 at 0; exp(-r / a), P. Debye's random medium
    (J. Appl. Phys. 1957, 28, 679), has the length a.

    Parameters
    ----------
    distance_px, s2 : ndarray of float64, shape (n,)
        Distances from 0 on, and the two-point correlation there.
    """
    fraction = float(s2[0])
    if not 0 < fraction < 1:
        return math.nan
    scaled = (s2 - fraction**2) / (fraction - fraction**2) - 1 / _E
    below = np.flatnonzero(scaled < 0)
    if not len(below):
        return math.nan
    after = int(below[0])
    share = scaled[after - 1] / (scaled[after - 1] - scaled[after])
    return float(distance_px[after - 1] + share * (distance_px[after] - distance_px[after - 1]))


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


#: The lengths that are measured, in the order of the maps: name and words.
LENGTHS = {
    "correlation_length": "Correlation length of the phases",
    "correlation_length_x": "Correlation length along x",
    "correlation_length_y": "Correlation length along y",
    "dark_chord": "Mean chord of the dark phase",
    "dark_chord_x": "Mean chord of the dark phase along x",
    "dark_chord_y": "Mean chord of the dark phase along y",
    "bright_chord": "Mean chord of the bright phase",
    "bright_chord_x": "Mean chord of the bright phase along x",
    "bright_chord_y": "Mean chord of the bright phase along y",
}


@dataclass(frozen=True)
class Length:
    """A length that was measured in one cell.

    Attributes
    ----------
    value_px : float
        NaN where it is unknown.
    change_px : ndarray of float64, shape (rows, columns)
        What each block of the cell changes in it; its mean is 0.
    """

    value_px: float
    change_px: NDArray[np.float64]


@dataclass(frozen=True)
class TwoPointCell:
    """What was measured in one cell.

    Attributes
    ----------
    lengths : dict of str to Length
        By the names of `LENGTHS`; empty where there is nothing to measure.
    systematic_px : dict of str to float
        95 % half-width of what hangs on how the phases were told apart.
    curves : ndarray of float64, shape (7, max_px + 1)
        S2 of the dark phase along x, y and over all directions, lineal path of the dark phase along x and y, and of the
        bright one; NaN beyond the cell.
    """

    lengths: dict[str, Length]
    systematic_px: dict[str, float]
    curves: NDArray[np.float64]
    pixel_size_um: float | None
    thumbnail: NDArray[np.uint8]
    reason: str = ""
    smoothing_px: float = 0.0


_CURVES = (
    "S2 x",
    "S2 y",
    "S2 all directions",
    "lineal path x, dark",
    "lineal path y, dark",
    "lineal path x, bright",
    "lineal path y, bright",
)


class TwoPointAnalyzer(CellAnalyzer):
    """Measures correlation lengths and mean chords of two phases, cell by cell.

    Parameters
    ----------
    settings : TwoPointSettings, optional
    """

    name: ClassVar[str] = "two-point"

    def __init__(self, settings: TwoPointSettings | None = None) -> None:
        self.settings = settings or TwoPointSettings()

    @property
    def halo(self) -> int:
        """For smoothing, px."""
        return 24

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> TwoPointCell | None:
        """Measure one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        phases, valid = told_apart(cell), cell.valid[cell.core]
        curves = np.full((len(_CURVES), self.settings.max_px + 1), np.nan)
        if phases.reason:
            empty = thumbnail(np.zeros(valid.shape))
            return TwoPointCell({}, {}, curves, info.pixel_size_um, empty, phases.reason, phases.smoothing_px)
        lengths = lengths_of(phases.dark, valid)
        others = [lengths_of(other, valid) for other in phases.others]
        apart = {
            name: [abs(other[name].value_px - found.value_px) for other in others] for name, found in lengths.items()
        }
        systematic = {name: max((d for d in differ if d == d), default=0.0) for name, differ in apart.items()}
        _fill_curves(curves, phases.dark, valid)
        reason = "" if math.isfinite(lengths["correlation_length"].value_px) else _TOO_LONG
        picture = thumbnail(phases.dark & valid)
        return TwoPointCell(lengths, systematic, curves, info.pixel_size_um, picture, reason, phases.smoothing_px)

    def merge(self, partials: Iterable[tuple[int, int, TwoPointCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into maps of lengths and a table of the functions, averaged over the cells."""
        cells = list(measured_cells(partials))
        sizes = {cell.pixel_size_um for _, _, cell in cells}
        scale, unit = (sizes.pop(), "um") if len(sizes) == 1 and None not in sizes else (1.0, "px")
        reasons = {(row, column): cell.reason for row, column, cell in cells}
        maps = []
        for name, label in LENGTHS.items():
            half = [cell.systematic_px.get(name, math.nan) for _, _, cell in cells]
            intervals = length_intervals([cell.lengths.get(name) for _, _, cell in cells])
            found = [
                (row, column, _scaled(interval.widened(0.0 if math.isnan(h) else h), scale))
                for (row, column, _), interval, h in zip(cells, intervals, half, strict=True)
            ]
            shared = {(row, column): scale * h for (row, column, _), h in zip(cells, half, strict=True)}
            why = reasons if name == "correlation_length" else {k: v for k, v in reasons.items() if v != _TOO_LONG}
            maps.append(grid_map(name, label, unit, found, grid_shape, shared, why))
        picture = overlay([(row, column, cell.thumbnail) for row, column, cell in cells], grid_shape)
        return Result(
            self.name,
            tuple(maps),
            tables=_table([cell for _, _, cell in cells], scale, unit),
            overlays={} if picture is None else {"dark phase": picture},
            notes=_notes([cell for _, _, cell in cells]),
        )


def lengths_of(dark: Mask, valid: Mask) -> dict[str, Length]:
    """Return correlation lengths and mean chords by the names of `LENGTHS`, and what each block changes in them.

    A mean chord is a ratio of two means (share of the phase over chords begun per length), and a correlation length
    solves an equation between means; what a block changes in them is linearised (W. G. Cochran, Sampling Techniques,
    1977, 6).

    Parameters
    ----------
    dark, valid : ndarray of bool, shape (h, w)
    """
    share = float(dark[valid].mean())
    found = crossings(dark, valid)
    rates = {name: float(change[sure].mean()) if sure.any() else 0.0 for name, (change, sure) in found.items()}
    rate = {"": float(np.mean(list(rates.values()))), "_x": rates["x"], "_y": rates["y"]}
    if rate[""] <= 0:
        return dict.fromkeys(LENGTHS, _NO_LENGTH)
    blocks = blocks_along(dark.shape, 4 / rate[""])
    mean_share, _ = block_means(dark.astype(np.float32), valid, blocks)
    per_block = {name: block_means(change, sure, blocks)[0] for name, (change, sure) in found.items()}
    rate_of = {"": np.mean(list(per_block.values()), axis=0), "_x": per_block["x"], "_y": per_block["y"]}
    lengths = {}
    for phase, part, in_block in (("dark", share, mean_share), ("bright", 1 - share, 1 - mean_share)):
        for axis, begun in rate.items():
            value = 2 * part / begun if begun > 0 else math.nan
            change = (2 * in_block - value * rate_of[axis]) / begun if begun > 0 else _NO_LENGTH.change_px
            lengths[f"{phase}_chord{axis}"] = Length(value, change)
    lengths |= _correlation_lengths(dark, valid, blocks)
    return {name: lengths[name] for name in LENGTHS}


_NO_LENGTH = Length(math.nan, np.full((1, 1), np.nan))


def length_intervals(lengths: Sequence[Length | None]) -> list[Interval]:
    """Return a length of several cells with 95 % intervals from the scatter of their blocks, px.

    How alike neighbouring blocks are is pooled over the cells: the few blocks of one cell hardly tell.
    """
    known = [length.change_px for length in lengths if length is not None and math.isfinite(length.value_px)]
    likeness = likeness_of_neighbours(known)
    intervals = []
    for length in lengths:
        if length is None or not math.isfinite(length.value_px):
            intervals.append(UNKNOWN)
            continue
        used = np.isfinite(length.change_px)
        spread = e562_interval(length.change_px, None, max(effective_fields(used, likeness), 2.0) if used.any() else 0)
        half = 0.5 * (spread.high - spread.low)
        intervals.append(Interval(length.value_px, max(length.value_px - half, 0.0), length.value_px + half))
    return intervals


def _correlation_lengths(dark: Mask, valid: Mask, blocks: tuple[int, int]) -> dict[str, Length]:
    found = two_point_correlation(dark, valid, min(dark.shape) // 3)
    steps = np.arange(found.max_px + 1, dtype=np.float64)
    curves = {"": found.radial(), "_x": (steps, found.along_x), "_y": (steps, found.along_y)}
    return {
        f"correlation_length{axis}": _correlation_length(dark, valid, curve, axis, blocks)
        for axis, curve in curves.items()
    }


def _correlation_length(
    dark: Mask, valid: Mask, curve: tuple[NDArray[np.float64], NDArray[np.float64]], axis: str, blocks: tuple[int, int]
) -> Length:
    value = correlation_length(*curve)
    if not math.isfinite(value):
        return _NO_LENGTH
    slope = float(np.interp(value + 0.5, *curve) - np.interp(value - 0.5, *curve))
    centred = np.where(valid, dark - np.float32(dark[valid].mean()), np.float32(0)).astype(np.float32)
    kernel = _ring(value, axis)
    there = cv2.filter2D(centred, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.filter2D(valid.astype(np.float32), cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    seen = valid & (weight > 0.5)
    change = centred * (there / np.maximum(weight, 0.5) - centred / np.float32(_E))
    means, _ = block_means(change, seen, blocks)
    return Length(value, means / max(abs(slope), 1e-9))


def _ring(radius_px: float, axis: str) -> NDArray[np.float32]:
    """Return the weights of the pixels at a distance, in all directions or along one axis to both sides."""
    reach = math.ceil(radius_px) + 1
    offset = np.arange(-reach, reach + 1)
    if axis:
        line = np.maximum(1 - np.abs(np.abs(offset) - radius_px), 0).astype(np.float32)
        return np.asarray((line / line.sum())[None, :] if axis == "_x" else (line / line.sum())[:, None])
    ring = np.maximum(1 - np.abs(np.hypot(offset[:, None], offset[None, :]) - radius_px), 0).astype(np.float32)
    return np.asarray(ring / ring.sum())


def _fill_curves(curves: NDArray[np.float64], dark: Mask, valid: Mask) -> None:
    max_px = min(curves.shape[1], *dark.shape) - 1
    found = two_point_correlation(dark, valid, max_px)
    both = [lineal_path(phase, valid, axis, max_px) for phase in (dark, ~dark) for axis in ("x", "y")]
    for number, curve in enumerate((found.along_x, found.along_y, found.radial()[1], *both)):
        curves[number, : len(curve)] = curve


def _table(cells: Sequence[TwoPointCell], scale: float, unit: str) -> tuple[Table, ...]:
    measured = [cell.curves for cell in cells if cell.lengths]
    if not measured:
        return ()
    stack = np.array(measured)
    known = np.isfinite(stack)
    mean = np.where(known, stack, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    last = int(np.flatnonzero(known.any(axis=(0, 1)))[-1])
    rows = tuple(
        (round(distance * scale, 6), *(round(float(v), 5) for v in mean[:, distance])) for distance in range(last + 1)
    )
    return (Table("two-point functions of the dark phase, mean of the cells", (f"distance_{unit}", *_CURVES), rows),)


def _notes(cells: Sequence[TwoPointCell]) -> tuple[str, ...]:
    used = sorted({cell.smoothing_px for cell in cells if cell.lengths})
    smoothing = f"; smoothed by {used[0]:g} to {used[-1]:g} px against noise" if used and used[-1] else ""
    return (
        "phases told apart half-way between their grey levels in each cell" + smoothing + "; the interval holds the "
        "scatter between blocks, and what Otsu's threshold and a wider smoothing would change",
        "correlation length: distance at which the correlation of the phases has fallen to 1/e; mean chord: share of "
        "the phase over the boundaries crossed per length, over x, y and both diagonals",
    )


def _scaled(interval: Interval, scale: float) -> Interval:
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)


def make(settings: TwoPointSettings, runtime: Runtime) -> TwoPointAnalyzer:
    """Make the analyzer for a recipe."""
    return TwoPointAnalyzer(settings)
