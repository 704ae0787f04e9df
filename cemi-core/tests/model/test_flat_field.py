"""Shading is kept as a coarse picture, spread over frames of any size, and divided out."""

import h5py
import numpy as np

from cemi_core.model.flat_field import flattened, spread_over
from cemi_core.model.layout import Layout
from cemi_run.store.run_file import read_layout, write_layout


def test_a_plane_is_spread_exactly_from_the_first_pixel_to_the_last():
    y, x = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 9), indexing="ij")
    full = spread_over(1 + 0.2 * y - 0.1 * x, (40, 70))
    y, x = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 70), indexing="ij")
    np.testing.assert_allclose(full, 1 + 0.2 * y - 0.1 * x, atol=1e-12)


def test_shading_is_divided_out_and_nan_stays():
    shading = np.array([[0.9, 1.1], [0.9, 1.1]])
    image = (0.4 * spread_over(shading, (30, 50))).astype(np.float32)
    image[3, 4] = np.nan
    flat = flattened(image, shading)
    assert flat.dtype == np.float32 and np.isnan(flat[3, 4])
    assert np.nanmax(np.abs(flat - 0.4)) <= 1e-6


def test_a_layout_keeps_its_flat_field_in_the_file(tmp_path):
    one = np.zeros(1)
    for shading in (None, np.array([[0.9, 1.1], [1.0, 1.0]])):
        layout = Layout(
            np.zeros((1, 2)), np.ones((1, 2), int), one.astype(int), one, one, one, one > 0, flat_field=shading
        )
        with h5py.File(tmp_path / "layout.h5", "w") as file:
            write_layout(file, layout)
            back = read_layout(file).flat_field
        assert back is None if shading is None else np.array_equal(back, shading)
