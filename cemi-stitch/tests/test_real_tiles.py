"""Real tiles: what must hold on public data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cemi_core.model.layout import Layout, PairShift
from cemi_run.sources.images import ImagesSettings, ImagesSource
from cemi_stitch.stitcher import KorniaStitcher


def misfits_px(layout: Layout, pairs: list[PairShift]) -> np.ndarray:
    place = layout.positions_px
    return np.array([np.linalg.norm(place[p.second] - place[p.first] - p.shift_px) for p in pairs])


def test_seven_offsets_of_the_bse_tiles_are_within_one_pixel(real_data: Path) -> None:
    source = ImagesSource(ImagesSettings(path=str(real_data / "stitch2d_bse_tiles" / "*.jpg")))
    layout = KorniaStitcher().place(source)
    names = [frame.name for frame in source.frames]
    place = {name[name.index("@") + 1 : name.index("]")]: layout.positions_px[n] for n, name in enumerate(names)}
    for row in "012":
        assert np.abs(place[f"1 {row}"] - place[f"0 {row}"] - [3, 380]).max() <= 1
    for column in "01":
        for row in (0, 1):
            step = place[f"{column} {row + 1}"] - place[f"{column} {row}"]
            assert np.abs(step - [396, -5]).max() <= 1
    assert not layout.placed_by_prior.any()


def test_dendritic_tiles_are_one_component_and_neighbours_agree_to_half_a_pixel(real_data: Path) -> None:
    settings = ImagesSettings(
        path=str(real_data / "dendritic_sem_tiles" / "*.jpg"),
        grid={"rows": 15, "columns": 2, "order": "column-serpentine", "overlap": 0.07},
        numbering="name",
    )
    source = ImagesSource(settings)
    layout = KorniaStitcher().place(source)
    assert layout.component.max() == 0
    kept = [pair for pair in layout.pairs if pair.kept]
    row = [frame.row for frame in source.frames]
    side = [pair for pair in kept if row[pair.first] != row[pair.second]]
    assert len(side) >= 14
    assert np.median(misfits_px(layout, kept)) <= 0.5
    assert np.median(misfits_px(layout, side)) <= 0.5
    steps = np.diff(layout.positions_px, axis=0)
    names = [frame.name for frame in source.frames]
    turn = names.index("016.jpg")
    assert np.abs(steps[turn - 1] - [-8, 2416]).max() <= 6


def test_sparse_zircon_tiles_are_not_flung_and_their_stray_last_step_is_found(real_data: Path) -> None:
    settings = ImagesSettings(
        path=str(real_data / "zircon_sem_tiles" / "*.jpg"),
        grid={"rows": 1, "columns": 11, "start": "top-right", "overlap": 0.08},
    )
    layout = KorniaStitcher().place(ImagesSource(settings))
    steps = np.diff(layout.positions_px, axis=0)
    assert (np.abs(steps[:, 0]) <= 160).all()
    assert ((steps[:, 1] > -2592) & (steps[:, 1] < -1500)).all()


@pytest.mark.parametrize("folder", ["zircon_sem_tiles"])
def test_zircon_tiles_without_hints_are_flagged_or_right_but_never_on_top_of_each_other(
    real_data: Path, folder: str
) -> None:
    source = ImagesSource(ImagesSettings(path=str(real_data / folder / "*.jpg")))
    layout = KorniaStitcher().place(source)
    steps = np.linalg.norm(np.diff(layout.positions_px, axis=0), axis=1)
    assert (steps >= 1500).all()
