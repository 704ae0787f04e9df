from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_run.sources.video.decode import decode, open_recording
from cemi_run.sources.video.scan_front import FrontTracker, Motion, changed_band
from cemi_run.sources.video.screen import Survey, survey
from cemi_run.sources.video.whole_scans import Scan, ScanAssembler

Recorder = Callable[..., tuple[Path, Any]]


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 95), st.integers(0, 2**31))
def test_changed_band_is_found_to_the_row_even_when_it_wraps(start: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    changes = rng.uniform(0, 2, 100)
    rows = np.arange(start, start + length) % 100
    changes[rows] = rng.uniform(9, 14, length)
    band = changed_band(changes, threshold=5.0, scale=4.0)
    assert (band.start, band.length) == (start, length)


def test_dark_rows_within_the_band_do_not_split_it() -> None:
    changes = np.zeros(100)
    changes[20:60] = 10
    changes[35:42] = 0
    band = changed_band(changes, threshold=4.0, scale=4.0)
    assert (band.start, band.length) == (20, 40)


def follow(fronts: list[int], height: int = 120) -> list[Motion]:
    tracker = FrontTracker(height, fresh=10.0, stale=0.0, margin=3)
    motions = []
    for number, (before, now) in enumerate(pairwise(fronts)):
        changes = np.zeros(height)
        changes[np.arange(before, now)[-height:] % height] = 10
        advance = tracker.update(changes, 0.1 * number)
        motions.append(advance.motion)
        if advance.motion in (Motion.FOUND, Motion.MOVED):
            assert advance.stop % height == now % height
    return motions


def test_front_is_followed_over_the_edge_and_through_repeats() -> None:
    motions = follow([5, 20, 35, 35, 60, 90, 125, 140, 230, 262])
    assert motions[0] is Motion.FOUND
    assert motions.count(Motion.REPEAT) == 1
    assert motions.count(Motion.MOVED) == 7


def test_front_is_lost_when_everything_changed_and_found_again() -> None:
    assert follow([5, 20, 35, 160, 170])[-2:] == [Motion.LOST, Motion.FOUND]


def scans_of(path: Path, survey_change: Callable[[Survey], Survey] = lambda s: s) -> tuple[list[Scan], ScanAssembler]:
    recording = open_recording(path)
    found = survey_change(survey(decode(recording)))
    assembler = ScanAssembler(found)
    scans = [s for f in decode(recording) for s in assembler.push(f.luma, f.chroma, f.time_s)]
    return scans + assembler.finish(), assembler


@pytest.mark.parametrize("options", [{}, {"rates": (0.05, 0.21, 0.1, 0.033)}, {"crf": 32, "repeat_every": 6}])
def test_front_is_known_to_2_rows_in_every_frame(recorder: Recorder, options: dict[str, Any]) -> None:
    path, truth = recorder(**options)
    recording = open_recording(path)
    assembler = ScanAssembler(survey(decode(recording)))
    errors = []
    for frame, front in zip(decode(recording), truth.fronts):
        assembler.push(frame.luma, frame.chroma, frame.time_s)
        if assembler.front is not None:
            errors.append((assembler.front - front + 96) % 192 - 96)
    assert len(errors) == len(truth.fronts) - 1
    assert np.abs(errors).max() <= 2
    assert assembler.repeats == truth.repeats.sum()


@pytest.mark.parametrize("factor", [0.3, 2.3, 2.8, 3.0, 4.0])
def test_wrong_idea_of_the_noise_costs_scans_but_never_mixes_them(recorder: Recorder, factor: float) -> None:
    path, truth = recorder(step=0.2, seconds=24.0, repeat_every=5)
    scans, _ = scans_of(path, lambda found: replace(found, fresh=factor * found.fresh))
    recording = open_recording(path)
    for scan in scans:
        if not scan.flaw:
            number = truth.scan_ending_at(scan.end_s)
            pixels = recording.grey(scan.pixels)
            own, before, after = (np.abs(pixels - truth.scan(number + k)).mean(axis=1) for k in (0, -1, 1))
            assert not ((before < own) | (after < own)).any()


def test_times_of_scans_are_those_of_their_lines(recorder: Recorder) -> None:
    path, truth = recorder(period_s=6.0, seconds=26, step=0.4)
    scans, _ = scans_of(path)
    whole = [scan for scan in scans if not scan.flaw]
    assert len(whole) == 4
    for scan in whole:
        number = truth.scan_ending_at(scan.end_s)
        assert scan.start_s == pytest.approx((number - truth.start_phase) * 6.0, abs=0.1)
        assert scan.end_s == pytest.approx((number + 1 - truth.start_phase) * 6.0, abs=0.1)
        assert scan.lines_per_s == pytest.approx(192 / 6.0, rel=0.02)
