"""ASHLAR keeps the contract of a stitcher behind the adapter, without Java, and its refusals are clear."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.model.array_source import ArraySource
from cemi_core.testing import Kit, StitcherTests
from cemi_core.testing.samples import cut_tiles
from cemi_stitch_ashlar.stitcher import AshlarStitcher
from cemi_stitch_ashlar.without_java import ashlar_alignment

try:
    ashlar_alignment()
    MISSING = ""
except MissingDependencyError as error:
    MISSING = str(error)
needs_ashlar = pytest.mark.skipif(bool(MISSING), reason=MISSING or "ASHLAR is installed")


class TestAshlarIsWhatItSays(Kit):
    """Also where ASHLAR is not installed."""

    stage, name = "stitch", "ashlar"


@needs_ashlar
class TestAshlarStitcher(StitcherTests):
    name = "ashlar"
    tolerance_px = 0.5


@needs_ashlar
def test_an_empty_tile_is_placed_by_ashlars_stage_model_and_flagged() -> None:
    tiles = cut_tiles(size=(160, 200), seed=5)
    arrays = [np.full_like(a, 0.4) if n == 2 else a for n, a in enumerate(tiles.arrays)]
    nominal = [(float(y) + 1.5, float(x) - 1) for y, x in tiles.positions_px]
    layout = AshlarStitcher().place(ArraySource(arrays, positions_px=nominal, position_tolerance_px=10))
    assert layout.placed_by_prior.tolist() == [n == 2 for n in range(len(arrays))]
    error = layout.positions_px - tiles.positions_px
    assert np.abs(error - np.median(error, axis=0)).max() < 2
    assert any("threshold" in pair.reason for pair in layout.pairs)


@needs_ashlar
def test_no_java_is_started_and_the_real_jnius_can_still_be_imported() -> None:
    code = (
        "import sys; from cemi_stitch_ashlar.without_java import ashlar_alignment as a; a(); "
        "print('jnius' in sys.modules, 'jnius_config' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@needs_ashlar
def test_frames_without_positions_are_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match="'array 0' has none; give the source a table of positions"):
        AshlarStitcher().place([np.zeros((40, 40), np.float32)] * 2)


@needs_ashlar
def test_frames_of_two_sizes_are_refused_by_name() -> None:
    arrays = [np.zeros((40, 40), np.float32), np.zeros((40, 50), np.float32)]
    with pytest.raises(InputError, match=r"'array 0' is 40 x 40 px and 'array 1' 50 x 40 px"):
        AshlarStitcher().place(ArraySource(arrays, positions_px=[(0, 0), (0, 20)]))


def test_without_ashlar_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['ashlar'] = None\n"
        "from cemi_stitch_ashlar import AshlarStitcher\n"
        "from cemi_core.errors import MissingDependencyError\n"
        "from cemi_core.model.array_source import ArraySource\n"
        "from cemi_core.testing import cut_tiles\n"
        "tiles, stitcher = cut_tiles(), AshlarStitcher()\n"
        "source = ArraySource(list(tiles.arrays), positions_px=tiles.positions_px.tolist())\n"
        "for use in (stitcher.prepare, lambda: stitcher.place(source)):\n"
        "    try:\n        use()\n"
        "    except MissingDependencyError as error:\n        print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'cemi-stitch-ashlar[ashlar]'") == 2
