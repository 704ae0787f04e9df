from __future__ import annotations

import numpy as np
import pytest

from cemi_core.errors import UsageError
from cemi_virtual_sem.detector import Detector, DetectorSettings, line_kernel
from cemi_virtual_sem.realism import noise_of_repeats

PLAIN = {"shading": 0.0, "brightness_drift": 0.0}


def _noise(level: float, seed: int = 0, **settings: object) -> np.ndarray:
    detector = Detector(DetectorSettings(**PLAIN, **settings))
    picture = np.full((400, 500), level, np.float32)
    return detector.record(picture, np.random.default_rng(seed)).astype(float)


@pytest.mark.parametrize("autocorrelation", [(), (0.41, -0.09, -0.07)])
def test_noise_variance_grows_linearly_with_the_mean(autocorrelation: tuple[float, ...]) -> None:
    levels = np.array([0.2, 0.35, 0.5, 0.65, 0.8])
    recorded = [
        _noise(v, i, electrons_per_px=60, read_noise=0.02, line_autocorrelation=autocorrelation)
        for i, v in enumerate(levels)
    ]
    variance = [r.var() for r in recorded]
    assert [r.mean() for r in recorded] == pytest.approx(levels, abs=0.002)
    assert variance == pytest.approx(levels / 60 + 0.02**2, rel=0.03)


def test_noise_is_as_skewed_as_counted_electrons() -> None:
    electrons = 16.0
    noise = _noise(0.5, electrons_per_px=2 * electrons, read_noise=0.0, line_autocorrelation=())
    standard = (noise - noise.mean()) / noise.std()
    assert np.mean(standard**3) == pytest.approx(electrons**-0.5, rel=0.08)


def test_dwell_divides_the_variance() -> None:
    fast, slow = _noise(0.5, read_noise=0.0), _noise(0.5, read_noise=0.0, dwell=9.7)
    assert fast.var() / slow.var() == pytest.approx(9.7, rel=0.03)


@pytest.mark.parametrize("wanted", [(0.41, -0.09, -0.07), (0.1, 0.02, 0.0), (0.37, 0.04, 0.01), (0.0, 0.0, 0.0)])
def test_autocorrelation_along_the_line_is_the_stated_one_and_lines_are_independent(
    wanted: tuple[float, ...],
) -> None:
    noise = _noise(0.5, line_autocorrelation=wanted)
    noise -= noise.mean()
    along = [np.mean(noise[:, lag:] * noise[:, :-lag]) / noise.var() for lag in (1, 2, 3, 4, 5)]
    across = [np.mean(noise[lag:] * noise[:-lag]) / noise.var() for lag in (1, 2, 3)]
    assert along == pytest.approx([*wanted, 0, 0], abs=0.02)
    assert across == pytest.approx([0, 0, 0], abs=0.01)


def test_the_line_filter_shifts_nothing_and_keeps_the_brightness() -> None:
    kernel = line_kernel((0.41, -0.09, -0.07))
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-7)
    assert kernel.sum() == pytest.approx(1)


def test_an_autocorrelation_that_no_noise_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no noise has the autocorrelation"):
        line_kernel((0.9, -0.9))


def test_shading_darkens_the_corners_and_brightness_drifts_with_time() -> None:
    detector = Detector(DetectorSettings(electrons_per_px=1e6, shading=0.3, brightness_drift=0.1, drift_period_s=40))
    flat = np.full((200, 300), 0.5, np.float32)
    pictures = [detector.record(flat, np.random.default_rng(0), time_s=t) for t in (0, 10, 20, 30)]
    assert pictures[0][:20, :20].mean() < 0.9 * pictures[0][110:120, 180:200].mean()
    middles = [p[110:120, 180:200].mean() for p in pictures]
    assert np.ptp(middles) / np.mean(middles) > 0.1


def test_noise_is_independent_from_picture_to_picture() -> None:
    pair = [_noise(0.5, seed) - 0.5 for seed in (1, 2)]
    assert abs(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]) < 0.01


def test_realism_statistics_recover_planted_noise() -> None:
    ramp = np.tile(np.linspace(0.25, 0.75, 320, dtype=np.float32), (256, 1))
    detector = Detector(DetectorSettings(**PLAIN, electrons_per_px=255 / 1.15, read_noise=27**0.5 / 255))
    frames = [255 * detector.record(ramp, np.random.default_rng(i)) for i in range(20)]
    noise = noise_of_repeats(frames)
    assert noise.gain == pytest.approx(1.15, rel=0.06)
    assert noise.offset == pytest.approx(27, abs=9)
    assert noise.along[1:4] == pytest.approx([0.41, -0.09, -0.07], abs=0.02)
    assert noise.across[1:4] == pytest.approx([0, 0, 0], abs=0.02)
