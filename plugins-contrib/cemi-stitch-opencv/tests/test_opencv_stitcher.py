"""OpenCV's pipeline keeps the contract of a stitcher, and says what it could not join."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.model.array_source import ArraySource
from cemi_core.model.frame import GreyFrames
from cemi_core.testing import StitcherTests
from cemi_core.testing.samples import cut_tiles
from cemi_stitch_opencv.stitcher import OpencvStitcher, may_overlap


class TestOpencvStitcher(StitcherTests):
    name = "opencv"
    tolerance_px = 1.0


def test_tiles_of_unknown_place_are_found_by_comparing_all_with_all() -> None:
    tiles = cut_tiles(size=(160, 200), seed=4)
    layout = OpencvStitcher().place(list(tiles.arrays))
    error = layout.positions_px - tiles.positions_px
    assert np.abs(error - error.mean(axis=0)).max() < 1.0
    assert not layout.placed_by_prior.any()


def test_an_empty_tile_stands_where_the_stage_should_have_been_and_is_flagged() -> None:
    tiles = cut_tiles(size=(160, 200), seed=5)
    arrays = [np.full_like(a, 0.4) if n == 2 else a for n, a in enumerate(tiles.arrays)]
    nominal = [(float(y) + 1.5, float(x) - 1) for y, x in tiles.positions_px]
    layout = OpencvStitcher().place(ArraySource(arrays, positions_px=nominal))
    assert layout.placed_by_prior.tolist() == [n == 2 for n in range(len(arrays))]
    error = layout.positions_px - tiles.positions_px
    assert np.abs(error - np.median(error, axis=0)).max() < 2
    assert "5 of 6" in layout.notes[0]


def test_frames_of_noise_are_all_left_at_their_nominal_places() -> None:
    rng = np.random.default_rng(0)
    nominal = [(0.0, 0.0), (0.0, 70.0), (60.0, 0.0)]
    layout = OpencvStitcher().place(ArraySource(list(rng.random((3, 96, 128), np.float32)), positions_px=nominal))
    np.testing.assert_array_equal(layout.positions_px, nominal)
    assert layout.placed_by_prior[1:].all()
    assert "none of the 3" in layout.notes[0]


def test_frames_that_share_single_particles_are_never_flung() -> None:
    rng = np.random.default_rng(1)
    size, step = 240, 210
    scene = np.full((2 * step + size, 2 * step + size), 0.3, np.float32)
    for y, x in rng.integers(6, scene.shape[0] - 6, (60, 2)):
        scene[y - 3 : y + 4, x - 3 : x + 4] = rng.uniform(0.5, 0.9)
    truth = np.array([(y, x) for y in (0, step, 2 * step) for x in (0, step, 2 * step)], float)
    arrays = [scene[int(y) : int(y) + size, int(x) : int(x) + size] for y, x in truth]
    arrays = [np.clip(a + rng.normal(0, 0.03, a.shape), 0, 1).astype(np.float32) for a in arrays]
    nominal = truth + rng.uniform(-6, 6, truth.shape)
    source = ArraySource(arrays, positions_px=[(float(y), float(x)) for y, x in nominal], position_tolerance_px=14)
    layout = OpencvStitcher().place(source)
    error = layout.positions_px - truth
    assert np.linalg.norm(error - np.median(error, axis=0), axis=1).max() < 30
    wrong = [pair for pair in layout.pairs if np.abs(pair.shift_px - truth[pair.second] + truth[pair.first]).max() > 30]
    assert wrong
    assert not any(pair.kept for pair in wrong)


def test_frames_that_cannot_overlap_are_not_compared() -> None:
    frames = ArraySource(
        [np.zeros((50, 60), np.float32)] * 3,
        positions_px=[(0, 0), (0, 40), (0, 140)],
        position_tolerance_px=15,
    ).frames
    assert may_overlap(frames)[0, 1]
    assert not may_overlap(frames)[0, 2]
    assert not may_overlap(frames)[1, 2]


def test_no_frames_are_an_input_error() -> None:
    class Nothing(GreyFrames):
        frames = ()
        dtype = np.dtype(np.uint8)

        def read(self, index: int) -> None: ...

    with pytest.raises(InputError, match="no frames"):
        OpencvStitcher().place(Nothing())


def test_without_opencv_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    for use in (OpencvStitcher().prepare, lambda: OpencvStitcher().place(list(cut_tiles().arrays))):
        with pytest.raises(MissingDependencyError, match="pip install opencv-python-headless"):
            use()
