"""Cubic convolution: exact for parabolas, and the piecewise polynomial that Keys gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cemi_core.numeric.cubic import keys_weights


@given(st.floats(0, 1), st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_parabolas_are_interpolated_exactly(fraction: float, a: float, b: float, c: float) -> None:
    place = np.array([-1.0, 0.0, 1.0, 2.0])
    found = keys_weights(fraction) @ (a + b * place + c * place**2)
    assert found == pytest.approx(a + b * fraction + c * fraction**2, abs=1e-9)


@given(st.floats(0, 1))
def test_the_weights_are_keys_kernel_at_the_four_distances(fraction: float) -> None:
    def kernel(distance: float, a: float = -0.5) -> float:
        s = abs(distance)
        near = (a + 2) * s**3 - (a + 3) * s**2 + 1
        far = a * (s**3 - 5 * s**2 + 8 * s - 4)
        return near if s <= 1 else far if s < 2 else 0.0

    assert keys_weights(fraction) == pytest.approx([kernel(fraction - k) for k in (-1, 0, 1, 2)], abs=1e-12)
