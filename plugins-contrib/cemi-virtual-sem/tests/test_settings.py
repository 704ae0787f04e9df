"""Every knob of specimen, microscope and recorder does what its description says."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from cemi_core.model.mosaic import Box
from cemi_virtual_sem import Session, make_specimen, session_settings, write_recording
from cemi_virtual_sem.recorder import RecorderSettings, screen_frames
from cemi_virtual_sem.screen import data_bar

BOX = Box(0, 0, 400, 400)


@pytest.mark.parametrize(
    ("name", "mask", "inside", "outside"),
    [("ehea", "bcc", "bcc_grey", "fcc_grey"), ("pbse-srse", "sr", "sr_grey", "pb_grey")],
)
def test_the_phases_have_their_stated_grey_levels(name: str, mask: str, inside: str, outside: str) -> None:
    specimen = make_specimen(name, blur_px=0.0, **{inside: 0.25, outside: 0.75})
    sharp, there = specimen.sharp(BOX), specimen.truth(BOX).masks[mask]
    assert np.median(sharp[there]) == pytest.approx(0.25, abs=0.05)
    assert np.median(sharp[~there]) == pytest.approx(0.75, abs=0.05)


def test_dots_are_as_many_as_stated_and_none_is_none() -> None:
    black = [
        (make_specimen("ehea", blur_px=0.0, bcc_grey=0.5, dots_per_um2=density).sharp(BOX) < 0.2).sum()
        for density in (0.0, 0.02, 0.08)
    ]
    assert black[0] == 0 < black[1] < black[2]


def test_scatter_of_the_spacing_between_colonies_is_the_stated_one() -> None:
    even = {"spacing_low_um": 0.65, "spacing_high_um": 0.65, "waviness": 0.0, "lamella_low": 1.0, "lamella_high": 1.0}
    for scatter in (0.0, 0.1):
        specimen = make_specimen("ehea", spacing_scatter=scatter, **even)
        spacing, there = specimen.truth(Box(0, 0, 1500, 1500)).means["lamella_spacing_um"]
        assert spacing[there].std() / spacing[there].mean() == pytest.approx(scatter, abs=0.03)


def test_primary_bcc_makes_wide_dark_areas_at_the_same_fraction() -> None:
    widest, shares = [], []
    for share in (0.0, 0.2):
        specimen = make_specimen(
            "ehea", primary_share=share, lamella_low=0, lamella_high=0, bcc_low=0.34, bcc_high=0.36
        )
        bcc = specimen.truth(Box(0, 0, 1000, 1000)).masks["bcc"]
        windows = np.lib.stride_tricks.sliding_window_view(bcc, (9, 9))[::3, ::3]
        widest.append(windows.all(axis=(2, 3)).mean())
        shares.append(bcc.mean())
    assert widest[0] < 0.2 * widest[1]
    assert shares == pytest.approx([0.35, 0.35], abs=0.03)


def test_grains_and_their_grooves_look_as_stated() -> None:
    def levels(**settings: float) -> tuple[float, float, float, float]:
        specimen = make_specimen("polycrystal", blur_px=0.0, **settings)
        sharp, groove = specimen.sharp(BOX), specimen.truth(BOX).masks["boundary"]
        dark = float((sharp < np.median(sharp) - 0.5 * settings.get("groove_depth", 0.22)).mean())
        return float(sharp[~groove].mean()), float(sharp[~groove].std()), float(sharp[groove].mean()), dark

    plain, bright, varied, deep, wide = (
        levels(**{"grain_contrast": 0.0, **change})
        for change in ({}, {"mean_grey": 0.7}, {"grain_contrast": 0.4}, {"groove_depth": 0.44}, {"groove_px": 5.0})
    )
    assert bright[0] - plain[0] == pytest.approx(0.18, abs=0.005)
    assert varied[1] > 2 * plain[1]
    assert plain[2] - deep[2] > 0.05
    assert wide[3] > 1.5 * plain[3]


def test_frames_come_at_even_times_without_jitter_and_at_uneven_ones_with_it() -> None:
    still = {"skipped_share": 0.0, "repeated_share": 0.0, "marker_share": 0.0}
    uneven = []
    for jitter in (0.0, 0.3):
        settings = RecorderSettings(rate_jitter=jitter, **still)
        times = [frame.time_s for frame in screen_frames(40.0, settings, np.random.default_rng(0))]
        uneven.append(np.diff(times)[1:-1].std() * settings.frames_per_s)
    assert uneven[0] < 0.01
    assert 0.2 < uneven[1] < 0.6


def test_coarser_compression_makes_smaller_files(tmp_path: Path) -> None:
    sizes = []
    for crf in (10, 35):
        settings = session_settings("ehea", "tiny", [f"recorder.crf={crf}", "passes=1", "bar_px=0"])
        folder = write_recording(tmp_path / str(crf), "ehea", settings, seed=1).parent
        sizes.append((folder / "pass01.mp4").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("height", [0, 4, 60])
def test_the_data_bar_is_as_high_as_wanted_or_not_there(height: int) -> None:
    assert data_bar(640, session_settings("ehea", "small", [f"bar_px={height}"]).bar_px, 0.1).shape == (height, 640)


def test_passes_and_scans_lie_as_far_apart_as_stated() -> None:
    exact = [
        "stage.placing_px=0",
        "stage.drift_px=0",
        "stage.wobble_px=0",
        "stage.backlash_px=0",
        "stage.speed_jitter=0",
    ]
    session = Session("ehea", session_settings("ehea", "tiny", [*exact, "px_per_scan=40", "overlap_y=0.25"]))
    first, second = (session.scan_truth(row) for row in (0, 1))
    assert first[1]["x_px"] - first[0]["x_px"] == pytest.approx(40, abs=0.5)
    assert second[0]["y_px"] - first[0]["y_px"] == pytest.approx(0.75 * session.settings.height_px, abs=1)


def test_a_slow_partner_has_the_stated_dwell_and_drift() -> None:
    session = Session("ehea", session_settings("ehea", "tiny", ["hd_dwell=25", "pair_drift_px=2.0"]))
    assert session.slow_detector.settings.dwell == pytest.approx(25 * session.detector.settings.dwell)
    drift = np.array([session.hd_place(i, (0.0, 0.0)) for i in range(400)])
    assert drift.std(axis=0) == pytest.approx([2.0, 2.0], rel=0.12)


def test_hardness_has_the_wanted_points_and_correlation(tmp_path: Path) -> None:
    settings = session_settings("ehea", "tiny", ["hardness_points=11", "hardness_r=-0.5", "stills=2"])
    folder = write_recording(tmp_path / "r", "ehea", settings, seed=1, mode="stills").parent
    assert len((folder / "hardness.csv").read_text().splitlines()) == 12
    with h5py.File(folder / "truth.h5") as truth:
        assert truth["hardness"].attrs["r"] == pytest.approx(-0.5, abs=0.001)
