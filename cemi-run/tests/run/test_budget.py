"""Claims about the uncertainty budget: what it counts, what it leaves out, and that it holds the truth."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_core.model.result import GridMap, Result
from cemi_run.steps.budget import budgets_of
from cemi_run.steps.repeats import Repeatability


def a_map(value, unit="um", systematic=None, half=0.05):
    value = np.asarray(value, float)
    shared = None if systematic is None else np.full(value.shape, systematic)
    return GridMap("spacing", "Spacing", unit, value, value - half, value + half, systematic=shared)


def budget_of(grid_map, share=None, **more):
    (budget,) = budgets_of([Result("a", (grid_map,))], share, **more)
    return budget


def test_the_expanded_uncertainty_holds_the_true_mean_of_smooth_maps_in_about_95_of_100():
    rng = np.random.default_rng(0)
    for smoothness in (0.5, 1.0, 2.0):
        budgets = [
            budget_of(a_map(5 + gaussian_filter(rng.standard_normal((19, 120)), smoothness, mode="wrap")))
            for _ in range(300)
        ]
        held = np.mean([abs(budget.value - 5) <= budget.expanded for budget in budgets])
        assert 0.90 <= held <= 0.99


def test_independent_cells_count_fully():
    value = np.random.default_rng(1).normal(10, 1, (1, 400))
    (part,) = [p for p in budget_of(a_map(value), independent=True).contributions if p.source == "sampling"]
    assert part.standard == pytest.approx(1 / 20, rel=0.1)


def test_what_all_cells_share_does_not_shrink_with_their_number():
    value = np.random.default_rng(2).normal(10, 0.1, (20, 200))
    budget = budget_of(a_map(value, systematic=1.96))
    assert budget.combined == pytest.approx(1.0, rel=0.01)
    assert budget.unknown == ("magnification",)


@pytest.mark.parametrize(("unit", "power"), [("um", 1), ("um2", 2), ("1/um2", -2), ("1/um", -1)])
def test_a_pixel_size_known_to_one_percent_counts_by_the_power_of_length(unit, power):
    value = np.full((4, 4), 10.0)
    budget = budget_of(a_map(value, unit, systematic=0.0), 0.01)
    assert budget.combined == pytest.approx(0.1 * abs(power), rel=1e-6)


def test_the_direction_of_lines_has_no_mean_and_no_budget():
    assert budgets_of([Result("a", (a_map(np.full((3, 3), 90.0), "deg"),))], 0.01) == []


def test_shares_do_not_know_the_pixel_size():
    for unit in ("1", "px"):
        sources = [part.source for part in budget_of(a_map(np.full((3, 3), 0.4), unit), 0.01).contributions]
        assert "magnification" not in sources


def test_what_is_not_known_is_named_and_counts_as_nothing():
    budget = budget_of(a_map(np.full((3, 3), 2.0)))
    assert budget.unknown == ("method", "magnification")
    assert budget.combined < 1e-12


def test_repeatability_counts_by_the_number_of_cells():
    budget = budget_of(a_map(np.full((5, 5), 2.0)), repeatability={"spacing": Repeatability(0.5, 9)})
    (part,) = [p for p in budget.contributions if p.source == "repeatability"]
    assert part.standard == pytest.approx(0.1)
    assert budget.combined == pytest.approx(0.1)


def test_a_single_cell_has_its_own_interval_with_the_shared_part_counted_once():
    value = np.array([[np.nan, 2.0]])
    budget = budget_of(a_map(value, systematic=0.03, half=0.05))
    assert budget.combined == pytest.approx(0.05 / 1.96, rel=1e-3)
    assert (budget.measured, budget.cells) == (1, 2)


def test_maps_without_any_value_have_no_budget():
    assert budgets_of([Result("a", (a_map(np.full((2, 2), np.nan)),))], 0.01) == []


def test_a_mean_of_zero_keeps_a_finite_uncertainty():
    assert math.isfinite(budget_of(a_map(np.zeros((3, 3)), systematic=0.1), 0.02).combined)
