"""A sheet on which a person counts points in random cells, without seeing what the program found."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

import cemi_report
from cemi_core.errors import InputError, UsageError
from cemi_core.files.atomic import atomic_path
from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_report.blocks import png
from cemi_report.page import template
from cemi_report.picture import read_view
from cemi_report.picture_figures import as_rgb

#: Larger cells are shown smaller, px.
_SHOWN_PX = 1000


class CountSettings(Settings):
    """What is counted, and where."""

    quantity: str = Field("", description="Name of the map to be checked, a share of the area; empty: the first one.")
    cells: int = Field(20, ge=2, le=500, description="Random cells.")
    points: int = Field(25, ge=4, le=400, description="Points of the grid in each cell; rounded to a square number.")
    ask: str = Field("", description="What is asked of each point; empty: made of the quantity's label.")


@dataclass(frozen=True)
class CountSheet:
    """The report `count-sheet`: one page, ``count.html``.

    A square grid of points with a random offset lies on each random cell (ASTM E562). The page neither shows nor holds
    what the program found.
    """

    settings: CountSettings
    seed: int

    def write(self, run: FinishedRun, folder: Path) -> Sequence[Path]:
        """Write the page into the folder.

        Raises
        ------
        InputError
            The run has no mosaic, no grid of cells, or no map of a share of the area.
        UsageError
            There is no such map.
        """
        page = folder / "count.html"
        text = self.page(run)
        with atomic_path(page) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="replace")
        return [page]

    def page(self, run: FinishedRun) -> str:
        """Return the page as HTML."""
        counted = share_map(run, self.settings.quantity)
        if run.mosaic is None or not isinstance(run.grid, Grid):
            raise InputError("the run has no mosaic with a grid of cells, so there is nothing to count in")
        rng = np.random.default_rng(self.seed)
        known = np.argwhere(np.isfinite(counted.value))
        chosen = rng.permutation(known)[: self.settings.cells]
        fields = [_field(run, run.grid, int(row), int(column), self.settings.points, rng) for row, column in chosen]
        sheet = {
            "cemi_count": 1,
            "digest": run.digest,
            "quantity": counted.name,
            "fields": fields,
        }
        question = self.settings.ask or f"Is the point in: {counted.label.removesuffix(' fraction')}?"
        return template("count.html").render(
            title=run.title, question=question, sheet=sheet, version=cemi_report.__version__
        )


def share_map(run: FinishedRun, name: str) -> GridMap:
    """Return the map of this name, or the first share of the area that was measured somewhere."""
    shares = [m for result in run.results for m in result.maps if m.unit == "1" and np.isfinite(m.value).any()]
    if name:
        found = next((m for m in shares if m.name == name), None)
        if found is None:
            raise UsageError(
                f"no map '{name}' can be counted; there are: {', '.join(m.name for m in shares) or 'none'}"
            )
        return found
    found = next((m for m in shares if m.name.endswith("_fraction")), None)
    if found is None:
        raise InputError("the run has no map of a share of the area, so there is nothing to count")
    return found


def _field(
    run: FinishedRun, grid: Grid, row: int, column: int, points: int, rng: np.random.Generator
) -> dict[str, Any]:
    assert run.mosaic is not None
    view = read_view(run.mosaic, grid.box(row, column), _SHOWN_PX, _SHOWN_PX)
    side = max(round(points**0.5), 2)
    offset_y, offset_x = rng.random(2)
    places = [((y + offset_y) / side, (x + offset_x) / side) for y in range(side) for x in range(side)]
    return {
        "row": row,
        "column": column,
        "image": "data:image/png;base64," + base64.b64encode(png(as_rgb(view))).decode("ascii"),
        "height": view.image.shape[0],
        "width": view.image.shape[1],
        "points": [[round(y, 5), round(x, 5)] for y, x in places],
    }


def make(settings: CountSettings, runtime: Runtime) -> CountSheet:
    """Return the report `count-sheet`."""
    return CountSheet(settings, runtime.seed)
