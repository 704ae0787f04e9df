"""What is believed and what is not."""

from __future__ import annotations

import numpy as np

from cemi_core.model.layout import PairShift
from cemi_stitch.graph.acceptance import drop_broken_loops, permutation_threshold


def test_the_threshold_lets_the_wanted_share_of_chance_matches_pass() -> None:
    rng = np.random.default_rng(0)
    threshold = permutation_threshold(rng.gumbel(30, 4, 500), 0.01, 0.0)
    share = (rng.gumbel(30, 4, 200_000) > threshold).mean()
    assert 0.005 <= share <= 0.02


def test_a_few_overlapping_pairs_among_the_permuted_ones_hardly_raise_the_threshold() -> None:
    chance = np.random.default_rng(1).gumbel(30, 4, 100)
    clean = permutation_threshold(chance, 1e-3, 0.0)
    chance[:5] = 400
    assert permutation_threshold(chance, 1e-3, 0.0) <= 1.15 * clean


def test_a_lower_rate_gives_a_higher_threshold_and_the_floor_holds() -> None:
    chance = np.random.default_rng(2).gumbel(30, 4, 100)
    assert permutation_threshold(chance, 1e-4, 0.0) > permutation_threshold(chance, 1e-2, 0.0) + 10
    assert permutation_threshold(chance, 1e-2, 300.0) == 300.0
    assert permutation_threshold(chance[:2], 1e-2, 25.0) == 25.0


def grid_pairs(rows: int, columns: int, rng: np.random.Generator) -> tuple[np.ndarray, list[PairShift]]:
    """Exact shifts between neighbours (side, below, diagonal) of a grid."""
    place = np.mgrid[:rows, :columns].reshape(2, -1).T
    truth = place * [100.0, 140.0] + rng.uniform(-5, 5, (rows * columns, 2))
    pairs = []
    for i in range(len(place)):
        for j in range(i + 1, len(place)):
            if np.abs(place[i] - place[j]).max() == 1:
                pairs.append(PairShift(i, j, tuple(truth[j] - truth[i]), 0.9, 1000, 0.05))
    return truth, pairs


def test_wrong_shifts_that_break_loops_are_dropped_and_no_others() -> None:
    _, pairs = grid_pairs(3, 4, np.random.default_rng(0))
    wrong = {4: (25.0, -3.0), 11: (0.0, 40.0)}
    for n, (dy, dx) in wrong.items():
        pair = pairs[n]
        pairs[n] = PairShift(pair.first, pair.second, (pair.shift_px[0] + dy, pair.shift_px[1] + dx), 0.95, 1000)
    result = drop_broken_loops(pairs, 4.0)
    assert {n for n, pair in enumerate(result) if not pair.kept} == set(wrong)
    assert result[4].reason == "breaks loops by 25 px"
    assert result[11].reason == "breaks loops by 40 px"


def test_a_wrong_side_of_a_lone_square_is_told_by_its_quality() -> None:
    shifts = {(0, 1): (0.0, 100.0), (2, 3): (0.0, 100.0), (0, 2): (80.0, 0.0), (1, 3): (80.0, 30.0)}
    pairs = [PairShift(i, j, s, 0.5 if (i, j) == (1, 3) else 0.9) for (i, j), s in shifts.items()]
    result = drop_broken_loops(pairs, 4.0)
    assert [pair.kept for pair in result] == [True, True, True, False]


def test_a_shift_that_no_loop_passes_through_is_kept() -> None:
    pairs = [PairShift(0, 1, (0.0, 90.0), 0.4), PairShift(1, 2, (3.0, 500.0), 0.4)]
    assert all(pair.kept for pair in drop_broken_loops(pairs, 4.0))
