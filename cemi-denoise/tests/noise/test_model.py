"""The noise model is found from pictures alone, and better from repeats; every truth here is planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d, gaussian_filter

from cemi_core.errors import InputError
from cemi_core.images.read_image import read_pixels
from cemi_core.model.mosaic import Box
from cemi_denoise.noise.model import NoiseModel, estimate_noise_model, estimate_noise_sigma, from_repeats
from cemi_virtual_sem.detector import Detector, DetectorSettings, line_kernel
from cemi_virtual_sem.specimens import make_specimen

CORRELATED = (0.4, -0.1)


def lamellae(period_px, seed=0, side=512, lamellar=1.0):
    """Return a noise-free picture of wavy lamellae in colonies of all directions."""
    specimen = make_specimen(
        "ehea",
        pixel_size_um=0.6 / period_px,
        seed=seed,
        lamella_low=lamellar,
        lamella_high=lamellar,
        spacing_low_um=0.6,
        spacing_high_um=0.6,
    )
    return specimen.render(Box(0, 0, side, side))


def noise(shape, sigma, correlation=(), seed=0):
    """Return Gaussian noise, white across the lines, with the wanted autocorrelation along them."""
    kernel = line_kernel(correlation)
    white = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return sigma * convolve1d(white, kernel / np.sqrt((kernel**2).sum()), axis=1, mode="wrap")


@pytest.mark.parametrize("correlation", [(), CORRELATED], ids=["white", "correlated"])
@pytest.mark.parametrize("lamellar", [1.0, 0.3])
@pytest.mark.parametrize("period_px", [3, 6, 15, 40])
def test_the_noise_of_lamellae_is_measured_to_fifteen_percent(period_px, lamellar, correlation):
    clean = lamellae(period_px, lamellar=lamellar)
    for sigma in (0.02, 0.07, 0.3):
        assert estimate_noise_sigma(clean + noise(clean.shape, sigma, correlation)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("correlation", [(), CORRELATED], ids=["white", "correlated"])
def test_the_noise_of_a_flat_picture_is_measured_to_five_percent(correlation):
    for sigma in (0.004, 0.02, 0.3):
        assert estimate_noise_sigma(0.5 + noise((300, 400), sigma, correlation)) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("image", [np.full((64, 64), 0.3), np.full((9, 9), np.nan), np.zeros((2, 5)), np.zeros((0, 5))])
def test_pictures_without_noise_have_none(image):
    assert estimate_noise_sigma(image.astype(np.float32)) == 0


def test_small_pictures_are_measured_too():
    for side, tolerance in ((8, 0.4), (20, 0.4), (64, 0.15)):
        sigmas = [estimate_noise_sigma(0.5 + noise((side, side), 0.1, seed=seed)) for seed in range(30)]
        assert np.mean(sigmas) == pytest.approx(0.1, rel=tolerance)


def test_missing_and_saturated_places_do_not_count():
    image = np.clip(0.5 + noise((400, 400), 0.05), 0, 1)
    image[:, :120] = 1
    image[200:230, 200:300] = np.nan
    assert estimate_noise_sigma(image) == pytest.approx(0.05, rel=0.05)


def test_noise_along_the_line_is_told_from_noise_across():
    model = estimate_noise_model([lamellae(8, seed) + noise((512, 512), 0.08, CORRELATED, seed) for seed in range(2)])
    np.testing.assert_allclose(model.line_correlation, (*CORRELATED, 0), atol=0.03)
    np.testing.assert_allclose(model.across_correlation, 0, atol=0.06)


def two_phases(side=512):
    """Return large grains of a dark and a bright phase."""
    return gaussian_filter(np.where(gaussian_filter(noise((side, side), 1), 25) > 0, 0.2, 0.8), 1).astype(np.float32)


def test_counted_electrons_give_gain_and_offset():
    detector = Detector(DetectorSettings(electrons_per_px=40, read_noise=0.08))
    clean, rng = two_phases(), np.random.default_rng(1)
    first, second = (detector.record(clean, rng, shaded=False) for _ in range(2))
    for model, tolerance in ((estimate_noise_model([first, second]), 0.2), (from_repeats(first, second), 0.1)):
        assert model.gain == pytest.approx(1 / 40, rel=tolerance)
        assert model.offset == pytest.approx(0.08**2, rel=2 * tolerance)
        np.testing.assert_allclose(model.line_correlation, (0.41, -0.09, -0.07), atol=0.03)


def test_the_noise_of_an_evenly_bright_picture_is_that_of_counted_electrons():
    model = estimate_noise_model([0.5 + noise((400, 400), 0.05)])
    assert model.sigma(0.5) == pytest.approx(0.05, rel=0.05)
    assert model.sigma(0.125) == pytest.approx(0.025, rel=0.1)


def test_repeats_of_fine_lamellae_are_measured_to_five_percent():
    clean = lamellae(3, lamellar=0.3)
    model = from_repeats(*(clean + noise(clean.shape, 0.02, CORRELATED, seed) for seed in (1, 2)))
    assert model.sigma(clean.mean()) == pytest.approx(0.02, rel=0.05)
    np.testing.assert_allclose(model.line_correlation, (*CORRELATED, 0), atol=0.02)


@pytest.mark.parametrize("jitter_px", [0.0, 0.3, 0.6])
def test_lines_that_jump_are_found_in_repeats(jitter_px):
    views, clean = [], lamellae(12)
    places = np.fft.fftfreq(clean.shape[1])
    for seed in (1, 2):
        jumps = jitter_px * np.random.default_rng(seed).standard_normal((clean.shape[0], 1))
        moved = np.fft.ifft(np.fft.fft(clean, axis=1) * np.exp(-2j * np.pi * places * jumps)).real
        views.append(moved.astype(np.float32) + noise(clean.shape, 0.05, CORRELATED, seed))
    assert from_repeats(*views).line_jitter_px == pytest.approx(jitter_px, abs=0.1)


def test_jitter_is_unknown_where_nothing_is_to_be_seen():
    assert np.isnan(
        from_repeats(0.5 + noise((200, 200), 0.05, seed=1), 0.5 + noise((200, 200), 0.05, seed=2)).line_jitter_px
    )


def test_sigma_follows_the_grey_and_is_never_nan():
    model = NoiseModel(gain=0.02, offset=0.0004)
    np.testing.assert_allclose(
        model.sigma(np.array([-1, 0, 0.5, 1], np.float32)) ** 2, [4e-4, 4e-4, 0.0104, 0.0204], rtol=1e-5
    )


def test_what_cannot_be_measured_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="no picture"):
        estimate_noise_model([])
    with pytest.raises(InputError, match="neither saturated nor constant"):
        estimate_noise_model([np.ones((100, 100), np.float32)])
    with pytest.raises(InputError, match="same size"):
        from_repeats(noise((50, 60), 1), noise((50, 50), 1))
    with pytest.raises(InputError, match="same picture"):
        from_repeats(noise((50, 60), 1), noise((50, 60), 1))


def test_real_pictures_of_a_slow_detector_have_correlated_lines(cemi_data):
    path = sorted((cemi_data / "nasa_ebc").rglob("*.tif"))[0]
    model = estimate_noise_model([read_pixels(path).astype(np.float32) / 255])
    assert 0.3 < model.line_correlation[0] < 0.6
    assert abs(model.across_correlation[0]) < 0.05


def test_repeats_that_a_microscope_averaged_share_their_noise(cemi_data):
    path = cemi_data / "external_scan_sem_frames" / "raster.tif"
    first, second, later = (read_pixels(path, page).astype(np.float32) / 255 for page in (10, 11, 30))
    assert from_repeats(first, second).sigma(0.38) < 0.75 * estimate_noise_sigma(first)
    assert from_repeats(first, later).sigma(0.38) > 0.8 * estimate_noise_sigma(first)
