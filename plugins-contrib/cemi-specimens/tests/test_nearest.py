from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.model.mosaic import Box
from cemi_specimens.nearest import nearest_point


@settings(max_examples=40)
@given(
    count=st.integers(1, 60),
    dimensions=st.sampled_from([2, 3]),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_every_pixel_finds_the_point_that_is_nearest(
    count: int, dimensions: int, height: int, width: int, seed: int
) -> None:
    points = np.random.default_rng(seed).uniform(-20, 80, (count, dimensions))
    if dimensions == 3:
        points[:, 2] = np.abs(points[:, 2]) / 4
    found = nearest_point(Box(-3, 5, height, width), points)
    y, x = np.mgrid[-3 : height - 3, 5 : width + 5]
    squared = (points[:, 0] - y[..., None]) ** 2 + (points[:, 1] - x[..., None]) ** 2
    if dimensions == 3:
        squared = squared + points[:, 2] ** 2
    np.testing.assert_array_equal(found, squared.argmin(axis=-1))


def test_one_pixel_finds_the_only_point() -> None:
    assert nearest_point(Box(0, 0, 1, 1), np.array([[0.0, 0.0]])) == pytest.approx(0)
