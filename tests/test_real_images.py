"""Claims on real micrographs (see docs/data.md); skipped where they are not."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from cemi_run.engine.folder import RunFolder
from cemi_run.store.run_file import read_layout

RECIPES = Path(__file__).parent.parent / "recipes"


@pytest.fixture
def run(cemi, cemi_data, tmp_path, monkeypatch):
    monkeypatch.setenv("CEMI_DATA", str(cemi_data))

    def run(recipe, *more):
        answer = cemi("recipe", RECIPES / recipe, "--out", tmp_path / "run", "--quiet", *more)
        assert answer.code == 0, answer.err
        with h5py.File(RunFolder(tmp_path / "run").run_file) as file:
            layout = read_layout(file["layout"])
        with (tmp_path / "run" / "layout.csv").open() as stream:
            names = [row["file"] for row in csv.DictReader(stream)]
        return layout, names

    return run


def test_the_29_dendrite_tiles_form_one_component_that_agrees_to_half_a_pixel(run):
    layout, names = run("dendrite-tiles.yaml")
    assert len(names) == 29
    assert set(layout.component) == {0}
    assert not layout.placed_by_prior.any()
    number = [int(name[:3]) for name in names]
    kept = [pair for pair in layout.pairs if pair.kept]
    errors = {"consecutive": [], "side": []}
    for pair in kept:
        shift = layout.positions_px[pair.second] - layout.positions_px[pair.first]
        kind = "consecutive" if abs(number[pair.first] - number[pair.second]) == 1 else "side"
        errors[kind].append(np.hypot(*(shift - pair.shift_px)))
    assert len(errors["consecutive"]) == 27
    assert len(errors["side"]) >= 12
    assert np.median(errors["consecutive"]) <= 0.5
    assert np.median(errors["side"]) <= 0.5
    steps = np.diff(layout.positions_px[1:14], axis=0)
    assert (steps[:11, 0] > 1700).all()
    assert (steps[:11, 0] < 1870).all()


def test_the_six_bse_tiles_lie_where_their_offsets_were_measured(run):
    layout, names = run("stitch2d-tiles.yaml")
    place = {
        name[len("stitch2d_ex[Grid@") : -len("].jpg")]: xy for name, xy in zip(names, layout.positions_px, strict=True)
    }
    for row in range(3):
        np.testing.assert_allclose(place[f"1 {row}"] - place[f"0 {row}"], (3, 380), atol=1)
    for row in range(2):
        for column in range(2):
            np.testing.assert_allclose(place[f"{column} {row + 1}"] - place[f"{column} {row}"], (396, -5), atol=1)


def test_sparse_zircon_tiles_are_not_flung_far(cemi, cemi_data, tmp_path):
    layout_path = tmp_path / "layout.csv"
    tiles = cemi_data / "zircon_sem_tiles"
    answer = cemi("stitch", tiles, "--out", tmp_path / "m.h5", "--layout", layout_path, "--quiet")
    assert answer.code == 0, answer.err
    with layout_path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 11
    places = np.array([(float(row["y_px"]), float(row["x_px"])) for row in rows])
    steps = np.hypot(*np.diff(places, axis=0).T)
    from cemi_run.store.protocol import open_mosaic

    with open_mosaic(tmp_path / "m.h5") as mosaic:
        assert max(mosaic.shape) < 11 * 2600
    assert steps.max() < 2600
