"""Deskewed lines are cubic convolution as cemi_core defines it."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_core.numeric.cubic import keys_weights
from cemi_run.sources.video.deskew import deskew


@pytest.mark.parametrize("shear", [0.037, -0.21])
def test_each_line_is_interpolated_by_keys_weights(shear: float) -> None:
    scan = np.random.default_rng(0).random((9, 60)).astype(np.float32)
    lost = 4
    straight = deskew(scan, shear, lost)
    for row, line in enumerate(scan):
        place = lost / 2 - shear * (row - (len(scan) - 1) / 2)
        whole = int(np.floor(place))
        weights = keys_weights(place - whole)
        inner = range(4, 50)
        expected = [weights @ line[whole + column - 1 : whole + column + 3] for column in inner]
        assert straight[row, list(inner)] == pytest.approx(expected, abs=1e-5)
