"""The sheet to count on: blinded, escaped, the same for the same seed."""

import json
import re

import numpy as np
import pytest

from cemi_core.errors import InputError, UsageError
from cemi_core.model.finished_run import FinishedRun
from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap, Result
from cemi_report.count_sheet import CountSettings, CountSheet


class Plain:
    """A mosaic of noise."""

    shape = (300, 400)
    level_shapes = ((300, 400),)
    pixel_size_um = 0.1
    image = np.random.default_rng(0).random(shape).astype(np.float32)

    def read(self, box, level=0):
        return self.image[box.y : box.y + box.height, box.x : box.x + box.width]

    def read_valid(self, box, level=0):
        return np.ones((box.height, box.width), bool)


VALUE = np.full((3, 4), 0.123456)


def a_run(label="BCC </script><b> fraction", unit="1"):
    value = VALUE.copy()
    value[0, 0] = np.nan
    grid_map = GridMap("bcc_fraction", label, unit, value, value - 0.0111, value + 0.0111)
    return FinishedRun(
        title="<i>x</i>", created="", frames=[], dropped=[], mosaic=Plain(), grid=Grid(3, 4, (300, 400)),
        results=[Result("bcc-fraction", (grid_map,))],
    )  # fmt: skip


def sheet_of(page):
    return json.loads(re.search(r'id="sheet">(.*?)</script>', page, re.S).group(1))


def test_the_sheet_holds_cells_and_points_and_no_result():
    page = CountSheet(CountSettings(cells=5, points=9), 1).page(a_run())
    sheet = sheet_of(page)
    assert len(sheet["fields"]) == 5 and {len(field["points"]) for field in sheet["fields"]} == {9}
    assert (0, 0) not in {(field["row"], field["column"]) for field in sheet["fields"]}
    assert "0.1234" not in page and "<i>" not in page and "</script><b>" not in page


def test_the_seed_draws_the_cells():
    first, again, other = (CountSheet(CountSettings(cells=5), seed).page(a_run()) for seed in (1, 1, 2))
    assert first == again != other


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(UsageError, match="no map 'odd'"):
        CountSheet(CountSettings(quantity="odd"), 0).page(a_run())
    with pytest.raises(InputError, match="no map of a share"):
        CountSheet(CountSettings(), 0).page(a_run(unit="um"))
