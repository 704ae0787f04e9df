"""The structure tensor by OpenCV is the one that cemi_core defines."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze.picture.orientation import structure_tensor
from cemi_core.numeric.structure_tensor import structure_tensor as reference


@pytest.mark.parametrize(("window_px", "smoothing_px"), [(5.0, 0.7), (12.5, 0.0)])
def test_the_tensor_by_opencv_is_that_of_cemi_core(window_px: float, smoothing_px: float) -> None:
    image = np.random.default_rng(0).random((150, 170), dtype=np.float32)
    found, expected = (each(image, window_px, smoothing_px) for each in (structure_tensor, reference))
    for name in ("difference", "product", "energy"):
        a, b = getattr(found, name), getattr(expected, name)
        assert np.abs(a - b).max() <= 2e-3 * np.abs(expected.energy).max(), name
    assert np.abs(found.coherency - expected.coherency).max() <= 5e-3
