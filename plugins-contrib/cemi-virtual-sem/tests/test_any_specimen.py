from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from cemi_core.model.mosaic import Box
from cemi_specimens import make_specimen as made
from cemi_specimens import write_specimen
from cemi_virtual_sem import Session, open_specimen, session_settings, truth_on_grid
from cemi_virtual_sem.command import virtual_sem

_TINY = ("--size", "tiny", "--mode", "stills", "--set", "stills=2")


def _record(tmp_path: Path, name: str, *more: str) -> Path:
    result = CliRunner().invoke(virtual_sem, [name, "--out", str(tmp_path / name), *_TINY, *more])
    assert result.exit_code == 0, (result.output, result.exception)
    return tmp_path / name


def test_a_polycrystal_of_another_package_is_filmed_with_masks_labels_and_grains_in_the_truth(tmp_path: Path) -> None:
    folder = _record(tmp_path, "voronoi", "--seed", "3", "--set", "specimen.grain_um=3")
    specimen = open_specimen(folder / "truth.h5")
    box = Box(0, 0, 300, 500)
    truth = specimen.truth(box)
    with h5py.File(folder / "truth.h5") as file:
        origin = int(file.attrs["origin_y_px"]), int(file.attrs["origin_x_px"])
        window = Box(-origin[0], -origin[1], box.height, box.width).slices
        np.testing.assert_array_equal(file["masks/boundary"][window].astype(bool), truth.masks["boundary"])
        np.testing.assert_array_equal(file["labels"][window], truth.labels)
        assert set(np.unique(truth.labels)) <= set(file["objects/number"][()].astype(np.int64))
    cells = truth_on_grid(folder / "truth.h5", 2, 2, (0, 0, 320, 512))
    found = specimen.truth(Box(0, 0, 160, 256)).masks["boundary"].mean()
    assert cells["boundary_fraction"][0, 0] == pytest.approx(found, abs=1e-9)
    assert (folder / "hardness.csv").is_file()


def test_a_still_shows_the_specimen_where_the_table_says(tmp_path: Path) -> None:
    settings = session_settings(
        "laguerre", "tiny", ["specimen.grain_um=4", "specimen.grains_per_period=60", "detector.dwell=9"]
    )
    session = Session("laguerre", settings, seed=2)
    _, _, (y, x) = session.still_places()[3]
    still = session.still(3, (round(y), round(x))).astype(float)
    ideal = session.specimen.render(Box(round(y), round(x), *still.shape))
    assert np.corrcoef(still.ravel(), ideal.ravel())[0, 1] > 0.85


def test_atoms_are_filmed_at_their_own_pixel_size(tmp_path: Path) -> None:
    folder = _record(tmp_path, "graphene")
    with h5py.File(folder / "truth.h5") as file:
        assert file.attrs["pixel_size_um"] == pytest.approx(1e-5)
        assert set(file["objects"]) >= {"y_px", "x_px", "height_nm"}
    assert tifffile.imread(next((folder / "frames").glob("*.tif"))).std() > 3


def test_fields_have_means_in_the_truth(tmp_path: Path) -> None:
    folder = _record(tmp_path, "gaussian-field")
    cells = truth_on_grid(folder / "truth.h5", 1, 1, (0, 0, 320, 512))
    field = open_specimen(folder / "truth.h5").truth(Box(0, 0, 320, 512)).fields["gaussian_field"]
    assert cells["gaussian_field"][0, 0] == pytest.approx(field.mean(), abs=1e-5)


def test_a_specimen_from_files_is_filmed(tmp_path: Path) -> None:
    write_specimen(tmp_path / "made", made("voronoi", grain_um=3.0), (400, 640), {})
    folder = _record(tmp_path, "files", "--set", f"specimen.path={tmp_path / 'made'}")
    assert open_specimen(folder / "truth.h5").mask_names == ("boundary",)


def test_a_specimen_without_masks_has_truth_but_no_hardness(tmp_path: Path) -> None:
    write_specimen(tmp_path / "made", made("voronoi"), (300, 300), {})
    for mask in (tmp_path / "made" / "masks").iterdir():
        mask.unlink()
    folder = _record(tmp_path, "files", "--set", f"specimen.path={tmp_path / 'made'}")
    assert (folder / "truth.h5").is_file()
    assert not (folder / "hardness.csv").exists()
