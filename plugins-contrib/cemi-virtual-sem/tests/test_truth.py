from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_virtual_sem import Session, open_specimen, truth_on_grid
from cemi_virtual_sem.hardness import planted_hardness_hv


def test_truth_on_a_grid_is_the_mean_over_each_cell_wherever_the_mosaic_lies(
    tiny_video: Path, tiny_session: Session
) -> None:
    y, x, height, width = -3, 5, 300, 540
    found = truth_on_grid(tiny_video / "truth.h5", 2, 4, (y, x, height, width))
    pixels = tiny_session.specimen.truth(Box(y, x, height, width))
    spacing, lamella = pixels.means["lamella_spacing_um"]
    grid = Grid(2, 4, (height, width))
    for row in range(2):
        for column in range(4):
            cell = grid.box(row, column).slices
            # Blocks of 16 px cut by the cell's edge are shared out by area, hence the tolerance.
            assert found["bcc_fraction"][row, column] == pytest.approx(pixels.masks["bcc"][cell].mean(), abs=0.01)
            assert found["lamella_fraction"][row, column] == pytest.approx(lamella[cell].mean(), abs=0.02)
            if lamella[cell].sum() > 2000:
                true = spacing[cell][lamella[cell]].mean()
                assert found["lamella_spacing_um"][row, column] == pytest.approx(true, rel=0.01)


def test_truth_of_whole_blocks_is_exact(tiny_video: Path, tiny_session: Session) -> None:
    found = truth_on_grid(tiny_video / "truth.h5", 3, 4, Box(32, 64, 3 * 64, 4 * 96))
    bcc = tiny_session.specimen.truth(Box(32, 64, 3 * 64, 4 * 96)).masks["bcc"]
    np.testing.assert_allclose(found["bcc_fraction"], bcc.reshape(3, 64, 4, 96).mean(axis=(1, 3)), rtol=1e-12)


def test_cells_without_lamellae_have_no_spacing(tiny_video: Path) -> None:
    cells = truth_on_grid(tiny_video / "truth.h5", 20, 36, (0, 0, 320, 576))
    empty = cells["lamella_fraction"] == 0
    assert empty.any() and not empty.all()
    np.testing.assert_array_equal(np.isnan(cells["lamella_spacing_um"]), empty)


def test_a_mosaic_beyond_the_truth_and_a_file_that_is_no_truth_are_refused(tiny_video: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="truth is known for x from"):
        truth_on_grid(tiny_video / "truth.h5", 2, 2, (0, 0, 100, 9000))
    with pytest.raises(InputError, match="cannot read"):
        truth_on_grid(tmp_path / "missing.h5", 2, 2, (0, 0, 10, 10))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(InputError, match="not the truth of a virtual recording"):
        truth_on_grid(tmp_path / "other.h5", 2, 2, (0, 0, 10, 10))


def test_the_specimen_and_its_masks_can_be_had_again_from_the_truth_file(
    tiny_video: Path, tiny_session: Session
) -> None:
    box = Box(10, 20, 90, 80)
    again = open_specimen(tiny_video / "truth.h5")
    np.testing.assert_array_equal(again.render(box), tiny_session.specimen.render(box))
    with h5py.File(tiny_video / "truth.h5") as file:
        mask = file["masks/bcc"]
        stored = mask[10 - mask.attrs["origin_y_px"] :, 20 - mask.attrs["origin_x_px"] :][:90, :80]
    np.testing.assert_array_equal(stored.astype(bool), again.truth(box).masks["bcc"])


@pytest.mark.parametrize("r", [0.633, -0.9, 0.0])
def test_hardness_has_exactly_the_planted_correlation_and_fills_its_range(r: float) -> None:
    fraction = np.linspace(0.3, 0.36, 25) ** 1.3
    hv = planted_hardness_hv(fraction, r, seed=2)
    assert np.corrcoef(hv, fraction)[0, 1] == pytest.approx(r, abs=1e-9)
    assert (hv.min(), hv.max()) == pytest.approx((450, 550))


def test_hardness_table_of_a_recording_relates_to_its_bcc_fraction_as_planted(tiny_video: Path) -> None:
    with (tiny_video / "hardness.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    hv, x_um = (np.array([float(row[name]) for row in rows]) for name in ("hv", "x_um"))
    bcc = truth_on_grid(tiny_video / "truth.h5", 1, len(rows), (0, 0, 322, 576))["bcc_fraction"][0]
    assert np.corrcoef(hv, bcc)[0, 1] == pytest.approx(0.633, abs=0.01)
    assert np.diff(x_um) == pytest.approx(np.full(len(x_um) - 1, 7.2))
    with h5py.File(tiny_video / "truth.h5") as file:
        assert file["hardness"].attrs["r"] == pytest.approx(0.633, abs=0.01)
