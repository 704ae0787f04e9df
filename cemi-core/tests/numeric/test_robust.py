"""Robust fits against scipy.stats, scipy.optimize and planted outliers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares, linprog
from scipy.sparse import csc_matrix, diags
from scipy.stats import median_abs_deviation

from cemi_core.numeric.robust import (
    absolute_weights,
    cauchy_weights,
    factorised,
    huber_weights,
    irls,
    lstsq_solver,
    mad,
    mad_std,
    normal_solver,
    tukey_weights,
)

NOISE = 0.1


def line_with_outliers(seed: int, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Design (n, 2) and values of the line 1 + 2 x, some of them far off."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 10, 60)
    y = 1 + 2 * x + NOISE * rng.standard_normal(60)
    wrong = rng.random(60) < share
    return np.column_stack([np.ones(60), x]), y + wrong * rng.uniform(5, 30, 60)


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_mad_is_that_of_scipy(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).standard_normal((count, 3))
    middle = np.median(values, axis=0)
    assert mad(values, middle, axis=0) == pytest.approx(median_abs_deviation(values), abs=1e-12)
    # SciPy has 1 / 0.67449 to all digits, 2e-6 more than the customary 1.4826.
    assert mad_std(values, middle, axis=0) == pytest.approx(median_abs_deviation(values, scale="normal"), rel=3e-6)


def test_mad_std_keeps_float32_and_counts_times() -> None:
    values = np.arange(7, dtype=np.float32)
    assert mad_std(values).dtype == np.float32
    assert float(mad_std(values, times=3)) == pytest.approx(3 * float(mad_std(values)))


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        ("huber", lambda misfit: huber_weights(misfit, 0.3)),
        ("cauchy", lambda misfit: cauchy_weights(misfit, 0.3)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_reweighting_ends_where_scipy_minimises_the_same_loss(loss: str, weights: object, seed: int) -> None:
    design, wanted = line_with_outliers(seed)
    solve = lstsq_solver(design, wanted[:, None])
    found, _ = irls(solve, lambda value, number: weights(wanted - (design @ value)[:, 0]), np.ones(60), 200)
    start = found[:, 0] + 1e-3
    oracle = least_squares(lambda value: design @ value - wanted, start, loss=loss, f_scale=0.3, xtol=1e-12, ftol=1e-12)
    assert found[:, 0] == pytest.approx(oracle.x, abs=1e-5)


def test_absolute_weights_end_at_least_absolute_deviations() -> None:
    design, wanted = line_with_outliers(1, share=0.4)
    solve = lstsq_solver(design, wanted[:, None])
    floor = 1e-6
    found, _ = irls(
        solve, lambda value, number: absolute_weights(wanted - (design @ value)[:, 0], floor), np.ones(60), 300
    )
    cost = np.concatenate([np.zeros(2), np.ones(60)])  # minimise the sum of t, where -t <= design @ x - wanted <= t
    rows = np.block([[design, -np.eye(60)], [-design, -np.eye(60)]])
    bounds = [(None, None)] * 2 + [(0, None)] * 60
    oracle = linprog(cost, rows, np.concatenate([wanted, -wanted]), bounds=bounds)
    assert np.abs(wanted - design @ found[:, 0]).sum() == pytest.approx(oracle.fun, rel=1e-4)


def test_tukeys_biweight_leaves_outliers_out_altogether() -> None:
    design, wanted = line_with_outliers(2)

    def reweigh(value: np.ndarray, number: int) -> np.ndarray:
        misfit = wanted - (design @ value)[:, 0]
        return tukey_weights(misfit, float(mad_std(misfit, times=4.7)))

    found, weight = irls(lstsq_solver(design, wanted[:, None]), reweigh, np.ones(60), 20)
    assert found[:, 0] == pytest.approx([1, 2], abs=3 * NOISE)
    assert (weight[wanted - design @ [1, 2] > 4] == 0).all()


def test_the_normal_equations_are_those_of_dense_least_squares_with_a_prior() -> None:
    rng = np.random.default_rng(0)
    design, wanted, weight, prior = rng.standard_normal((30, 5)), rng.random((30, 2)), rng.random(30), np.full(5, 0.3)
    drawn_to = rng.random((5, 2))
    solve = normal_solver(csc_matrix(design), wanted, diags(prior), prior[:, None] * drawn_to)
    root = np.sqrt(np.concatenate([weight, prior]))[:, None]
    rows, values = np.vstack([design, np.eye(5)]), np.vstack([wanted, drawn_to])
    assert solve(weight) == pytest.approx(np.linalg.lstsq(root * rows, root * values, rcond=None)[0])
    inverse = factorised(csc_matrix(design), weight, diags(prior)).solve(np.eye(5))
    assert inverse == pytest.approx(np.linalg.inv(design.T @ np.diag(weight) @ design + np.diag(prior)))
