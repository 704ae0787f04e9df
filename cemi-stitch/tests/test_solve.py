"""The global solve against planted positions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.model.frame import Frame
from cemi_core.model.layout import PairShift
from cemi_stitch.solve.layout import solve_layout
from cemi_stitch.solve.least_squares import components, solve_positions
from cemi_stitch.solve.stage_prior import stage_prior

NO_EDGES, NO_SHIFTS, NO_SIGMA = np.zeros((0, 2), np.int64), np.zeros((0, 2)), np.zeros(0)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 30), st.integers(0, 1000))
def test_exact_shifts_of_a_random_graph_give_exact_positions(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1e5, (count, 2))
    chain = np.stack([np.arange(count - 1), np.arange(1, count)], 1)
    extra = rng.integers(0, count, (count, 2))
    edges = np.concatenate([chain, extra[extra[:, 0] != extra[:, 1]]])
    shifts = truth[edges[:, 1]] - truth[edges[:, 0]]
    found = solve_positions(count, edges, shifts, np.full(len(edges), 0.1), NO_EDGES, NO_SHIFTS, NO_SIGMA)
    assert np.abs((found - found[0]) - (truth - truth[0])).max() <= 1e-4


def grid(rows: int, columns: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    place = np.mgrid[:rows, :columns].reshape(2, -1).T
    truth = place * [100.0, 140.0] + rng.uniform(-5, 5, (rows * columns, 2))
    near = np.abs(place[:, None] - place[None]).max(axis=2) == 1
    return truth, np.argwhere(np.triu(near))


def test_a_fifth_of_wrong_shifts_does_not_move_the_solution() -> None:
    rng = np.random.default_rng(0)
    truth, edges = grid(8, 10, rng)
    shifts = truth[edges[:, 1]] - truth[edges[:, 0]] + rng.normal(0, 0.1, edges.shape)
    wrong = rng.random(len(edges)) < 0.2
    shifts[wrong] += rng.uniform(-60, 60, (wrong.sum(), 2))
    found = solve_positions(80, edges, shifts, np.full(len(edges), 0.1), NO_EDGES, NO_SHIFTS, NO_SIGMA)
    error = found - truth
    assert np.linalg.norm(error - np.median(error, axis=0), axis=1).max() <= 0.4


def test_components_are_numbered_by_size() -> None:
    edges = np.array([[0, 1], [2, 3], [3, 4], [6, 7]])
    assert components(8, edges).tolist() == [1, 1, 0, 0, 0, 3, 2, 2]


def frames_of(nominal: np.ndarray, rows: list[int], shape: tuple[int, int] = (100, 140)) -> list[Frame]:
    return [
        Frame(n, f"frame {n}", shape, row, position_px=tuple(map(float, place)))
        for n, (place, row) in enumerate(zip(nominal, rows, strict=True))
    ]


def test_the_stage_model_scales_the_step_over_a_missing_frame() -> None:
    nominal = np.array([[0.0, 0.0], *([200.0 + 100.0 * n, 0.0] for n in range(12))])
    frames = frames_of(nominal, [0] * 13)
    edges = np.array([[n, n + 1] for n in range(1, 12)])
    shifts = np.tile([90.0, 0.0], (11, 1))
    prior = stage_prior(frames, nominal, edges, shifts, 10.0)
    assert prior.edges.tolist() == [[n, n + 1] for n in range(12)]
    assert np.abs(prior.shifts_px[0] - [180.0, 0.0]).max() <= 1
    assert np.abs(prior.shifts_px[1:] - [90.0, 0.0]).max() <= 0.5


def test_the_stage_model_does_not_believe_one_step_that_is_off() -> None:
    nominal = np.array([[0.0, 100.0 * n] for n in range(6)])
    prior = stage_prior(frames_of(nominal, [0] * 6), nominal, np.array([[2, 3]]), np.array([[6.0, 100.0]]), 10.0)
    assert np.abs(prior.shifts_px[:, 0]).max() <= 2


def test_the_stage_model_takes_the_step_between_passes_from_those_that_were_measured() -> None:
    nominal = np.array([[row * 70.0, column * 80.0] for row in range(4) for column in range(3)])
    frames = frames_of(nominal, [row for row in range(4) for _ in range(3)])
    edges = np.array([[0, 3], [1, 4], [4, 7], [5, 8]])
    shifts = np.tile([66.0, 7.0], (4, 1))
    prior = stage_prior(frames, nominal, edges, shifts, 10.0)
    across = {tuple(e): s for e, s in zip(prior.edges.tolist(), prior.shifts_px, strict=True) if e[1] - e[0] == 3}
    assert sorted(across) == [(2, 5), (3, 6), (6, 9), (7, 10), (8, 11)]  # the others are measured
    assert np.allclose(list(across.values()), [66.0, 7.0])


def test_a_second_group_is_placed_by_the_stage_model_and_flagged() -> None:
    nominal = np.array([[0.0, 100.0 * column] for column in range(6)])
    frames = frames_of(nominal, [0] * 6)
    pairs = [PairShift(i, i + 1, (2.0, 95.0), 0.9, 500, 0.05) for i in (0, 1, 2, 4)]
    pairs.append(PairShift(3, 4, (0.0, 0.0), 0.0).dropped("overlap has no contrast"))
    layout = solve_layout(frames, pairs, 0.1)
    assert layout.component.tolist() == [0, 0, 0, 0, 1, 1]
    assert layout.placed_by_prior.tolist() == [False] * 4 + [True] * 2
    assert np.allclose(layout.positions_px, [[2.0 * n, 95.0 * n] for n in range(6)], atol=4)
    assert "2 of 6 frames (frame 4, frame 5; 1 group)" in layout.notes[0]
    assert np.isfinite(layout.residual_px).all()


def test_a_shift_that_a_long_loop_contradicts_is_dropped_with_its_reason() -> None:
    """No loop of three or four frames passes through it, so that only the global solution tells."""
    around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    truth = np.array(around) * [90.0, 120.0]
    frames = frames_of(truth, [0] * 8)
    ring = [(n, (n + 1) % 8) for n in range(8)]
    pairs = []
    for i, j in ring:
        a, b = min(i, j), max(i, j)
        shift = truth[b] - truth[a] + ([40.0, 0.0] if (a, b) == (3, 4) else [0.0, 0.0])
        pairs.append(PairShift(a, b, tuple(shift), 0.9, 500, 1.0 if (a, b) == (3, 4) else 0.05))
    layout = solve_layout(frames, pairs, 0.1)
    dropped = [pair for pair in layout.pairs if not pair.kept]
    assert [(p.first, p.second) for p in dropped] == [(3, 4)]
    assert dropped[0].reason == "disagrees with the solution by 40 px"
    assert np.abs(layout.positions_px - truth).max() <= 0.1
