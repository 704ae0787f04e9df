"""A count by hand against the maps of a run: shares of points, and the agreement after Bland and Altman."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from cemi_core.errors import InputError
from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.result import GridMap, Result, Table
from cemi_core.numeric.fields import e562_interval

#: A point on a boundary counts half (ASTM E562); one that cannot be told does not count.
WORTH = {"in": 1.0, "edge": 0.5, "out": 0.0}
_FEWEST_CELLS = 3


@dataclass(frozen=True)
class Answers:
    """What a person counted: the points of each cell, as 1, a half or 0."""

    digest: str
    quantity: str
    points: Mapping[tuple[int, int], tuple[float, ...]]


def read_answers(path: Path) -> Answers:
    """Return the answers that the sheet saved, JSON or CSV.

    Raises
    ------
    InputError
        The file cannot be read, was not saved by a sheet, or holds no answer.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as answers: {error}") from None
    try:
        if text.lstrip().startswith("{"):
            told = json.loads(text)
            digest, quantity, rows = str(told["digest"]), str(told["quantity"]), list(told["answers"])
        else:
            rows = list(csv.DictReader(io.StringIO(text)))
            digest, quantity = (str(rows[0][name]) for name in ("digest", "quantity")) if rows else ("", "")
        points = _by_cell(rows)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} does not hold the answers of a sheet of 'cemi count'; save them from the page"
        ) from None
    if not points:
        raise InputError(f"{path} holds no answer")
    return Answers(digest, quantity, points)


def _by_cell(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[int, int], tuple[float, ...]]:
    found: dict[tuple[int, int], dict[int, float]] = {}
    for row in rows:
        if row["answer"] not in (*WORTH, "unsure"):
            raise ValueError(row["answer"])
        if row["answer"] in WORTH:
            cell = (int(row["row"]), int(row["column"]))
            found.setdefault(cell, {})[int(row["point"])] = WORTH[row["answer"]]
    return {cell: tuple(points.values()) for cell, points in found.items()}


def compare_count(run: FinishedRun, answers: Answers) -> Result:
    """Return how a count by hand agrees with the run's map.

    The limits of agreement hold 95 % of the differences; their standard error is that of Bland and Altman, Statistical
    Methods in Medical Research 8 (1999) 135: s² (1/n + 1.96² / (2 (n - 1))), with Student's t.

    Returns
    -------
    Result
        Tables ``agreement`` (mean difference and both limits), ``cells``, ``sentences`` and ``cautions``.

    Raises
    ------
    InputError
        The sheet is of another state of the run, a cell is not on its grid, or fewer than three cells were counted.
    """
    if answers.digest != run.digest:
        raise InputError(
            "the answers belong to another run, or to an earlier state of this one; write a new sheet with 'cemi count'"
        )
    grid_map = next((m for r in run.results for m in r.maps if m.name == answers.quantity), None)
    if grid_map is None:
        raise InputError(f"the run has no map '{answers.quantity}'")
    rows, columns = grid_map.value.shape
    if any(not (0 <= row < rows and 0 <= column < columns) for row, column in answers.points):
        raise InputError(f"the answers name a cell outside the grid of {rows} x {columns} cells")
    cells = [_cell(grid_map, place, points) for place, points in sorted(answers.points.items())]
    cells = [cell for cell in cells if math.isfinite(cell[5])]
    if len(cells) < _FEWEST_CELLS:
        raise InputError(f"{len(cells)} cells were counted; {_FEWEST_CELLS} or more are needed, and 20 are better")
    hand, program = (np.array([cell[place] for cell in cells], np.float64) for place in (4, 5))
    agreement = bland_altman(program - hand)
    heads = ("quantity", "row", "column", "points", "hand", "program", "low", "high")
    return Result(
        "count",
        (),
        (
            Table("agreement", ("what", "value", "low", "high"), agreement),
            Table("cells", heads, tuple(cells)),
            Table("sentences", ("sentence",), ((_sentence(grid_map.label, agreement, hand, program),),)),
            Table("cautions", ("caution",), tuple((said,) for said in _cautions(cells, hand, program))),
        ),
    )


def _cell(grid_map: GridMap, place: tuple[int, int], points: tuple[float, ...]) -> tuple[Any, ...]:
    values = (float(series[place]) for series in (grid_map.value, grid_map.low, grid_map.high))
    return (grid_map.label, place[0] + 1, place[1] + 1, len(points), float(np.mean(points)), *values)


def bland_altman(difference: NDArray[np.float64]) -> tuple[tuple[str, float, float, float], ...]:
    """Return mean difference and lower and upper limit of agreement, each with its 95 % interval.

    Parameters
    ----------
    difference : ndarray of float64, shape (n,)
        Of two ways of measuring, n >= 3.
    """
    n, of_mean = len(difference), e562_interval(difference)
    mean, deviation = of_mean.value, float(difference.std(ddof=1))
    of_limit = float(student_t.ppf(0.975, n - 1)) * deviation * math.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    lower, upper = mean - 1.96 * deviation, mean + 1.96 * deviation
    return (
        ("mean difference", mean, of_mean.low, of_mean.high),
        ("lower limit of agreement", lower, lower - of_limit, lower + of_limit),
        ("upper limit of agreement", upper, upper - of_limit, upper + of_limit),
    )


def _sentence(
    label: str,
    agreement: tuple[tuple[str, float, float, float], ...],
    hand: NDArray[np.float64],
    program: NDArray[np.float64],
) -> str:
    (_, mean, low, high), lower, upper = agreement
    share = e562_interval(hand)
    differs = "differs from" if low > 0 or high < 0 else "does not differ demonstrably from"
    return (
        f"{label}: the program {differs} the count by hand: {mean:+.3f} ({low:+.3f} to {high:+.3f}) on average over "
        f"{len(hand)} cells; 95 % of the cells differ by {lower[1]:+.3f} to {upper[1]:+.3f}. By hand the share is "
        f"{share.value:.3f} ± {share.high - share.value:.3f} (95 %, ASTM E562), by the program {program.mean():.3f} in "
        "the same cells."
    )


def _cautions(cells: list[tuple[Any, ...]], hand: NDArray[np.float64], program: NDArray[np.float64]) -> list[str]:
    points = np.array([cell[3] for cell in cells], np.float64)
    counting = math.sqrt(float(np.mean(hand * (1 - hand) / points)))
    deviation = float((program - hand).std(ddof=1))
    said = [
        f"Counting {points.mean():.0f} points leaves up to {counting:.3f} of scatter in a cell (binomial; a grid has "
        f"less), and the differences scatter by {deviation:.3f}: the limits of agreement hold both."
    ]
    if len(cells) < 10:
        said.append(f"Only {len(cells)} cells were counted, so the limits of agreement are rough.")
    return said
