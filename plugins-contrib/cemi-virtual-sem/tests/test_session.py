from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cemi_core.errors import InputError, UsageError
from cemi_virtual_sem import Session, session_settings, still_frames, write_recording
from cemi_virtual_sem.scan import ideal_scan


def test_stills_lie_where_the_table_says(tmp_path: Path) -> None:
    write_recording(tmp_path / "s", "ehea", session_settings("ehea", "tiny", ["hd=true"]), seed=2, mode="stills")
    session = Session("ehea", session_settings("ehea", "tiny"), seed=2)
    with (tmp_path / "s" / "stills.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 2 * session.settings.stills
    noise = {}
    for row in (rows[0], rows[7], rows[12], rows[19]):
        picture = tifffile.imread(tmp_path / "s" / row["file"]) / 255.0
        lines_count = np.ones(picture.shape[0])
        y, x = float(row["y_px"]), float(row["x_px"])
        ideal = ideal_scan(session.specimen, y * lines_count, x * lines_count, picture.shape[1])
        kind = row["file"].split("/")[0]
        assert np.corrcoef(picture.ravel(), ideal.ravel())[0, 1] > (0.9 if kind == "hd" else 0.6)
        noise[kind] = (picture - ideal).std()
    assert noise["frames"] > 2 * noise["hd"]


def test_stills_overlap_as_in_the_paper() -> None:
    for size, along in (("medium", 0.438), ("paper", 0.438)):
        settings = session_settings("ehea", size)
        step = settings.travel_px / (settings.stills / settings.passes - 1)
        assert 1 - step / settings.width_px == pytest.approx(along, abs=0.005)
        assert 1 - settings.step_y_px / settings.height_px == pytest.approx(0.324, abs=0.002)
    height, width = session_settings("ehea", "paper").extent_px
    assert width == pytest.approx(123_672, rel=0.001) and height == pytest.approx(7_848, rel=0.01)


def test_still_frames_in_memory_agree_with_their_positions() -> None:
    images, positions = still_frames("ehea", "tiny", seed=5)
    assert positions.shape == (len(images), 2) and images[0].dtype == np.uint8
    a, b = images[0].astype(float), images[1].astype(float)
    dy, dx = np.rint(positions[1] - positions[0]).astype(int)
    assert 0 < dx < 200
    top, bottom = max(0, dy), min(a.shape[0], a.shape[0] + dy)
    shared = a[top:bottom, dx:], b[top - dy : bottom - dy, : b.shape[1] - dx]
    assert np.corrcoef(shared[0].ravel(), shared[1].ravel())[0, 1] > 0.3


def test_the_same_seed_gives_the_same_recording_and_threads_do_not_matter(tiny_video: Path, tmp_path: Path) -> None:
    settings = session_settings("ehea", "tiny", ["recorder.marker_share=0.2"])
    write_recording(tmp_path / "again", "ehea", settings, seed=4, threads=1)
    for name in ("pass01.mp4", "pass02.mp4", "scans.csv", "screen.csv", "hardness.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tiny_video / name).read_bytes()


def test_only_finished_files_are_left(tiny_video: Path) -> None:
    assert sorted(p.name for p in tiny_video.iterdir()) == [
        "hardness.csv", "pass01.mp4", "pass02.mp4", "scans.csv", "screen.csv", "session.json", "truth.h5",
    ]  # fmt: skip


def test_a_folder_in_use_is_not_written_into_without_force(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        write_recording(tmp_path, "ehea", "tiny")
    with pytest.raises(InputError, match="is a file"):
        write_recording(tmp_path / "notes.txt", "ehea", "tiny")
    with pytest.raises(InputError, match="cannot write the recording"):
        write_recording(tmp_path / "notes.txt" / "below", "ehea", "tiny")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_settings_that_do_not_exist_or_fit_are_named_all_at_once() -> None:
    with pytest.raises(UsageError, match=r"detector\.dwel.*passes"):
        session_settings("ehea", "tiny", ["detector.dwel=3", "passes=0"])
    with pytest.raises(UsageError, match="key=value"):
        session_settings("ehea", "tiny", ["dwell"])
    with pytest.raises(UsageError, match="unknown size 'huge'"):
        session_settings("ehea", "huge")


def test_peak_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path) -> None:
    peaks = []
    for number, travel in enumerate((320, 8 * 320)):
        overrides = [f"travel_px={travel}", "passes=1", "recorder.frames_per_s=2", "recorder.preset=ultrafast"]
        tracemalloc.start()
        write_recording(
            tmp_path / str(number), "pbse-srse", session_settings("pbse-srse", "tiny", overrides), threads=1
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 16e6  # the tiles kept, 1 MB each, fill up


@pytest.mark.parametrize("mode", ["video", "stills"])
def test_an_interrupted_recording_has_no_truth_and_can_be_made_again(tmp_path: Path, mode: str) -> None:
    calls = []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_recording(tmp_path, "ehea", "tiny", mode=mode, progress=interrupt)
    assert len(calls) <= 8, "the other threads stopped soon"
    assert not (tmp_path / "truth.h5").exists()
    write_recording(tmp_path, "ehea", "tiny", mode=mode, force=True)
    assert not list(tmp_path.rglob("*.partial"))
