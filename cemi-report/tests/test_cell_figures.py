"""Cells to check by eye: which are shown, and that what was measured is drawn where it should be."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap, Result
from cemi_report.cell_figures import shown_cells
from cemi_report.page import FinishedRun


def one_value(name: str, unit: str, value: np.ndarray) -> GridMap:
    return GridMap(name, name.title(), unit, value, value - 0.01, value + 0.01)


def yellow(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        rgb = np.asarray(image.convert("RGB")).astype(int)
    return (np.abs(rgb - np.array([0xFF, 0xD3, 0x4D])).max(axis=-1) < 40).nonzero()


def a_run(make_report_data, *maps: GridMap) -> FinishedRun:
    data = make_report_data()
    rows, columns = maps[0].value.shape
    return replace(data, grid=Grid(rows, columns, data.mosaic.shape), results=(Result("a", maps=maps),))


def test_cells_with_low_middling_and_high_values_are_shown_with_what_was_measured(make_report_data):
    share = np.linspace(0.1, 0.9, 12).reshape(3, 4)
    cells = shown_cells(a_run(make_report_data, one_value("share", "1", share)))
    assert [cell.title.split(":")[0] for cell in cells] == ["Row 1, column 2", "Row 2, column 3", "Row 3, column 3"]
    assert "Share 0.17" in cells[0].reading


def test_one_measured_cell_is_shown_once_and_none_gives_nothing(make_report_data):
    share = np.full((3, 4), np.nan)
    assert shown_cells(a_run(make_report_data, one_value("share", "1", share))) == []
    share[1, 1] = 0.5
    assert len(shown_cells(a_run(make_report_data, one_value("share", "1", share)))) == 1
    assert shown_cells(replace(a_run(make_report_data, one_value("share", "1", share)), grid=None)) == []


def test_the_normal_stands_upright_where_the_lines_lie_flat(make_report_data):
    spacing, flat = np.full((1, 1), 40.0), np.full((1, 1), 0.0)
    maps = one_value("spacing", "px", spacing), one_value("direction", "deg", flat)
    (cell,) = shown_cells(a_run(make_report_data, *maps))
    y, x = yellow(cell.image)
    assert np.ptp(y) > 3 * np.ptp(x) > 0
    (turned,) = shown_cells(a_run(make_report_data, maps[0], one_value("direction", "deg", flat + 90)))
    y, x = yellow(turned.image)
    assert np.ptp(x) > 3 * np.ptp(y) > 0


def test_a_cell_without_direction_has_no_line(make_report_data):
    maps = one_value("spacing", "px", np.full((1, 1), 40.0)), one_value("direction", "deg", np.full((1, 1), np.nan))
    (cell,) = shown_cells(a_run(make_report_data, *maps))
    assert not len(yellow(cell.image)[0])
