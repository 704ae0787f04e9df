"""Standard errors of places against planted noise."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from cemi_core.model.frame import Frame
from cemi_core.model.layout import PairShift
from cemi_stitch.solve.covariance import inverse_diagonal, position_sigma
from cemi_stitch.solve.layout import solve_layout
from cemi_stitch.solve.least_squares import incidence_matrix


def grid(rows: int, columns: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Places of frames, and pairs of side neighbours."""
    place = np.mgrid[:rows, :columns].reshape(2, -1).T * [70.0, 80.0]
    number = np.arange(rows * columns).reshape(rows, columns)
    across = [(int(a), int(b)) for a, b in zip(number[:, :-1].ravel(), number[:, 1:].ravel(), strict=True)]
    down = [(int(a), int(b)) for a, b in zip(number[:-1].ravel(), number[1:].ravel(), strict=True)]
    return place, across + down


def frames_at(places: np.ndarray) -> list[Frame]:
    return [Frame(n, f"frame {n}", (100, 120), position_px=tuple(map(float, p))) for n, p in enumerate(places)]


def test_the_diagonal_of_the_inverse_is_that_of_the_dense_inverse() -> None:
    rng = np.random.default_rng(0)
    edges = np.concatenate([[(n, n + 1) for n in range(39)], rng.integers(0, 40, (30, 2))])
    incidence = incidence_matrix(40, edges[edges[:, 0] != edges[:, 1]])
    normal = (incidence.T @ incidence).toarray() + np.diag(rng.uniform(0.01, 1, 40))
    assert np.allclose(inverse_diagonal(csc_matrix(normal)), np.diag(np.linalg.inv(normal)))


@pytest.mark.parametrize("stated", [0.3, 0.1, 1.0])
def test_errors_of_places_have_the_stated_size_whatever_the_matcher_believes(stated: float) -> None:
    """Noise of 0.3 px in each shift; the matcher's own belief may be three times too small or too large."""
    places, edges = grid(8, 10)
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shifts = [places[j] - places[i] + rng.normal(0, 0.3, 2) for i, j in edges]
        pairs = [PairShift(i, j, tuple(s), 0.9, 2000, stated) for (i, j), s in zip(edges, shifts, strict=True)]
        layout = solve_layout(frames_at(places), pairs, 0.1)
        error = layout.positions_px - places
        ratios.append((error - error.mean(axis=0)) / layout.sigma_px)
    assert 0.8 <= np.sqrt(np.mean(np.square(ratios))) <= 1.25


def test_a_long_chain_is_known_worse_towards_its_ends() -> None:
    places, edges = grid(1, 30)
    pairs = [PairShift(i, j, tuple(places[j] - places[i]), 0.9, 2000, 0.2) for i, j in edges]
    sigma = solve_layout(frames_at(places), pairs, 0.1).sigma_px[:, 1]
    assert sigma[0] > 1.8 * sigma[15]
    assert sigma[0] == pytest.approx(0.2 * np.sqrt(29 / 3), rel=0.1)  # mean of a random walk seen from its end


def test_frames_that_stand_where_the_stage_says_are_known_as_well_as_the_stage() -> None:
    places, edges = grid(4, 5)
    pairs = [PairShift(i, j, tuple(places[j] - places[i]), 0.9, 2000, 0.05) for i, j in edges if 7 not in (i, j)]
    layout = solve_layout(frames_at(places), pairs, 0.1)
    assert layout.placed_by_prior[7]
    assert (layout.sigma_px[7] > 5 * np.delete(layout.sigma_px, 7, axis=0).max(axis=0)).all()


def test_frames_that_nothing_joins_have_no_known_error() -> None:
    frames = [Frame(n, f"frame {n}", (100, 120), row=n // 3) for n in range(4)]
    pairs = [PairShift(0, 1, (0.0, 80.0), 0.9, 2000, 0.05), PairShift(1, 2, (0.0, 80.0), 0.9, 2000, 0.05)]
    sigma = solve_layout(frames, pairs, 0.1).sigma_px
    assert np.isnan(sigma[3]).all() and np.isfinite(sigma[:3]).all()


def test_four_thousand_frames_need_far_less_than_the_inverse_of_their_matrix() -> None:
    """Time goes with the memory that is touched, and that can be told exactly: the inverse alone has 122 MB."""
    places, edges = grid(18, 217)
    tracemalloc.start()
    sigma = position_sigma(
        len(places),
        np.array(edges),
        np.full(len(edges), 0.05),
        np.full((len(edges), 2), 0.05),
        np.zeros((0, 2), np.int64),
        np.zeros((0, 2)),
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 40e6
    assert sigma.shape == (3906, 2) and np.isfinite(sigma).all()
