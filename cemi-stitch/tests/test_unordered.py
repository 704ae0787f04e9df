"""Frames in no order and without positions find their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cemi_core.model.array_source import ArraySource
from cemi_run.sources.images import ImagesSettings, ImagesSource
from cemi_stitch.coarse.unordered_search import PARTNERS, proposed_windows
from cemi_stitch.stitcher import KorniaStitcher

Record = Callable[..., object]


@pytest.fixture
def shuffled(record: Record) -> Callable[..., tuple[ArraySource, Callable[[np.ndarray], np.ndarray]]]:
    """Return a function that records a grid and forgets its order; with the errors of a layout."""

    def make(**grid: object) -> tuple[ArraySource, Callable[[np.ndarray], np.ndarray]]:
        recording = record(nominal=False, **grid)
        order = np.random.default_rng(1).permutation(len(recording.truth_px))

        def errors_px(positions_px: np.ndarray) -> np.ndarray:
            error = positions_px - recording.truth_px[order]
            return np.linalg.norm(error - np.median(error, axis=0), axis=1)

        return ArraySource([recording.source.read(n) for n in order]), errors_px

    return make


@pytest.mark.parametrize("overlap", [0.12, 0.25])
@pytest.mark.parametrize("specimen", ["dendritic", "lamellar"])
def test_a_shuffled_grid_of_twenty_tiles_is_put_together(
    shuffled: Callable[..., tuple], specimen: str, overlap: float
) -> None:
    source, errors_px = shuffled(specimen=specimen, rows=4, columns=5, overlap=(overlap, overlap), noise=0.05)
    layout = KorniaStitcher().place(source)
    assert layout.component.max() == 0
    assert errors_px(layout.positions_px).max() <= 0.4


def test_more_tiles_than_are_compared_each_with_each_at_thumbnail_size(shuffled: Callable[..., tuple]) -> None:
    source, errors_px = shuffled(rows=7, columns=7, shape=(120, 160), overlap=(0.22, 0.22), noise=0.05, jitter_px=3)
    layout = KorniaStitcher().place(source)
    assert layout.component.max() == 0
    assert np.median(errors_px(layout.positions_px)) <= 0.2
    assert errors_px(layout.positions_px).max() <= 0.6


def test_proposals_hold_the_neighbours_and_nothing_that_is_joined_already(record: Record) -> None:
    recording = record(rows=3, columns=3, shape=(200, 260), overlap=(0.25, 0.25))
    pictures = [torch.from_numpy(recording.source.read(n) - 0.45) for n in range(9)]
    windows = {(w.first, w.second): w for w in proposed_windows(pictures, 1, np.arange(9), 0.03)}
    for i, j in [(0, 1), (1, 2), (0, 3), (4, 5), (4, 7), (7, 8)]:
        true = recording.truth_px[j] - recording.truth_px[i]
        assert (np.abs(np.subtract(windows[i, j].shift_px, true)) <= windows[i, j].reach_px).all()
    assert len(windows) <= 9 * PARTNERS
    joined = proposed_windows(pictures, 1, np.array([0, 0, 0, 1, 1, 1, 2, 2, 2]), 0.03)
    assert all(w.first // 3 != w.second // 3 for w in joined)


def test_shuffled_dendritic_tiles_find_their_neighbours(real_data: Path) -> None:
    """Real tiles, a quarter of their size to save time; measured at full size: 016 lies (-8, 2416) px from 015."""
    ordered = ImagesSource(ImagesSettings(path=str(real_data / "dendritic_sem_tiles" / "*.jpg")))
    order = np.random.default_rng(4).permutation(len(ordered.frames))
    frames = [cv2.resize(ordered.read(int(n)), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) for n in order]
    layout = KorniaStitcher().place(frames)
    place = {ordered.frames[n].name: 4 * layout.positions_px[k] for k, n in enumerate(order)}
    assert layout.component.max() == 0
    assert np.abs(place["016.jpg"] - place["015.jpg"] - [-8, 2416]).max() <= 8
    names = sorted(place)
    for first, second in pairwise(names):
        step = place[second] - place[first]
        assert abs(step[1]) <= 20 or second == "016.jpg"
        if first not in ("001.jpg", "014.jpg", "015.jpg", "029.jpg"):
            assert 1650 <= abs(step[0]) <= 1870
