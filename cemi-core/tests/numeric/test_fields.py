"""Claims about means over fields that are alike."""

import numpy as np
import pytest

from cemi_core.numeric.fields import effective_fields, likeness_of_neighbours


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.9])
def test_the_number_of_independent_fields_is_that_of_all_pairs_one_by_one(likeness):
    used = np.random.default_rng(0).random((7, 11)) > 0.3
    y, x = np.nonzero(used)
    apart = np.hypot(y[:, None] - y[None, :], x[:, None] - x[None, :])
    assert effective_fields(used, likeness) == pytest.approx(1 / np.mean(likeness**apart))


def test_a_grid_of_a_hundred_thousand_cells_needs_no_matrix_of_all_pairs():
    used = np.ones((100, 1000), bool)
    assert effective_fields(used, 0.0) == pytest.approx(1e5)
    assert 1 < effective_fields(used, 0.9) < 2000


def test_independent_fields_are_not_alike():
    fields = np.random.default_rng(1).standard_normal((19, 243))
    assert likeness_of_neighbours([fields]) < 0.05
