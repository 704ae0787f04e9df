"""Shares of two to four phases, cell by cell, each with an interval that holds sampling and method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells, overlay
from cemi_analyze.phases.answer import LEVER, MIDPOINT, MIXTURE, OTSU, SPOTS, Answer
from cemi_analyze.phases.cell_phases import PhaseCell, phases_of
from cemi_analyze.phases.settings import BccFractionSettings, PhaseFractionSettings
from cemi_analyze.phases.stereology import fields_table, stereology_table
from cemi_analyze.picture.cell import cell_of
from cemi_core.model.result import GridMap, Result, Table
from cemi_core.model.stages import BlockInfo

#: In this order where as many cells are for one as for the other. Spots and the mixture measure the same area.
_PREFERRED = (LEVER, MIXTURE, MIDPOINT, OTSU)
_NO_LAMELLAE = "no lamellae are seen in it where those of most cells are too thin for a threshold"

_HOW = {
    MIXTURE: "grey levels, noise and mixed pixels of the phases fitted together to the histogram of each cell; a rare "
    "phase spot by spot; the interval holds the scatter between blocks and what the fit may be off by",
    MIDPOINT: "threshold half-way between the grey levels of the phases, found in each cell; the interval holds the "
    "scatter between blocks, a threshold off by {off:.0%} of the contrast{more}",
    OTSU: "Otsu's threshold of each cell; it draws fractions towards one half; the interval holds the scatter between "
    "blocks{more}",
    LEVER: "lever rule, the mean grey level between those of the widest places of each phase, since lamellae thinner "
    "than two pixels per phase have no threshold; the interval holds the scatter between blocks and levels off by "
    "{off:.0%} of the contrast",
    "kmeans": "k-means of the grey levels of each cell; like Otsu's threshold it draws fractions towards one half",
    "watershed": "watershed: sure places of each phase grown until they meet where the picture is steepest",
    "slic": "superpixels of about 8 px, divided by k-means of their mean grey levels; smaller features are lost",
    "bradley-roth": "darker than 15 % below the mean around (Bradley and Roth 2007); it needs a true zero of the grey "
    "levels and loses wide areas of one phase; its interval holds scatter only",
    "paper": "adaptive mean threshold (window 11, offset 2) of Lang et al. 2025; it answers about a third whatever the "
    "picture shows, structureless noise included, and its interval holds scatter only",
}
_SPREAD = " and what the thresholds differ by, since the grey levels could not be fitted"


class PhaseFraction(CellAnalyzer):
    """Measures the shares of phases that differ in grey level, cell by cell.

    Parameters
    ----------
    settings : PhaseFractionSettings, optional

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> image = np.where(np.arange(256)[None, :] % 64 < 16, 0.3, 0.6) + rng.normal(0, 0.02, (256, 256))
    >>> found = PhaseFraction().measure(image)
    >>> round(found.value, 2)
    0.25
    """

    name: ClassVar[str] = "phase-fraction"
    #: Name and label of the map of the counted phase.
    map_name: ClassVar[str] = "phase_fraction"
    map_label: ClassVar[str] = "Phase fraction"

    def __init__(self, settings: PhaseFractionSettings | None = None) -> None:
        self.settings = settings or PhaseFractionSettings()

    @property
    def halo(self) -> int:
        """The local mean looks this far, px."""
        return 6 if self.settings.method == "paper" else 48

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> PhaseCell | None:
        """Measure one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        return replace(phases_of(cell, self.settings), pixel_size_um=info.pixel_size_um)

    def merge(self, partials: Iterable[tuple[int, int, PhaseCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into a map for each phase, the counted one first; of two phases only that one."""
        cells = list(measured_cells(partials))
        method = self._method_for_all([cell for _, _, cell in cells])
        told = [(row, column, _answer_of(cell, method), cell) for row, column, cell in cells]
        reasons = {(row, column): "" if answer else _reason(cell, method) for row, column, answer, cell in told}
        maps = tuple(self._map(k, told, reasons, grid_shape) for k in self._phases_shown())
        pictures = [(row, column, answer.thumbnail) for row, column, answer, _ in told if answer]
        picture = overlay(pictures, grid_shape)
        return Result(
            self.name,
            maps,
            tables=self._tables(told),
            overlays={} if picture is None else {"phase": picture},
            notes=(*self._notes(method, told), *_missing(list(reasons.values()))),
        )

    def _phases_shown(self) -> list[int]:
        counted = self.settings.counted
        others = [k for k in range(self.settings.phases) if k != counted]
        return [counted, *(others if self.settings.phases > 2 else [])]

    def _map(
        self,
        phase: int,
        told: Sequence[tuple[int, int, Answer | None, PhaseCell]],
        reasons: dict[tuple[int, int], str],
        grid_shape: tuple[int, int],
    ) -> GridMap:
        intervals = [(row, column, answer.shares[phase] if answer else UNKNOWN) for row, column, answer, _ in told]
        shared = {(row, column): answer.systematic[phase] if answer else 0.0 for row, column, answer, _ in told}
        name, label = self.map_name, self.map_label
        if self.settings.phases > 2:
            words = self.settings.phase_names[phase]
            name, label = f"{_identifier(words)}_fraction", f"Share of the {words.replace('_', ' ')} phase"
        known = None if self.settings.method in ("paper", "bradley-roth") else shared
        return grid_map(name, label, "1", intervals, grid_shape, known, reasons)

    def _method_for_all(self, cells: Sequence[PhaseCell]) -> str:
        """Return the method that answers for all cells: one quantity is measured one way everywhere."""
        if self.settings.method != "auto":
            return self.settings.method
        votes = Counter(MIXTURE if cell.best == SPOTS else cell.best for cell in cells if cell.best)
        return max(_PREFERRED, key=lambda name: (votes[name], -_PREFERRED.index(name)))

    def _notes(self, method: str, told: Sequence[tuple[int, int, Answer | None, PhaseCell]]) -> tuple[str, ...]:
        names = self.settings.phase_names
        what = f"share of the {self.settings.phase} phase"
        if self.settings.phases > 2:
            what = f"shares of the phases {', '.join(names)}"
        more = _SPREAD if self.settings.method == "auto" else ""
        notes = [f"{what}: {_HOW[method].format(off=self.settings.level_uncertainty, more=more)}"]
        others = Counter(
            "" if method in cell.answers or (method == MIXTURE and SPOTS in cell.answers) else cell.best
            for _, _, answer, cell in told
            if answer
        )
        notes += [
            f"{number} of {len(told)} cells were measured by '{name}', with its wider interval, since '{method}' does "
            "not fit them"
            for name, number in others.items()
            if name
        ]
        left_out = Counter(note.partition(": ")[2] for _, _, _, cell in told for note in cell.notes)
        if len(told) == 1:
            notes += list(told[0][3].notes)
        else:
            notes += [
                f"in {number} of {len(told)} cells pixels were left out: {what}" for what, number in left_out.items()
            ]
        return tuple(notes)

    def _tables(self, told: Sequence[tuple[int, int, Answer | None, PhaseCell]]) -> tuple[Table, ...]:
        settings = self.settings
        found = [(answer, cell) for _, _, answer, cell in told if answer]
        shares = [answer.shares[settings.counted].value for answer, _ in found]
        sizes = {cell.pixel_size_um for _, cell in found}
        scale, unit = (sizes.pop(), "um") if len(sizes) == 1 and None not in sizes else (1.0, "px")
        of_phases = {}
        if settings.phases == 2:
            crossings = [cell.crossings_per_px for _, cell in found]
            name = settings.phase_names[settings.counted]
            of_phases[name] = list(zip(shares, crossings, strict=True))
        fields = fields_table(settings.phase_names[settings.counted], shares, settings.wanted_accuracy)
        sizes_of = stereology_table(of_phases, scale or 1.0, unit)
        return tuple(table for table in (fields, sizes_of) if table is not None)


class BccFraction(PhaseFraction):
    """The same for the BCC phase of a eutectic alloy: its map is ``bcc_fraction``.

    Parameters
    ----------
    settings : BccFractionSettings, optional
    """

    name: ClassVar[str] = "bcc-fraction"
    map_name: ClassVar[str] = "bcc_fraction"
    map_label: ClassVar[str] = "BCC fraction"

    def __init__(self, settings: PhaseFractionSettings | None = None) -> None:
        super().__init__(settings or BccFractionSettings())


def _answer_of(cell: PhaseCell, method: str) -> Answer | None:
    """Return what a method says of a cell, or what its own best method says; of thin lamellae the lever rule alone."""
    if method == MIXTURE and cell.best == SPOTS:
        return cell.answers[SPOTS]
    if method in cell.answers:
        return cell.answers[method]
    return None if method == LEVER else cell.answers.get(cell.best)


def _reason(cell: PhaseCell, method: str) -> str:
    return cell.reason or (_NO_LAMELLAE if method == LEVER else "")


def _identifier(words: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in words.lower()).strip("_") or "phase"


def _missing(reasons: list[str]) -> list[str]:
    told = sorted({reason for reason in reasons if reason})
    return [f"{reasons.count(reason)} of {len(reasons)} cells: {reason}" for reason in told]
