from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_core.files.find import frame_names, natural_key
from cemi_core.model.frame import FrameSource
from cemi_core.model.stages import Runtime
from cemi_run.sources.array import ArraySettings, ArraySource, make


def test_arrays_become_frames_with_places_and_passes() -> None:
    arrays = [np.full((4, 6), value, np.uint8) for value in (0, 51, 255)]
    source = ArraySource(arrays, positions_px=[(0, 0), (0, 3), (2, 0)], rows=[0, 0, 1], pixel_size_um=0.2)
    assert isinstance(source, FrameSource)
    assert source.read(1) == pytest.approx(0.2)
    assert [frame.row for frame in source.frames] == [0, 0, 1]
    assert source.frames[2].position_px == (2.0, 0.0)
    assert source.frames[2].position_tolerance_px == pytest.approx(0.48)


def test_float_arrays_outside_unit_range_share_one_scale_and_ignore_nan() -> None:
    first = np.array([[0.0, 50.0], [np.nan, 10.0]])
    source = ArraySource([first, np.full((2, 2), 100.0)])
    np.testing.assert_allclose(source.read(0), [[0.0, 0.5], [np.nan, 0.1]])


def test_mixed_types_missing_positions_and_no_arrays_are_refused() -> None:
    with pytest.raises(InputError, match=r"array 0 is uint8 and array 1 is float32"):
        ArraySource([np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)])
    with pytest.raises(InputError, match="positions_px has 1 entries for 2 arrays"):
        ArraySource(np.zeros((2, 3, 3), np.uint8), positions_px=[(0, 0)])
    with pytest.raises(InputError, match="no arrays"):
        ArraySource([])
    with pytest.raises(InputError, match="array 0 is int64"):
        ArraySource([np.zeros((2, 2), np.int64)])


def test_recipe_reads_a_stack_from_a_numpy_file(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 65535, (3, 5, 7), dtype=np.uint16)
    np.save(tmp_path / "s.npy", stack)
    source = make(ArraySettings(path=str(tmp_path / "s.npy"), pixel_size="222 nm"), Runtime())
    np.testing.assert_array_equal(source.read_native(2), stack[2])
    assert source.frames[2].pixel_size_um == pytest.approx(0.222)
    np.save(tmp_path / "flat.npy", stack[0])
    for name in ("flat.npy", "gone.npy"):
        with pytest.raises(InputError, match=name):
            make(ArraySettings(path=str(tmp_path / name)), Runtime())


def test_natural_order_compares_numbers_as_numbers() -> None:
    names = ["b2", "a10", "a9", "A1", "a09b", "3"]
    assert sorted(names, key=natural_key) == ["3", "A1", "a9", "a09b", "a10", "b2"]


def test_names_that_repeat_get_their_folder() -> None:
    assert frame_names([Path("x/one/a.tif"), Path("x/two/a.tif")]) == ["one/a.tif", "two/a.tif"]
