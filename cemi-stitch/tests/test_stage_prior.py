"""The stage model: frames that show nothing stand where the stage took them, never far away."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cemi_core.model.frame import Frame
from cemi_core.model.layout import Layout, PairShift
from cemi_stitch.solve.layout import solve_layout
from cemi_stitch.solve.stage_statistics import describe, stage_motion

ROWS, COLUMNS = 6, 9
STEP = np.array([70.0, 80.0])


class Recording:
    """A grid of frames by a stage whose steps along x are 5 % short, whose y step is 3 px long, and that jitters."""

    def __init__(self, seed: int = 0, backlash_px: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.place = np.mgrid[:ROWS, :COLUMNS].reshape(2, -1).T
        self.truth = self.place * (STEP * [1, 0.95] + [3, 0]) + rng.normal(0, 1.0, (ROWS * COLUMNS, 2))
        self.truth[:, 1] += rng.normal(0, 3.0, ROWS)[self.place[:, 0]]
        self.truth[self.place[:, 1] > 0, 1] -= backlash_px
        self.frames = [
            Frame(n, f"frame {n}", (100, 120), int(p[0]), time_s=2.0 * p[1], position_px=tuple(map(float, p * STEP)))
            for n, p in enumerate(self.place)
        ]

    def placed_without(self, empty: set[int]) -> Layout:
        pairs = []
        for i in range(len(self.place)):
            for j in range(i + 1, len(self.place)):
                if np.abs(self.place[i] - self.place[j]).max() == 1:
                    shift = tuple(map(float, self.truth[j] - self.truth[i]))
                    pair = PairShift(i, j, shift, 0.9, 2000, 0.05)
                    hit = {i, j} & empty
                    pairs.append(PairShift(i, j, (0.0, 0.0), 0.0).dropped("no contrast") if hit else pair)
        return solve_layout(self.frames, pairs, 0.1)

    def errors_px(self, layout: Layout) -> np.ndarray:
        error = layout.positions_px - self.truth
        return np.linalg.norm(error - np.median(error, axis=0), axis=1)


RUNS = {
    "one in the middle": {22},
    "one at the start of a pass": {18},
    "one in the corner": {53},
    "three in a pass": {21, 22, 23},
    "the first pass": set(range(9)),
    "the last pass": set(range(45, 54)),
}


@pytest.mark.parametrize("empty", RUNS.values(), ids=RUNS.keys())
def test_empty_frames_stand_where_the_stage_took_them_and_are_flagged(empty: set[int]) -> None:
    for seed in range(3):
        recording = Recording(seed)
        layout = recording.placed_without(empty)
        errors = recording.errors_px(layout)
        members = np.isin(np.arange(54), list(empty))
        assert layout.placed_by_prior.tolist() == members.tolist()
        assert errors[~members].max() <= 0.1
        assert errors[members].max() <= 12  # starts of passes scatter by 3 px, frames by 1 px
        assert (errors[members] <= 5 * np.linalg.norm(layout.sigma_px[members], axis=1)).all()
        assert any(re.match(r"The stage moved 7[567]\.\d px", note) for note in layout.notes)


def test_a_pass_without_matches_between_others_keeps_these_in_shape_and_none_is_flung() -> None:
    recording = Recording()
    layout = recording.placed_without(set(range(18, 27)))
    assert recording.errors_px(layout).max() <= 15
    below = layout.positions_px[27:] - recording.truth[27:]
    assert np.ptp(below, axis=0).max() <= 0.1
    assert layout.placed_by_prior[18:27].all()


def test_the_first_frame_of_a_pass_is_placed_with_the_backlash_of_the_other_passes() -> None:
    recording = Recording(backlash_px=15.0)
    layout = recording.placed_without({18, 27})
    assert recording.errors_px(layout)[[18, 27]].max() <= 8


def test_step_speed_y_step_and_backlash_are_reported() -> None:
    recording = Recording(1, backlash_px=12.0)
    motion = stage_motion(recording.frames, recording.truth, np.ones(54, bool))
    assert motion.step_px == pytest.approx(76, abs=1)
    assert motion.speed_px_per_s == pytest.approx(38, abs=0.5)
    assert motion.pass_step_px == pytest.approx(73, abs=1)
    assert motion.backlash_px == pytest.approx(12, abs=3)
    text = describe(motion)
    assert "px/s" in text and "(backlash)" in text


def test_two_frames_tell_nothing_of_the_stage() -> None:
    frames = [Frame(n, f"frame {n}", (10, 10)) for n in range(2)]
    motion = stage_motion(frames, np.array([[0.0, 0.0], [0.0, 8.0]]), np.ones(2, bool))
    assert np.isnan(motion.step_px) and describe(motion) == ""
