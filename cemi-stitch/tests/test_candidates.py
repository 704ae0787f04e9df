"""A specimen that repeats itself gives several shifts for one pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from cemi_stitch.correlation.peaks import rival_peaks
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.matcher import match_windows

Record = Callable[..., object]


def stripes(period_px: float) -> Callable[..., np.ndarray]:
    """Straight lamellae across x, faintly uneven, so that one peak is a little higher than the others."""

    def draw(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        wave = np.sin(np.arange(shape[1]) * 2 * np.pi / period_px)
        uneven = ndimage.gaussian_filter(rng.standard_normal(shape), 4)
        return (0.5 + 0.2 * wave + 0.05 * uneven / uneven.std()).astype(np.float32)

    return draw


@pytest.mark.parametrize("period_px", [9.0, 16.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_shifts_by_one_period_are_candidates_and_the_true_one_is_among_them(
    record: Record, period_px: float, noise: float
) -> None:
    recording = record(stripes(period_px), rows=1, columns=2, shape=(300, 400), noise=noise)
    true = recording.truth_px[1] - recording.truth_px[0]
    for off in (0.0, 0.9 * period_px):
        window = Window(0, 1, (true[0], true[1] + off), (30.0, 30.0))
        (pair,) = match_windows(recording.source, [window], MatchOptions())
        assert 1 <= len(pair.candidates) <= 4
        peaks = np.array([pair.shift_px, *(shift for shift, _ in pair.candidates)]) - true
        along = peaks[:, 1] / period_px
        assert np.abs(along - along.round()).max() <= 0.1
        assert len(set(along.round())) == len(peaks)
        assert np.linalg.norm(peaks, axis=1).min() <= 0.15
        qualities = [quality for _, quality in pair.candidates]
        assert qualities == sorted(qualities, reverse=True)


def test_a_specimen_that_does_not_repeat_itself_gives_one_shift(record: Record) -> None:
    recording = record("dendritic", rows=1, columns=2, shape=(300, 400), noise=0.05)
    true = recording.truth_px[1] - recording.truth_px[0]
    (pair,) = match_windows(recording.source, [Window(0, 1, tuple(true + 7), (30.0, 30.0))], MatchOptions())
    assert pair.candidates == ()


def test_rival_peaks_come_highest_first_and_without_the_best() -> None:
    surface = np.zeros((9, 9), np.float32)
    surface[4, 4], surface[2, 6], surface[6, 2], surface[7, 7], surface[0, 0] = 1.0, 0.9, 0.95, 0.5, 0.99
    assert rival_peaks(surface, (4, 4), 0.8, 5) == [(6, 2), (2, 6)]
    assert rival_peaks(surface, (4, 4), 0.8, 1) == [(6, 2)]
