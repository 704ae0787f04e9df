"""Peaks to a fraction of a step, against planted parabolas and numpy.polyfit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.numeric.peak import parabola_peak, quadratic_peak


@given(st.floats(-0.9, 0.9), st.floats(0.02, 0.5), st.floats(0.25, 8))
def test_the_peak_of_a_parabola_is_found_in_the_unit_of_the_step(share: float, bend: float, step: float) -> None:
    at, values = share * step, {}
    for place in (-step, 0.0, step):
        values[place] = 0.8 - bend * ((place - at) / step) ** 2
    found = parabola_peak(values[-step], values[0.0], values[step], step)
    assert found is not None
    assert found[0] == pytest.approx(at, abs=1e-9)
    assert values[0.0] + found[1] == pytest.approx(0.8, abs=1e-12)


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (1.0, 0.5, 1.0), (0.0, 0.5, 1.0)])
def test_values_without_a_maximum_have_no_peak(values: tuple[float, float, float]) -> None:
    assert parabola_peak(*values) is None


@given(st.floats(-0.7, 0.7), st.floats(-0.7, 0.7), st.floats(0.02, 0.3), st.floats(0.02, 0.3))
def test_quadratic_peak_of_a_paraboloid_is_exact(dy: float, dx: float, bend_y: float, bend_x: float) -> None:
    y, x = np.mgrid[-1:2, -1:2]
    surface = 0.9 - bend_y / 2 * (y - dy) ** 2 - bend_x / 2 * (x - dx) ** 2
    offset, height, curvature = quadratic_peak(surface[None])
    assert offset[0].tolist() == pytest.approx([dy, dx], abs=1e-6)
    assert float(height[0]) == pytest.approx(0.9, abs=1e-6)
    assert float(curvature[0]) == pytest.approx(min(bend_y, bend_x), rel=1e-6)


def test_quadratic_peak_of_noisy_values_is_the_least_squares_fit() -> None:
    y, x = (axis.ravel() for axis in np.mgrid[-1:2, -1:2])
    terms = np.stack([np.ones(9), y, x, y * y, x * x, y * x], 1)
    rng = np.random.default_rng(0)
    surfaces = 0.9 - 0.1 * (y**2 + x**2 + 0.4 * x * y - 0.3 * y) + 0.005 * rng.standard_normal((50, 9))
    offset, _, _ = quadratic_peak(surfaces.reshape(-1, 3, 3))
    for found, values in zip(offset, surfaces, strict=True):
        _, gy, gx, yy, xx, xy = np.linalg.lstsq(terms, values, rcond=None)[0]
        vertex = -np.linalg.solve([[2 * yy, xy], [xy, 2 * xx]], [gy, gx])
        assert found == pytest.approx(vertex, abs=1e-9)


def test_a_surface_without_a_maximum_gives_no_offset() -> None:
    y, x = np.mgrid[-1:2, -1:2].astype(float)
    offset, _, curvature = quadratic_peak((y**2 + x**2)[None])
    assert offset[0].tolist() == [0.0, 0.0]
    assert float(curvature[0]) == 0.0
