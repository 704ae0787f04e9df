"""What each classical filter promises, alone and as a plugin."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo, Denoiser
from cemi_core.testing.kits import DenoiserTests
from cemi_denoise.denoisers.gaussian import GaussianDenoiser
from cemi_denoise.denoisers.median import MedianDenoiser
from cemi_denoise.denoisers.nonlocal_means import NlmDenoiser
from cemi_denoise.denoisers.picture_filter import fill_missing
from cemi_denoise.denoisers.total_variation import TvDenoiser
from cemi_denoise.denoisers.wiener import WienerDenoiser

FILTERS = [GaussianDenoiser(), MedianDenoiser(), WienerDenoiser(), TvDenoiser(), NlmDenoiser()]
OTHER_SETTINGS = [
    GaussianDenoiser(sigma_px=2.5),
    MedianDenoiser(size_px=5),
    WienerDenoiser(window_px=9, noise=0.08),
    TvDenoiser(strength=1.5, noise=0.08, iterations=20),
    NlmDenoiser(strength=0.8, patch_px=7, search_radius_px=4, noise=0.08),
]


def name_of(denoiser):
    return type(denoiser).__name__


each = pytest.mark.parametrize("denoiser", FILTERS, ids=name_of)
each_setting = pytest.mark.parametrize("denoiser", FILTERS + OTHER_SETTINGS, ids=repr)


def specimen(shape=(220, 260), seed=0):
    """Return round grains of two grey levels: flat regions with borders two pixels wide."""
    blobs = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 6)
    return gaussian_filter(np.where(blobs > 0, 0.65, 0.35), 0.8).astype(np.float32)


def noisy(image, sigma=0.08, seed=1):
    return (image + sigma * np.random.default_rng(seed).standard_normal(image.shape)).astype(np.float32)


def tiled(denoiser, image, height, width):
    result = np.empty_like(image)
    for box in Box(0, 0, *image.shape).tiles(height, width):
        outer = box.grown(denoiser.halo).clipped(image.shape)
        core = Box(box.y - outer.y, box.x - outer.x, box.height, box.width)
        result[box.slices] = denoiser(image[outer.slices])[core.slices]
    return result


@pytest.mark.parametrize("name", ["gaussian", "median", "wiener", "tv", "nlm"])
class TestAsPlugins(DenoiserTests):
    @pytest.fixture(autouse=True)
    def _named(self, name):
        self.name = name


@each
def test_noise_is_removed_and_borders_stay(denoiser):
    clean = specimen()
    result = denoiser(noisy(clean))
    before, after = np.mean((noisy(clean) - clean) ** 2), np.mean((result - clean) ** 2)
    assert after < before / 3
    assert isinstance(denoiser, Denoiser)


@pytest.mark.parametrize("denoiser", [TvDenoiser(), NlmDenoiser()], ids=name_of)
def test_the_slow_filters_are_better_than_the_best_blur(denoiser):
    clean = specimen()
    blurs = [np.mean((GaussianDenoiser(sigma)(noisy(clean)) - clean) ** 2) for sigma in (0.7, 1.0, 1.5, 2.0)]
    assert np.mean((denoiser(noisy(clean)) - clean) ** 2) < 0.9 * min(blurs)


@each_setting
@settings(max_examples=8, deadline=None)
@given(height=st.integers(20, 120), width=st.integers(20, 120), holes=st.booleans(), seed=st.integers(0, 99))
def test_any_tiling_with_the_halo_differs_by_less_than_half_a_grey_level(denoiser, height, width, holes, seed):
    image = noisy(specimen((150, 170), seed))
    if holes:
        image[40:90, 60:75] = np.nan
        image[gaussian_filter(np.random.default_rng(seed).standard_normal(image.shape), 3) > 0.1] = np.nan
    difference = np.abs(denoiser(image) - tiled(denoiser, image, height, width))
    assert np.nanmax(difference) < 0.5 / 255
    np.testing.assert_array_equal(np.isnan(difference), np.isnan(image))


def photons(mean_count=200):
    return (np.random.default_rng(3).poisson(specimen() * mean_count) / mean_count).astype(np.float32)


@pytest.mark.parametrize("denoiser", [d for d in FILTERS + OTHER_SETTINGS if d != MedianDenoiser(5)], ids=repr)
def test_the_mean_grey_level_stays_to_two_parts_in_a_thousand(denoiser):
    assert denoiser(photons()).mean() == pytest.approx(photons().mean(), rel=0.002)


@pytest.mark.parametrize(("electrons", "fall"), [(100, 0.0015), (50, 0.003)])
def test_a_large_median_lowers_the_mean_by_up_to_a_sixth_of_an_electron(electrons, fall):
    counted = (np.random.default_rng(3).poisson(electrons, (1500, 1500)) / (2 * electrons)).astype(np.float32)
    assert 1 - MedianDenoiser(5)(counted).mean() / counted.mean() == pytest.approx(fall, abs=0.0004)


@each_setting
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_picture_is_unchanged(denoiser, level):
    flat = np.full((70, 90), level, np.float32)
    np.testing.assert_allclose(denoiser(flat), flat, atol=1e-6)


@each_setting
def test_missing_pixels_stay_missing_and_are_the_only_ones(denoiser):
    image = noisy(specimen())
    image[50:80, 100:140] = np.nan
    image[0, 0] = image[7, 9] = np.nan
    image[:, 250:] = np.nan
    np.testing.assert_array_equal(np.isnan(denoiser(image)), np.isnan(image))


@each
def test_what_lies_beside_a_hole_is_not_darkened(denoiser):
    image = noisy(np.full((120, 120), 0.8, np.float32), 0.02)
    image[:, 60:] = np.nan
    assert denoiser(image)[:, 55:60].mean() == pytest.approx(0.8, abs=0.01)


@each
def test_pixels_that_are_not_valid_do_not_count_and_come_back_as_they_were(denoiser):
    image = noisy(np.full((120, 120), 0.8, np.float32), 0.02)
    image[:, 60:] = 0
    valid = np.zeros(image.shape, bool)
    valid[:, :60] = True
    result = denoiser(image, BlockInfo(valid=valid))
    assert result[:, 55:60].mean() == pytest.approx(0.8, abs=0.01)
    assert (result[:, 60:] == 0).all()


@each
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_other_types_come_back_in_their_own_type_and_scale(denoiser, dtype):
    image = np.clip(noisy(specimen()), 0, 1)
    top = np.iinfo(dtype).max if dtype != "float64" else 1
    given_image = (np.rint(image * top) if top > 1 else image).astype(dtype)
    result = denoiser(given_image)
    assert result.dtype == dtype
    np.testing.assert_allclose(result / top, denoiser(image), atol=0.02)


@each
def test_the_frames_of_a_stack_do_not_see_each_other(denoiser):
    one, other = noisy(specimen(seed=0)), noisy(specimen(seed=5))
    result = denoiser(np.stack([one, other]))
    # The order of sums in a compiled library may depend on where an array lies in memory.
    np.testing.assert_allclose(result[0], denoiser(one), atol=1e-6)
    np.testing.assert_allclose(result[1], denoiser(other), atol=1e-6)


@each
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (40, 1)])
def test_pictures_smaller_than_the_filter_are_denoised_too(denoiser, shape):
    image = noisy(np.full(shape, 0.5, np.float32))
    result = denoiser(image)
    assert result.shape == shape
    assert np.isfinite(result).all()


@each
def test_a_picture_with_nothing_imaged_comes_back(denoiser):
    image = np.full((40, 50), np.nan, np.float32)
    assert np.isnan(denoiser(image)).all()


@each
@pytest.mark.parametrize("bad", [np.zeros(5, np.float32), np.zeros((0, 4), np.float32), np.zeros((4, 4), np.int32)])
def test_what_is_no_picture_is_refused_in_a_sentence(denoiser, bad):
    with pytest.raises(InputError, match="a picture to denoise"):
        denoiser(bad)


def test_settings_change_what_they_say():
    image = noisy(specimen())
    for weak, strong in [
        (GaussianDenoiser(0.8), GaussianDenoiser(2)),
        (MedianDenoiser(3), MedianDenoiser(5)),
        (WienerDenoiser(noise=0.02), WienerDenoiser(noise=0.2)),
        (TvDenoiser(strength=0.2), TvDenoiser(strength=1)),
        (TvDenoiser(noise=0.02), TvDenoiser(noise=0.1)),
        (NlmDenoiser(strength=0.3), NlmDenoiser(strength=1)),
        (NlmDenoiser(search_radius_px=2), NlmDenoiser(search_radius_px=10)),
    ]:
        roughness = [np.abs(np.diff(denoiser(image), axis=1)).mean() for denoiser in (weak, strong)]
        assert roughness[1] < 0.95 * roughness[0], strong


def test_more_steps_bring_total_variation_nearer_to_its_minimum():
    image = noisy(specimen())

    def energy(u):
        slope = np.hypot(np.diff(u, axis=0, append=u[-1:]), np.diff(u, axis=1, append=u[:, -1:]))
        return 0.5 * ((u - image) ** 2).sum() + 0.7 * 0.08 * slope.sum()

    energies = [energy(TvDenoiser(noise=0.08, iterations=n)(image)) for n in (5, 30, 300)]
    assert energies[0] > energies[1] > energies[2]
    assert energies[1] < 1.02 * energies[2]


def test_larger_patches_find_fine_stripes_in_strong_noise():
    stripes = np.tile(np.where(np.arange(200) % 5 < 2, 0.3, 0.7), (200, 1)).astype(np.float32)
    image = noisy(stripes, 0.2)
    errors = [np.mean((NlmDenoiser(patch_px=size, noise=0.2)(image) - stripes) ** 2) for size in (3, 7)]
    assert errors[1] < errors[0]


def test_a_hole_is_filled_with_what_lies_around_it():
    image = np.full((30, 30), 0.2, np.float32)
    image[:, 15:] = 0.6
    imaged = np.ones_like(image, bool)
    imaged[10:13, 3:6] = imaged[10:13, 24:27] = False
    filled = fill_missing(np.where(imaged, image, np.nan), imaged, 4)
    np.testing.assert_allclose(filled, image, atol=1e-6)


@each
def test_the_threads_of_the_machine_reach_opencv_in_any_process(denoiser):
    try:
        pickle.loads(pickle.dumps(replace(denoiser, threads=2)))(specimen())
        assert cv2.getNumThreads() == 2
    finally:
        denoiser(specimen())
    assert cv2.getNumThreads() == 1


def test_naming_the_denoisers_imports_none_of_them():
    script = "import cemi_denoise.plugin, sys; print(any(m in sys.modules for m in ('cv2', 'numpy', 'scipy')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
