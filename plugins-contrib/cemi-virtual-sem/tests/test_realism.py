from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cemi_virtual_sem.compare import figure, statistics, table
from cemi_virtual_sem.detector import Detector, DetectorSettings
from cemi_virtual_sem.realism import flat_patches, noise_of_pictures, noise_of_repeats, percentiles
from cemi_virtual_sem.session import still_frames


def test_flat_patches_are_found_beside_texture() -> None:
    rng = np.random.default_rng(0)
    picture = 120 + 4 * rng.standard_normal((256, 512))
    picture[:, 256:] += 60 * (np.sin(np.arange(256) / 3) > 0)
    patches = flat_patches(picture, share=0.05)
    assert len(patches) > 5
    assert patches.std(axis=(1, 2)) == pytest.approx(np.full(len(patches), 4), abs=0.5)


def test_comparison_prints_one_line_for_each_set_and_draws_its_curves() -> None:
    images, _ = still_frames("pbse-srse", "tiny", 1, ["specimen.feature_um=3", "stills=4"])
    row = statistics("virtual test", images, noise_of_pictures(images))
    lines = table([row]).splitlines()
    assert len(lines) == 3 and lines[2].startswith("| virtual test (4) | ")
    assert percentiles(row.histogram, (50,))[0] == pytest.approx(np.median(images), abs=1)
    blank, drawn = figure([statistics("virtual test", images, None), row]), figure([row])
    assert drawn.shape == (660, 1040, 3) and (drawn != blank).any()


def test_default_noise_has_the_correlation_of_real_bse_images(cemi_data: Path) -> None:
    files = sorted((cemi_data / "nasa_ebc" / "images").glob("*.tif"))[::4]
    real = noise_of_pictures([tifffile.imread(file)[..., 0] for file in files])
    ramp = np.tile(np.linspace(0.3, 0.7, 320, dtype=np.float32), (256, 1))
    detector = Detector(DetectorSettings())
    virtual = noise_of_repeats([255 * detector.record(ramp, np.random.default_rng(i)) for i in range(8)])
    assert real is not None and real.patches > 50
    assert virtual.along[1:5] == pytest.approx(real.along[1:5], abs=0.06)
    assert virtual.across[1:5] == pytest.approx(real.across[1:5], abs=0.04)


def test_noise_set_from_real_repeats_has_their_line_of_variance_against_mean(cemi_data: Path) -> None:
    frames = tifffile.imread(cemi_data / "external_scan_sem_frames" / "raster.tif")[10:]
    real = noise_of_repeats(list(frames), apart=12)
    settings = DetectorSettings(
        electrons_per_px=255 / real.gain,
        read_noise=real.offset**0.5 / 255,
        line_autocorrelation=(),
        shading=0,
        brightness_drift=0,
    )
    ideal = frames.mean(axis=0).astype(np.float32) / 255
    virtual = noise_of_repeats(
        [255 * Detector(settings).record(ideal, np.random.default_rng(i)) for i in range(len(frames))], apart=12
    )
    # Frames twelve apart differ by what is left of the drift, too.
    assert virtual.deviation == pytest.approx(real.deviation, rel=0.08)
    assert virtual.gain == pytest.approx(real.gain, rel=0.15)
