from __future__ import annotations

import numpy as np

from cemi_virtual_sem.trend import Trend


def test_trend_stays_between_its_bounds_and_comes_near_both() -> None:
    trend = Trend(0.28, 0.42, (1000, 6000), seed=2)
    values = trend(np.arange(0, 1000, 50)[:, None], np.arange(0, 6000, 20)[None, :])
    assert values.min() >= 0.28 and values.max() <= 0.42
    assert np.ptp(values) > 0.9 * 0.14
    assert np.abs(np.diff(values, axis=1)).max() < 0.01 * 0.14 * 3
