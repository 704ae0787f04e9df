"""Texture descriptors of known textures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_analyze.texture.descriptors import NO_TEXTURE, Descriptors, DescriptorsSettings, describe
from cemi_core.model.stages import BlockInfo


def noise(seed: int = 0, size: int = 192) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (size, size)).astype(np.float32)


def islands(sigma: float, seed: int = 0, size: int = 192) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), sigma)
    return ((field > 0) * 0.6 + 0.2).astype(np.float32)


def test_white_noise_has_the_entropy_of_independent_levels_and_no_correlation():
    found = describe(noise())
    assert found["entropy"] == pytest.approx(8, abs=0.05)  # two levels of 16, four bits each
    assert found["correlation"] == pytest.approx(0, abs=0.03)
    assert found["anisotropy"] < 0.1


def test_the_matrix_is_that_of_haralick():
    image = np.tile(np.array([[0.0, 0.99]], np.float32), (64, 32))
    found = describe(image, DescriptorsSettings(levels=4, distance_px=2))
    # Two columns or two rows on, levels are the same; on the diagonals one column on they are 0 and 3.
    assert found["correlation"] == pytest.approx(0, abs=0.01)
    assert found["contrast"] == pytest.approx(4.5, abs=0.01)
    assert found["energy"] == pytest.approx(np.sqrt(0.5), abs=0.01)


def test_stripes_are_anisotropic():
    image = np.tile((np.arange(96) % 8 < 4).astype(np.float32), (96, 1))
    assert describe(image)["anisotropy"] == pytest.approx(1, abs=0.01)


def test_finer_islands_have_more_contrast_and_shorter_waves():
    fine, coarse = describe(islands(2.0)), describe(islands(6.0))
    assert fine["contrast"] > 1.5 * coarse["contrast"]
    assert coarse["wave_length"] > 1.6 * fine["wave_length"]
    assert coarse["homogeneity"] > fine["homogeneity"]


def test_the_slope_of_the_spectrum_is_that_of_the_field():
    rng = np.random.default_rng(1)
    size = 256
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * frequency**-1.5, (size, size))
    scaled = ((field - field.min()) / np.ptp(field)).astype(np.float32)
    assert describe(scaled)["spectral_slope"] == pytest.approx(-3.0, abs=0.4)


@pytest.mark.parametrize("part", [1.0, 1 / 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_descriptors_do_not_depend_on_the_depth_of_the_container(dtype, part):
    image = islands(3.0) + 0.03 * np.random.default_rng(2).normal(size=(192, 192)).astype(np.float32)
    peak = np.iinfo(dtype).max
    part = 0.5 if dtype == np.uint8 and part < 1 else part
    stored = np.clip(np.rint(image * part * peak), 0, peak).astype(dtype)
    plain, found = Descriptors().measure(image), Descriptors().measure(stored)
    assert found.value == pytest.approx(plain.value, rel=0.02)
    assert found.extra["texture_correlation"] == pytest.approx(plain.extra["texture_correlation"], abs=0.02)


def test_lengths_come_in_micrometres_and_intervals_hold_another_field_of_the_texture():
    one, other = Descriptors().measure(islands(3.0, 1), 0.5), Descriptors().measure(islands(3.0, 2), 0.5)
    assert one.extra["texture_wave_length_um"] == pytest.approx(0.5 * describe(islands(3.0, 1))["wave_length"], rel=0.2)
    apart = abs(one.extra["texture_wave_length_um"] - other.extra["texture_wave_length_um"])
    width = one.extra["texture_wave_length_um_high"] - one.extra["texture_wave_length_um_low"]
    assert apart < 2 * width


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_one_grey_level_has_no_texture_and_says_so(level):
    found = Descriptors().measure(np.full((120, 120), level, np.float32))
    assert np.isnan(found.value)
    assert found.reason == NO_TEXTURE


def test_a_cell_that_was_hardly_imaged_is_none():
    image = np.full((120, 120), np.nan, np.float32)
    image[:30] = 0.5
    assert Descriptors().process(image, BlockInfo()) is None
