"""The shares of the phases of one cell, by one method or by all that its picture supports."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.phases.answer import LEVER, MIDPOINT, MIXTURE, OTSU, SPOTS, Answer, answer_of
from cemi_analyze.phases.drawn import drawn_on
from cemi_analyze.phases.evidence import NO_CONTRAST, Evidence, look_at
from cemi_analyze.phases.levels import flat_noise, phase_levels
from cemi_analyze.phases.lever import lever_interval, systematic_of
from cemi_analyze.phases.methods import labels_by
from cemi_analyze.phases.mixture import Mixture
from cemi_analyze.phases.settings import PhaseFractionSettings
from cemi_analyze.phases.spots import Spots
from cemi_analyze.phases.thresholds import is_structureless, thresholded
from cemi_analyze.picture.cell import Cell
from cemi_analyze.picture.fine_lamellae import fine_lamellae
from cemi_analyze.picture.texture import levelled, texture_length_px
from cemi_analyze.uncertainty.blocks import blocks_along
from cemi_analyze.uncertainty.intervals import Interval

#: Steps of the grey scale in which pixels are looked up.
_TABLE = 1024
#: Width of the local mean that is taken away before grey levels are compared, px.
_EVEN_PX = 32.0
#: 95 % half-width of what a threshold is off by where the levels of the phases could not be fitted: half-way between
#: the levels on made eutectics, Otsu's against manual masks of real superalloys.
_MIDPOINT_OFF, _OTSU_OFF = 0.03, 0.11
#: Share of a cell in lamellae too thin for a threshold above which only the lever rule is asked.
_MOSTLY_THIN = 0.1
TOO_UNLIKE = "the grey levels do not fit two phases"


@dataclass(frozen=True)
class PhaseCell:
    """What is kept of one cell.

    Attributes
    ----------
    answers : dict of str to Answer
        By method; the first is the best by what the picture shows.
    reason : str
        Why there is none.
    notes : tuple of str
        What was left out of the picture.
    crossings_per_px : float
        Borders of the phases that a test line meets, for the table of ASTM E1245; NaN where unknown.
    pixel_size_um : float or None
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()
    crossings_per_px: float = math.nan
    pixel_size_um: float | None = None

    @property
    def best(self) -> str:
        """The method that its picture supports best; empty without any."""
        return next(iter(self.answers), "")


def phases_of(cell: Cell, settings: PhaseFractionSettings) -> PhaseCell:
    """Return the shares of the phases of one cell.

    Parameters
    ----------
    cell : Cell
    settings : PhaseFractionSettings
        Any method but ``segment``.
    """
    length = texture_length_px(np.ascontiguousarray(cell.image[cell.core]))
    length = length if math.isfinite(length) else 1.0
    blocks = blocks_along(cell.valid[cell.core].shape, 2 * length)
    if settings.method == LEVER:
        answer = _by_lever(cell, blocks, settings)
        return PhaseCell({LEVER: answer}) if answer else PhaseCell(reason=NO_CONTRAST)
    if settings.method == "auto":
        return _by_evidence(cell, blocks, length, settings)
    if settings.method == MIXTURE:
        found = look_at(cell, settings.phases, settings.levelling)
        return _of_evidence(found, blocks, settings)
    if settings.method in (MIDPOINT, OTSU) and settings.phases == 2:
        made = thresholded(cell, length, settings)
        answer = made.answer(settings.method, blocks, settings)
        return PhaseCell({settings.method: answer} if answer else {}, "" if answer else NO_CONTRAST, made.notes)
    return _by_labels(cell, blocks, settings)


def _by_evidence(cell: Cell, blocks: tuple[int, int], length: float, settings: PhaseFractionSettings) -> PhaseCell:
    """Return the answers of all methods that the picture supports, the best first."""
    answers: dict[str, Answer] = {}
    two = settings.phases == 2
    if two:
        shown = _without_marks(cell)
        fine = fine_lamellae(np.ascontiguousarray(shown.image[shown.core]), shown.valid[shown.core])
        lever = None if fine is None else _by_lever(shown, blocks, settings)
        if lever is not None and fine is not None:
            answers[LEVER] = lever
            if float(fine.weight.mean()) > _MOSTLY_THIN:
                return PhaseCell(answers)  # no histogram says anything of so many phases thinner than two pixels
    found = look_at(cell, settings.phases, settings.levelling)
    by_mixture = _of_evidence(found, blocks, settings)
    if found.further and LEVER not in answers:
        return by_mixture
    answers |= by_mixture.answers
    if not two or found.one_level:
        return replace(by_mixture, answers=answers, reason="" if answers else by_mixture.reason)
    made = thresholded(cell, length, settings)
    names = (OTSU, MIDPOINT) if made.extremes_apart else (MIDPOINT, OTSU)
    tried = {name: made.answer(name, blocks, settings) for name in names}
    by_threshold = {name: answer for name, answer in tried.items() if answer is not None}
    answers |= _with_spread(by_threshold, 0.0 if found.fits else found.of_thin)
    reason = "" if answers else (made.reason or by_mixture.reason)
    return replace(by_mixture, answers=answers, reason=reason)


def _without_marks(cell: Cell) -> Cell:
    """Return a cell in which what was drawn counts as not imaged."""
    bars = drawn_on(np.ascontiguousarray(cell.image[cell.core]), cell.valid[cell.core])
    if not bars.share:
        return cell
    imaged = cell.valid.copy()
    imaged[cell.core] &= ~bars.mask
    filled = np.where(imaged, cell.image, cell.image[imaged].mean(dtype=np.float64)).astype(np.float32)
    return replace(cell, image=filled, valid=imaged)


def _with_spread(answers: dict[str, Answer], of_thin: float) -> dict[str, Answer]:
    """Widen thresholds by what they differ by, by thin phases, and by what each is off where nothing can be fitted."""
    if len(answers) < 2:
        return answers
    spread = 0.5 * abs(answers[OTSU].shares[0].value - answers[MIDPOINT].shares[0].value)
    wider = {}
    for name, off in ((MIDPOINT, _MIDPOINT_OFF), (OTSU, _OTSU_OFF)):
        old = answers[name]
        systematic = tuple(math.hypot(part, spread, off, of_thin) for part in old.systematic)
        shares = tuple(_widened(share, math.hypot(spread, off, of_thin)) for share in old.shares)
        wider[name] = replace(old, shares=shares, systematic=systematic)
    return {name: wider[name] for name in answers}


def _widened(share: Interval, half_width: float) -> Interval:
    found = share.widened(half_width)
    return Interval(found.value, max(found.low, 0.0), min(found.high, 1.0))


def _of_evidence(found: Evidence, blocks: tuple[int, int], settings: PhaseFractionSettings) -> PhaseCell:
    """Return the answer of the mixture, or why there is none."""
    crossings = math.nan if found.edges is None else 2 / math.pi * found.edges.per_px
    said = [
        f"{100 * share:.1f} % of the pixels were left out: {what}"
        for share, what in ((found.drawn, "bars, borders or marks that were drawn"), (found.pores, "pores"))
        if share > 0
    ]
    empty = PhaseCell({}, found.further or NO_CONTRAST, tuple(said), crossings)
    if found.spots is not None:
        answer = _by_spots(found.spots, found.valid, blocks, settings.counted)
        return replace(empty, answers={SPOTS: answer}, reason="")
    mixture = found.mixture
    if mixture is None or found.further or found.histogram is None:
        if found.further:
            return replace(empty, reason=f"{found.further}: it is not one of {settings.phases} phases")
        return empty
    if float(np.diff(mixture.levels).min()) < settings.least_contrast * float(mixture.deviations.mean()):
        return empty
    if not found.fits:
        return replace(empty, reason=TOO_UNLIKE if settings.phases == 2 else "the grey levels do not fit the phases")
    coverage = _coverage(found.image, mixture)
    middles = 0.5 * (mixture.levels[1:] + mixture.levels[:-1])
    reach = settings.level_uncertainty * np.diff(mixture.levels)
    near = [0.5 * found.histogram.near(float(at), float(by)) for at, by in zip(middles, reach, strict=True)]
    of_level = [math.hypot(*near[max(k - 1, 0) : k + 1]) for k in range(settings.phases)]
    systematic = [math.hypot(found.systematic, part) for part in of_level]
    answer = answer_of(coverage, found.valid, blocks, systematic, settings.counted, [float(s) for s in mixture.shares])
    return replace(empty, answers={MIXTURE: answer}, reason="")


def _coverage(image: NDArray[np.float32], mixture: Mixture) -> list[NDArray[np.float32]]:
    """Return how much of each pixel is expected to be each phase, by its grey level."""
    low = np.float32(mixture.levels[0] - 3 * mixture.deviations[0])
    high = np.float32(mixture.levels[-1] + 3 * mixture.deviations[-1])
    place = np.clip((image - low) * (np.float32(_TABLE - 1) / (high - low)) + np.float32(0.5), 0, _TABLE - 1)
    table = mixture.coverage_at(np.linspace(float(low), float(high), _TABLE)).astype(np.float32)
    index = place.astype(np.int32)
    return [np.ascontiguousarray(table[:, k])[index] for k in range(table.shape[1])]


def _by_spots(spots: Spots, valid: NDArray[np.bool_], blocks: tuple[int, int], counted: int) -> Answer:
    rest = (np.float32(1) - spots.coverage).astype(np.float32)
    coverage = (spots.coverage, rest) if spots.dark else (rest, spots.coverage)
    off = spots.systematic if spots.level_known else max(spots.systematic, 0.5 * float(spots.coverage.mean()))
    return answer_of(coverage, valid, blocks, (off, off), counted)


def _by_lever(cell: Cell, blocks: tuple[int, int], settings: PhaseFractionSettings) -> Answer | None:
    valid = cell.valid[cell.core]
    even = np.ascontiguousarray(levelled(cell.image, cell.valid, _EVEN_PX)[cell.core])
    dark = lever_interval(even, valid, blocks, settings.level_uncertainty)
    if not math.isfinite(dark.value):
        return None
    off = systematic_of(dark.value, settings.level_uncertainty)
    bright = Interval(1 - dark.value, 1 - dark.high, 1 - dark.low)
    levels = np.quantile(even[valid], [0.02, 0.98])
    place = np.clip((even - levels[0]) / max(float(levels[1] - levels[0]), 1e-9), 0, 1).astype(np.float32)
    shown = answer_of((1 - place, place), valid, (1, 1), (0.0, 0.0), settings.counted).thumbnail
    return Answer((dark, bright), (off, off), shown)


def _by_labels(cell: Cell, blocks: tuple[int, int], settings: PhaseFractionSettings) -> PhaseCell:
    """Return the shares by a method that gives every pixel a class."""
    found = look_at(cell, settings.phases, settings.levelling)
    own = settings.method in ("paper", "bradley-roth")
    if own:
        labels = labels_by(settings.method, cell.image, cell.valid, 2)[cell.core]
        levels, valid = None, found.valid
    else:
        levels = phase_levels(found.image[found.valid], flat_noise(found.image)) if found.valid.any() else None
        valid = found.valid
        if levels is None or is_structureless(found.image[valid], levels, settings.least_contrast):
            return PhaseCell(reason=NO_CONTRAST)
        labels = labels_by(settings.method, found.image, valid, settings.phases)
    coverage = [(labels == k).astype(np.float32) for k in range(settings.phases)]
    spread = 0.0
    if levels is not None and found.mixture is not None and found.fits:
        spread = max(
            0.5 * abs(float(c[valid].mean()) - float(s)) for c, s in zip(coverage, found.mixture.shares, strict=True)
        )
    crossings = math.nan if found.edges is None else 2 / math.pi * found.edges.per_px
    answer = answer_of(coverage, valid, blocks, [spread] * settings.phases, settings.counted)
    return PhaseCell({settings.method: answer}, crossings_per_px=crossings)
