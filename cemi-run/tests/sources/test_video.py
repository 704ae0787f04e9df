from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cemi_core.errors import InputError
from cemi_core.model.frame import DroppedFrame, Frame, FrameSource, StreamSource
from cemi_run.sources.video.source import VideoSettings, VideoSource

DATA = Path(os.environ.get("CEMI_DATA", Path(__file__).parents[4] / "shared" / "data"))
Recorder = Callable[..., tuple[Path, Any]]


def open_video(path: object, **settings: object) -> VideoSource:
    return VideoSource(VideoSettings(path=str(path), **settings))


@lru_cache(maxsize=64)
def read(path: Path, row: int = 0, **settings: Any) -> tuple[list[Frame], list[np.ndarray], list[DroppedFrame]]:
    entries = list(open_video(path, **settings).read_pass(row))
    kept = [entry for entry in entries if not isinstance(entry, DroppedFrame)]
    return [f for f, _ in kept], [p for _, p in kept], [entry for entry in entries if isinstance(entry, DroppedFrame)]


def foreign_rows(pixels: np.ndarray, truth: Any, number: int) -> int:
    """Count rows that look more like those of the scan before or after than like those of scan ``number``."""
    own, before, after = (np.abs(pixels - truth.scan(number + k)).mean(axis=1) for k in (0, -1, 1))
    return int(np.count_nonzero((before < own) | (after < own)))


SCREENS = {
    "plain": {},
    "variable rate": {"rates": (0.05, 0.21, 0.1, 0.033)},
    "repeats": {"repeat_every": 4, "step": 0.25},
    "strong compression": {"crf": 32},
    "little noise": {"noise": 3.0},
    "much noise": {"noise": 60.0, "step": 0.3},
    "slow scan": {"period_s": 6.0, "seconds": 26, "step": 0.4},
    "frames missing": {"gap": (6.0, 7.0)},
    "a whole scan missing": {"gap": (6.0, 8.2)},
    "stage moves back": {"step": -0.2},
    "no furniture": {"bar": 0, "tools": 0},
    "dark screen before the first scan": {"dark_start": True, "start_phase": 0.0, "noise": 8.0},
    "key frames often": {"gop": 9, "crf": 30, "noise": 8.0},
}


@pytest.mark.parametrize("name", SCREENS)
def test_every_kept_picture_is_one_whole_scan(recorder: Recorder, name: str) -> None:
    path, truth = recorder(**SCREENS[name])
    frames, pictures, _ = read(path)
    assert len(frames) >= 2
    for frame, pixels in zip(frames, pictures):
        assert foreign_rows(pixels, truth, truth.scan_ending_at(frame.time_s)) == 0


@pytest.mark.parametrize("name", SCREENS)
def test_measured_positions_are_within_half_a_pixel_of_the_stage(recorder: Recorder, name: str) -> None:
    path, truth = recorder(**SCREENS[name])
    frames, _, _ = read(path)
    positions = np.array([frame.position_px for frame in frames])
    numbers = np.array([truth.scan_ending_at(frame.time_s) for frame in frames])
    expected = (numbers - truth.start_phase) * truth.period_s * truth.speed_px_per_s
    assert np.abs(np.diff(positions[:, 1] - expected)).max() < 0.5
    assert np.abs(positions[:, 0]).max() < 0.5
    assert abs(positions[0, 1] - expected[0]) < 2  # the origin is the start of the recording


@pytest.mark.parametrize("step", [0.03, 0.11, 0.2, 0.3, 0.45, 0.55, 0.68])
def test_neighbours_overlap_by_30_to_60_percent_whatever_the_stage_speed(recorder: Recorder, step: float) -> None:
    path, _ = recorder(step=step, seconds=34.0 if step < 0.1 else 14.0)
    frames, _, _ = read(path)
    x = np.array([frame.position_px[1] for frame in frames])
    overlaps = 1 - np.diff(x) / frames[0].shape[1]
    assert len(overlaps) >= 1
    assert ((overlaps > 0.30) & (overlaps < 0.605)).all()
    if step <= 0.11:
        assert np.abs(overlaps - 0.45).max() <= step / 2 + 0.01


def test_place_after_a_long_gap_follows_from_the_speed_and_is_in_doubt(recorder: Recorder) -> None:
    path, truth = recorder(step=0.3, seconds=26.0, gap=(8.0, 16.0))
    frames, _, _ = read(path)
    x = np.array([frame.position_px[1] for frame in frames])
    tolerance = np.array([frame.position_tolerance_px for frame in frames])
    gap = int(np.argmax(np.diff([frame.time_s for frame in frames])))
    numbers = np.array([truth.scan_ending_at(frame.time_s) for frame in frames])
    errors = np.abs(np.diff(x) - np.diff(numbers) * 0.3 * 256)
    assert errors[gap] < 10
    assert np.delete(errors, gap).max() < 0.5
    assert tolerance[gap + 1] > 30
    assert np.delete(tolerance, gap + 1).max() < 10


def test_wanted_overlap_is_a_setting(recorder: Recorder) -> None:
    path, _ = recorder(step=0.05, seconds=30.0)
    frames, _, _ = read(path, overlap=0.7, overlap_range=(0.6, 0.8))
    x = np.array([frame.position_px[1] for frame in frames])
    np.testing.assert_allclose(1 - np.diff(x) / frames[0].shape[1], 0.7, atol=0.03)


def test_resting_stage_gives_one_frame(recorder: Recorder) -> None:
    frames, _, dropped = read(recorder(step=0.0)[0])
    assert len(frames) == 1
    assert "9 whole scans were not needed" in dropped[-1].reason
    assert [drop.frames for drop in dropped] == [1] * (len(dropped) - 1) + [0]


def test_data_bar_and_tool_bar_are_cut(recorder: Recorder) -> None:
    path, truth = recorder()
    assert read(path)[0][0].shape == (192, 256)
    _, pictures, _ = read(recorder(bar=64, tools=80)[0])
    assert pictures[0].shape == (192, 256)
    assert foreign_rows(pictures[0], truth, 0) == 0


def test_explicit_crop_is_kept_to_and_checked(recorder: Recorder) -> None:
    path, truth = recorder()
    frames, pictures, _ = read(path, crop=(20, 180, 30, 270))
    assert frames[0].shape == (160, 240)
    number = truth.scan_ending_at(frames[1].time_s)
    residual = np.abs(pictures[1] - truth.scan(number)[20:180, 6:246]).mean()
    assert residual < 1.2 * 18 * 0.8  # the mean absolute value of the noise
    with pytest.raises(InputError, match="does not fit"):
        read(path, crop=(0, 400, 0, 100))


def test_scans_with_coloured_graphics_are_dropped_and_listed(recorder: Recorder) -> None:
    path, _ = recorder(step=0.3, marker_s=(5.0, 7.2))
    frames, _, dropped = read(path)
    listed = {round(drop.time_s, 1) for drop in dropped if drop.reason == "coloured graphics in the picture"}
    assert len(listed) in (1, 2)
    assert not listed & {round(frame.time_s, 1) for frame in frames}
    everything, _, dropped = read(path, overlap=0.65, overlap_range=(0.5, 0.8), drop_coloured=False)
    assert listed <= {round(frame.time_s, 1) for frame in everything}
    assert not any("coloured" in drop.reason for drop in dropped)


def marked_line_error(pixels: np.ndarray, truth: Any, frame: Frame) -> float:
    """Return the mean error where the green box of the recorder has its upper edge."""
    return float(np.abs(pixels - truth.scan(truth.scan_ending_at(frame.time_s)))[60:62, 66:106].mean())


def test_graphics_that_come_over_finished_lines_leave_no_trace(recorder: Recorder) -> None:
    path, truth = recorder(step=0.3, marker_s=(6.0, 6.6))
    frames, pictures, dropped = read(path, overlap=0.65, overlap_range=(0.5, 0.8))  # keeps every scan
    assert "1 scans were put together without the coloured graphics" in dropped[-1].reason
    assert max(marked_line_error(p, truth, f) for f, p in zip(frames, pictures, strict=True)) < 20
    frames, pictures, _ = read(path, overlap=0.65, overlap_range=(0.5, 0.8), drop_coloured=False)
    assert max(marked_line_error(p, truth, f) for f, p in zip(frames, pictures, strict=True)) > 40


def test_repeats_and_unneeded_scans_are_counted(recorder: Recorder) -> None:
    path, truth = recorder(**SCREENS["repeats"])
    _, _, dropped = read(path)
    assert f"{truth.repeats.sum()} video frames repeat" in dropped[-1].reason


def test_scan_that_began_before_the_recording_is_dropped_and_listed(recorder: Recorder) -> None:
    _, _, dropped = read(recorder()[0])
    assert "before the front was known" in dropped[0].reason
    assert "recording ends" in dropped[1].reason


def test_blackout_costs_only_the_scans_that_it_hits(recorder: Recorder) -> None:
    path, truth = recorder(step=0.3, black_s=(5.0, 5.6))
    frames, pictures, dropped = read(path)
    numbers = [truth.scan_ending_at(frame.time_s) for frame in frames]
    assert all(foreign_rows(p, truth, n) == 0 for p, n in zip(pictures, numbers))
    assert len(frames) >= 4
    assert any("changed at once" in drop.reason for drop in dropped)


def test_deskewed_lines_all_show_the_same_columns(recorder: Recorder) -> None:
    path, truth = recorder(step=0.3)

    frames, pictures, _ = read(path, deskew=True)
    width = frames[0].shape[1]
    assert 256 - 0.32 * 256 < width < 256 - 0.28 * 256
    for frame, pixels in zip(frames, pictures, strict=True):
        straight = truth.straight(frame.position_px[1])[:, :width]
        assert np.abs(pixels - straight).mean() < 0.8 * 18


def test_picture_that_changes_all_at_once_gives_each_different_frame(recorder: Recorder) -> None:
    path, _ = recorder(rolling=False, rates=(0.4,), repeat_every=4, step=0.6)
    frames, _, dropped = read(path)
    assert "10 video frames repeat" in dropped[-1].reason
    steps = np.diff([frame.position_px[1] for frame in frames])
    assert (np.abs(steps / 38.4 - np.rint(steps / 38.4)) < 0.02).all()


def test_files_are_passes_in_natural_order(recorder: Recorder, tmp_path: Path) -> None:
    path, _ = recorder()
    for number in (10, 9):
        shutil.copy(path, tmp_path / f"pass{number}.mp4")
    source = open_video(tmp_path, y_overlap=0.25, pixel_size="222 nm")
    assert isinstance(source, StreamSource) and not isinstance(source, FrameSource)
    assert source.passes == ("pass9.mp4", "pass10.mp4")
    second = [entry[0] for entry in source.read_pass(1) if not isinstance(entry, DroppedFrame)]
    assert [frame.index for frame in second] == list(range(len(second)))
    assert {frame.row for frame in second} == {1}
    assert second[0].position_px[0] == pytest.approx(0.75 * 192, abs=1)
    assert second[0].name.startswith("pass10.mp4@")
    assert second[0].pixel_size_um == pytest.approx(0.222)
    loaded = source.to_frames()
    assert isinstance(loaded, FrameSource)
    assert len(loaded.frames) == 2 * len(second)
    assert loaded.read(0).max() <= 1


@pytest.mark.parametrize("upright", [False, True])
def test_sheared_passes_are_placed_as_the_sheared_picture_shows_them(
    recorder: Recorder, tmp_path: Path, upright: bool
) -> None:
    path, truth = recorder()
    for number in (1, 2):
        shutil.copy(path, tmp_path / f"pass{number}.mp4")
    source = open_video(tmp_path, y_overlap=0.25, deskew=upright)
    first, second = (next(e[0] for e in source.read_pass(row) if isinstance(e, tuple)) for row in (0, 1))
    shear = truth.speed_px_per_s * truth.period_s / 192  # px per line
    expected = 0.0 if upright else -shear * 0.75 * 192
    assert second.position_px[1] - first.position_px[1] == pytest.approx(expected, abs=1.0)


def test_source_travels_to_another_process_and_reports_progress(recorder: Recorder) -> None:
    source = pickle.loads(pickle.dumps(open_video(recorder()[0])))
    seen: list[tuple[int, int]] = []
    assert len(list(source.read_pass(0, lambda done, total: seen.append((done, total))))) > 2
    assert seen[-1][0] == seen[-1][1] == 161


def test_missing_empty_and_foreign_files_are_named(tmp_path: Path, recorder: Recorder) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mp4.*does not exist"):
        open_video(tmp_path / "nowhere.mp4")
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.mp4.*empty"):
        open_video(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_text("not a video" * 100)
    with pytest.raises(InputError, match=r"a\.mp4.*not a video"):
        open_video(tmp_path / "a.mp4")
    shutil.copy(recorder()[0], tmp_path / "b.mp4")
    source = open_video(tmp_path)  # one good file is enough to go on
    with pytest.raises(InputError, match=r"a\.mp4"):
        next(source.read_pass(0))
    assert any(isinstance(entry, tuple) for entry in source.read_pass(1))


def test_recording_without_its_index_is_named(tmp_path: Path, recorder: Recorder) -> None:
    data = recorder()[0].read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.mp4.*cut short"):
        open_video(tmp_path / "cut.mp4")


def faststart(source: Path, target: Path) -> None:
    """Copy a recording with its index before the pictures."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


def test_recording_that_ends_early_gives_its_scans_and_says_so(tmp_path: Path, recorder: Recorder) -> None:
    path, truth = recorder(step=0.3)
    faststart(path, tmp_path / "whole.mp4")
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(0.6 * len(data))])
    frames, pictures, dropped = read(tmp_path / "cut.mp4")
    assert 2 <= len(frames) < len(read(path)[0])
    assert all(foreign_rows(p, truth, truth.scan_ending_at(f.time_s)) == 0 for f, p in zip(frames, pictures))
    assert any("ends early" in drop.reason for drop in dropped)


def test_damage_in_the_middle_never_mixes_scans(tmp_path: Path, recorder: Recorder) -> None:
    path, truth = recorder(step=0.3, seconds=24.0, gop=40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "hurt.mp4").write_bytes(data)
    frames, pictures, dropped = read(tmp_path / "hurt.mp4")
    assert len(frames) >= 4
    assert any("damaged" in drop.reason for drop in dropped)
    wrong = [foreign_rows(p, truth, truth.scan_ending_at(f.time_s)) for f, p in zip(frames, pictures)]
    assert sum(count > 0 for count in wrong) == 0


def write_pictures(path: Path, pictures: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode())


def test_still_picture_is_an_error_and_a_single_frame_is_a_frame(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (96, 128), dtype=np.uint8)
    write_pictures(tmp_path / "still.mp4", [picture] * 40)
    with pytest.raises(InputError, match=r"nothing changes in .*still\.mp4"):
        read(tmp_path / "still.mp4")
    write_pictures(tmp_path / "one.mp4", [picture])
    frames, _, _ = read(tmp_path / "one.mp4")
    assert [frame.shape for frame in frames] == [(96, 128)]


def test_black_recording_is_an_error(tmp_path: Path) -> None:
    write_pictures(tmp_path / "black.mp4", [np.zeros((96, 128), np.uint8)] * 30)
    with pytest.raises(InputError, match=r"nothing changes in .*black\.mp4"):
        read(tmp_path / "black.mp4")


def test_sound_without_pictures_is_named(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"sound\.mp4.*no video stream"):
        open_video(tmp_path / "sound.mp4")


@pytest.mark.skipif(not DATA.is_dir(), reason="the real images (CEMI_DATA) are not here")
def test_real_recording_that_changes_all_at_once_is_read() -> None:
    frames, pictures, dropped = read(DATA / "insitu_ti_tem_video" / "*.mp4", direction="auto")
    assert frames and pictures[0].std() > 10
    assert "6 video frames repeat" in dropped[-1].reason
