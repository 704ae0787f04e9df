"""A layout corrects frames in one place: shading, brightness, rotation and stretch."""

import h5py
import numpy as np

from cemi_core.model.array_source import ArraySource
from cemi_core.model.corrections import (
    adjusted,
    corrected_frames,
    flattened,
    patch_of,
    spread_over,
    straightened,
)
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


def a_layout(**changes):
    """Two frames of 24 x 32 px, one of them dim, one of them turned."""
    zeros, turn = np.zeros(2), np.deg2rad(2)
    corrections = {
        "gain": np.array([1.0, 1.25]),
        "offset": np.array([0.0, 0.1]),
        "flat_field": np.array([[0.9, 1.1], [0.9, 1.1]]),
        "affine": np.array([np.eye(2), [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]]),
        **changes,
    }
    shapes = np.tile([24, 32], (2, 1))
    return Layout(
        np.array([[0.0, 0.0], [3.5, 20.25]]),
        shapes,
        zeros.astype(int),
        residual_px=zeros,
        placed_by_prior=zeros > 0,
        **corrections,
    )


def test_a_patch_is_free_of_shading_and_carries_what_blending_corrects():
    layout = a_layout()
    image = np.random.default_rng(0).random((24, 32), dtype=np.float32)
    patch = patch_of(layout, 1, image)
    assert (patch.index, patch.y_px, patch.x_px, patch.gain, patch.offset) == (1, 3.5, 20.25, 1.25, 0.1)
    np.testing.assert_array_equal(patch.image, flattened(image, layout.flat_field))
    np.testing.assert_array_equal(patch.affine, layout.affine[1])
    assert patch_of(layout, 0, image).affine is None


def test_whole_frames_are_corrected_as_their_patches_are():
    layout = a_layout()
    source = ArraySource(list(np.random.default_rng(0).random((2, 24, 32), dtype=np.float32)))
    for brightness in (True, False):
        seen = corrected_frames(source, layout, brightness)
        assert [frame.name for frame in seen.frames] == [frame.name for frame in source.frames]
        for index in (0, 1):
            patch = patch_of(layout, index, source.read(index))
            image = adjusted(patch.image, patch.gain, patch.offset) if brightness else patch.image
            expected = image if patch.affine is None else straightened(image, patch.affine)
            np.testing.assert_array_equal(seen.read(index), expected)


def test_frames_that_need_no_correction_are_handed_on_as_they_are():
    ones, zeros = np.ones(2), np.zeros(2)
    source = ArraySource(list(np.random.default_rng(0).random((2, 24, 32), dtype=np.float32)))
    plain = a_layout(gain=ones, offset=zeros, flat_field=None, affine=None)
    assert corrected_frames(source, plain) is source
    assert corrected_frames(source, a_layout(flat_field=None, affine=None), brightness=False) is source
    np.testing.assert_allclose(adjusted(source.read(0), 2.0, 0.5), 2 * source.read(0) + 0.5, rtol=1e-6)


def test_a_turned_frame_is_straightened_to_the_pixels_it_should_show():
    y, x = np.mgrid[:60, :80] - np.array([29.5, 39.5])[:, None, None]
    turn = np.deg2rad(5)
    affine = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    seen = np.einsum("ij,jyx->iyx", affine, np.stack([y, x]))

    def specimen(y, x):
        return 0.5 + 0.2 * np.sin(y / 4) + 0.2 * np.cos(x / 5)

    upright = straightened(specimen(*seen).astype(np.float32), affine)
    inner = slice(10, -10), slice(10, -10)
    assert np.abs(upright - specimen(y, x))[inner].max() < 0.01
