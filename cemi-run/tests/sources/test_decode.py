from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cemi_run.sources.video.decode import decode, open_recording

RAMP = np.tile(np.arange(256, dtype=np.uint8), (64, 1))


def write(path: Path, codec: str, pixel_format: str, times_ms: list[int], full_range: bool = False) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 64, pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"crf": "1"}
        if full_range:
            stream.codec_context.color_range = 2
        for number, time_ms in enumerate(times_ms):
            picture = np.repeat(np.roll(RAMP, number, axis=0)[..., None], 3, axis=2)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_color_range=2 if full_range else None)
            if full_range:
                frame.color_range = 2
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("codec", "pixel_format", "full_range", "suffix"),
    [
        ("libx264", "yuv420p", False, "mp4"),
        ("libx264", "yuv420p", True, "mp4"),
        ("libx264", "yuv444p", False, "mp4"),
        ("libx264", "yuv420p10le", False, "mp4"),
        ("libx264rgb", "rgb24", False, "mkv"),
        ("ffv1", "bgr0", False, "mkv"),
        ("ffv1", "gray", False, "mkv"),
        ("ffv1", "gray16le", False, "mkv"),
        ("mjpeg", "yuvj420p", False, "avi"),
    ],
)
def test_grey_levels_come_back_whatever_the_recorder_wrote(
    tmp_path: Path, codec: str, pixel_format: str, full_range: bool, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    write(path, codec, pixel_format, [0, 40, 80], full_range)
    recording = open_recording(path)
    for frame in decode(recording):
        error = np.abs(recording.grey(frame.luma).astype(int) - RAMP)
        assert error.max() <= 2
        assert frame.chroma is None or np.abs(frame.chroma.astype(int) - 128).max() <= 2


def test_times_of_a_recording_of_variable_rate_are_those_of_presentation(tmp_path: Path) -> None:
    times = [0, 31, 45, 300, 301, 999, 2500]
    write(tmp_path / "a.mp4", "libx264", "yuv420p", times)
    found = [frame.time_s for frame in decode(open_recording(tmp_path / "a.mp4"))]
    np.testing.assert_allclose(found, np.array(times) / 1000, atol=1e-6)


def test_recording_can_be_decoded_again_and_with_threads(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", "libx264", "yuv420p", list(range(0, 1000, 40)))
    recording = open_recording(tmp_path / "a.mp4")
    first, second = list(decode(recording)), list(decode(recording, threads=2))
    assert len(first) == recording.frames == 25
    for one, other in zip(first, second, strict=True):
        assert one.time_s == other.time_s
        np.testing.assert_array_equal(one.luma, other.luma)
