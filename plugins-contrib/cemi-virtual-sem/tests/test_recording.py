from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cemi_virtual_sem import Session
from cemi_virtual_sem.recorder import RecorderSettings, ScanClock, screen_frames


def _rows(path: Path, file: str) -> list[dict[str, str]]:
    with path.open() as lines:
        return [row for row in csv.DictReader(lines) if row["file"] == file]


@pytest.fixture(scope="module")
def decoded(tiny_video: Path) -> list[tuple[float, np.ndarray]]:
    """Time and picture (BGR) of each frame of the first pass, in order."""
    with av.open(str(tiny_video / "pass01.mp4")) as container:
        return [(float(frame.time), frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def test_video_holds_the_listed_frames_at_strictly_increasing_uneven_times(
    tiny_video: Path, decoded: list[tuple[float, np.ndarray]]
) -> None:
    listed = [float(row["time_s"]) for row in _rows(tiny_video / "screen.csv", "pass01.mp4")]
    times = [time for time, _ in decoded]
    assert times == pytest.approx(listed, abs=0.001)
    gaps = np.diff(times)
    assert gaps.min() > 0
    assert gaps.std() > 0.01


def test_lines_above_the_front_are_new_and_those_below_are_old(
    tiny_video: Path, decoded: list[tuple[float, np.ndarray]], tiny_session: Session
) -> None:
    listed = _rows(tiny_video / "screen.csv", "pass01.mp4")
    checked = 0
    for (_, picture), row in list(zip(decoded, listed, strict=True))[20::9]:
        scan, drawn = int(row["scan"]), int(row["lines_drawn"])
        if scan == 0 or row["marker"] == "1":
            continue
        wanted = np.vstack([tiny_session.scan(0, scan)[:drawn], tiny_session.scan(0, scan - 1)[drawn:]])
        shown = picture[: len(wanted), :, 1].astype(float)
        assert np.abs(shown - wanted).mean() < 4
        assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.98
        checked += 1
    assert checked >= 3


def test_front_moves_down_with_time_and_starts_again_with_each_scan() -> None:
    clock = ScanClock(scan_s=2.7, flyback_s=0.3, lines=100)
    assert clock.front(0.0) == (0, 1)
    assert clock.front(1.35) == (0, 50)
    assert clock.front(2.7) == (0, 100)
    assert clock.front(2.95) == (0, 100)
    assert clock.front(3.0) == (1, 1)
    fronts = [clock.front(t) for t in np.arange(0, 30, 0.07)]
    assert all(a <= b for a, b in pairwise(fronts))


def test_the_last_frame_shows_the_last_scan_complete(tiny_video: Path, tiny_session: Session) -> None:
    for row, file in enumerate(("pass01.mp4", "pass02.mp4")):
        last = _rows(tiny_video / "screen.csv", file)[-1]
        assert int(last["lines_drawn"]) == tiny_session.settings.height_px
        assert int(last["scan"]) == tiny_session.settings.scans_per_pass - 1 == len(tiny_session.scan_truth(row)) - 1


def test_data_bar_never_changes_and_carries_ink(decoded: list[tuple[float, np.ndarray]], tiny_session: Session) -> None:
    bars = np.array([picture[tiny_session.settings.height_px + 2 :, :, 1] for _, picture in decoded]).astype(int)
    # H.264 rings a little around the ink.
    assert np.percentile(np.ptp(bars, axis=0), 95) <= 8
    assert np.ptp(bars, axis=0).max() <= 40
    assert (bars[0] > 180).any() and (bars[0] < 40).any()


def test_marker_is_green_by_the_papers_rule_in_the_listed_frames_only(
    tiny_video: Path, decoded: list[tuple[float, np.ndarray]]
) -> None:
    listed = _rows(tiny_video / "screen.csv", "pass01.mp4") + _rows(tiny_video / "screen.csv", "pass02.mp4")
    assert 0 < sum(row["marker"] == "1" for row in listed) < 0.6 * len(listed)
    for (_, picture), row in zip(decoded, listed, strict=False):
        hue, saturation, _ = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), 2, 0)
        green = ((hue >= 35) & (hue <= 90) & (saturation > 80)).sum()
        assert (green > 100) == (row["marker"] == "1")


def test_repeated_frames_show_what_the_one_before_showed(
    tiny_video: Path, decoded: list[tuple[float, np.ndarray]]
) -> None:
    listed = _rows(tiny_video / "screen.csv", "pass01.mp4")
    for i in range(1, len(listed)):
        if listed[i]["marker"] == "1" or listed[i - 1]["marker"] == "1":
            continue
        difference = np.abs(decoded[i][1].astype(int) - decoded[i - 1][1]).mean()
        assert (difference < 0.4) == (listed[i]["repeated"] == "1")


def test_recorder_skips_and_repeats_about_as_many_frames_as_asked() -> None:
    settings = RecorderSettings(frames_per_s=8, skipped_share=0.2, repeated_share=0.1, marker_share=0.1)
    frames = screen_frames(500.0, settings, np.random.default_rng(0))
    assert len(frames) == pytest.approx(500 * 8 * 0.8, rel=0.03)
    assert np.mean([f.repeated for f in frames]) == pytest.approx(0.1, abs=0.02)
    assert np.mean([f.marker is not None for f in frames]) == pytest.approx(0.1, abs=0.04)
    assert all(a.time_s < b.time_s for a, b in pairwise(frames))
    assert frames[0].time_s == 0 and frames[-1].time_s == 500.0
