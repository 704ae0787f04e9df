"""Repeatability from places that two frames show."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_core.model.layout import Layout
from cemi_run.steps.repeats import FEWEST_PAIRS, places_seen_twice, spread_of_pairs


def layout_of(positions, shape=(100, 200)) -> Layout:
    n = len(positions)
    return Layout(
        positions_px=np.asarray(positions, np.float64),
        shapes=np.tile(np.array(shape), (n, 1)),
        component=np.zeros(n, np.int64),
        residual_px=np.zeros(n),
        gain=np.ones(n),
        offset=np.zeros(n),
        placed_by_prior=np.zeros(n, bool),
    )


def test_each_place_is_cut_from_both_frames_where_they_overlap():
    (place,) = places_seen_twice(layout_of([(0.2, 0.0), (10.4, 120.6)]))
    assert (place.in_first.y, place.in_first.x, place.in_first.height, place.in_first.width) == (10, 121, 90, 79)
    assert (place.in_second.y, place.in_second.x) == (0, 0)
    assert (place.in_second.height, place.in_second.width) == (90, 79)


def test_of_a_wide_overlap_the_middle_is_taken_as_large_as_a_cell():
    (place,) = places_seen_twice(layout_of([(0, 0), (10, 20)]), largest_px=(50, 60))
    assert (place.in_first.height, place.in_first.width) == (50, 60)
    assert (place.in_first.y, place.in_first.x) == (30, 80)
    assert (place.in_second.y, place.in_second.x) == (20, 60)


def test_narrow_overlaps_and_other_components_are_left_out():
    assert places_seen_twice(layout_of([(0, 0), (0, 160)])) == []
    apart = layout_of([(0, 0), (0, 100)])
    apart.component[1] = 1
    assert places_seen_twice(apart) == []


def test_at_most_the_wanted_number_of_places_spread_over_all_frames():
    places = places_seen_twice(layout_of([(0, 120 * number) for number in range(40)]), most=8)
    assert len(places) == 8
    assert places[0].first == 0
    assert places[-1].first == 38


def test_the_scatter_of_repeats_is_that_of_the_noise_and_goes_with_the_area():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 1, (4000, 1))
    found = spread_of_pairs(true + rng.normal(0, 0.03, (4000, 2)), np.ones(4000))
    assert found is not None
    assert found.standard == pytest.approx(0.03, rel=0.05)
    assert found.pairs == 4000
    quarter = spread_of_pairs(true + rng.normal(0, 0.03, (4000, 2)), np.full(4000, 0.25))
    assert quarter is not None
    assert quarter.standard == pytest.approx(0.015, rel=0.05)


def test_fewer_than_five_pairs_say_nothing():
    values = np.full((8, 2), np.nan)
    values[: FEWEST_PAIRS - 1] = 0.5
    assert spread_of_pairs(values, np.ones(8)) is None
