"""Claims about frames that nothing joins to the others: where the stage says, where the stage can be believed."""

import numpy as np

from cemi_core.model.frame import Frame
from cemi_core.model.layout import PairShift
from cemi_stitch.solve.layout import solve_layout
from cemi_stitch.solve.unlinked_groups import islands_at_stage

STEP = 100.0


def _grid(rows=6, columns=6):
    return np.stack(np.mgrid[:rows, :columns], axis=-1).reshape(-1, 2) * STEP


def _neighbours(columns=6, rows=6):
    for i in range(rows * columns):
        if (i + 1) % columns:
            yield i, i + 1
        if i + columns < rows * columns:
            yield i, i + columns


def _layout(truth, nominal, joined, columns=6):
    frames = [
        Frame(i, f"{i}", (120, 120), row=i // columns, position_px=tuple(p), position_tolerance_px=14.0)
        for i, p in enumerate(nominal.tolist())
    ]
    shifts = [
        PairShift(i, j, tuple((truth[j] - truth[i]).tolist()), 0.9, 500, 0.05)
        for i, j in _neighbours(columns, len(truth) // columns)
        if (i, j) in joined
    ]
    return solve_layout(frames, shifts, 0.1)


def _rms(found, truth):
    error = found - truth
    return float(np.sqrt(((error - error.mean(axis=0)) ** 2).sum(axis=1).mean()))


def test_of_a_stage_that_knows_where_it_is_loose_frames_are_no_worse_than_the_stage():
    nominal, pairs = _grid(), list(_neighbours())
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = nominal + rng.uniform(-6, 6, nominal.shape)
        joined = {pairs[k] for k in rng.choice(len(pairs), 16, replace=False)}
        layout = _layout(truth, nominal, joined)
        assert _rms(layout.positions_px, truth) <= 1.02 * _rms(nominal, truth)


def test_a_single_measured_shift_does_not_carry_off_the_frames_that_were_not_measured():
    nominal = _grid()
    for seed in range(8):
        truth = nominal + np.random.default_rng(seed).uniform(-6, 6, nominal.shape)
        assert _rms(_layout(truth, nominal, {(13, 19)}).positions_px, truth) <= 1.05 * _rms(nominal, truth)


def test_a_single_shift_beyond_what_the_stage_states_shows_that_its_steps_are_wrong():
    nominal = _grid()
    truth = nominal * (1.4, 1.0)
    assert _rms(_layout(truth, nominal, {(13, 19)}).positions_px, truth) < 0.1 * _rms(nominal, truth)


def test_a_stage_whose_errors_add_up_is_followed_from_frame_to_frame():
    rng = np.random.default_rng(1)
    nominal = _grid(1, 40)
    truth = nominal + np.cumsum(rng.normal(2, 3, nominal.shape), axis=0)
    edges = np.array([(i, i + 1) for i in range(39) if i not in (12, 25)])
    shifts = truth[edges[:, 1]] - truth[edges[:, 0]]
    group = np.repeat([1, 0, 2], [13, 13, 14])
    moved, sigma = islands_at_stage(truth.copy(), group, nominal, edges, shifts)
    assert sigma is None
    np.testing.assert_array_equal(moved, truth)
