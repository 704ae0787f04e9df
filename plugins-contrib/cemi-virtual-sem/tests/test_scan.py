from __future__ import annotations

import numpy as np
import pytest

from cemi_core.model.mosaic import Box
from cemi_virtual_sem import Session, make_specimen
from cemi_virtual_sem.scan import ideal_scan, line_times_s
from cemi_virtual_sem.stage import StageSettings, stage_path


def test_a_resting_stage_shows_the_specimen_itself() -> None:
    specimen = make_specimen("ehea", seed=1)
    picture = ideal_scan(specimen, np.full(120, 37.0), np.full(120, -14.0), 160)
    np.testing.assert_allclose(picture, specimen.render(Box(37, -14, 120, 160)), atol=1e-5)


def test_a_moving_stage_shears_the_picture_line_by_line() -> None:
    specimen = make_specimen("ehea", seed=1)
    x = 100 + 2.0 * np.arange(60)
    picture = ideal_scan(specimen, np.zeros(60), x, 80)
    for line in (0, 17, 59):
        np.testing.assert_allclose(picture[line], specimen.render(Box(line, 100 + 2 * line, 1, 80))[0], atol=1e-5)


def test_sub_pixel_places_lie_between_the_pixels() -> None:
    specimen = make_specimen("ehea", seed=1, blur_px=2.0)
    half = ideal_scan(specimen, np.full(50, 10.0), np.full(50, 20.5), 60)
    plane = specimen.render(Box(10, 20, 50, 61))
    np.testing.assert_allclose(half, (plane[:, 1:] + plane[:, :-1]) / 2, atol=0.02)


def test_true_position_of_a_scan_is_where_its_middle_line_was_read(tiny_session: Session) -> None:
    session = tiny_session
    truth = session.scan_truth(1)[3]
    picture = session.scan(1, 3).astype(float)
    middle = (session.settings.height_px - 1) / 2
    lines = slice(int(middle) - 5, int(middle) + 7)
    scores = {}
    for away in (-1.0, 0.0, 1.0):
        for axis in (0, 1):
            y, x = truth["y_px"] + away * (axis == 0), truth["x_px"] + away * (axis == 1)
            count = session.settings.height_px
            there = ideal_scan(session.specimen, np.full(count, y), np.full(count, x), session.settings.width_px)
            scores[axis, away] = np.corrcoef(there[lines].ravel(), picture[lines].ravel())[0, 1]
    for axis in (0, 1):
        assert scores[axis, 0.0] > max(scores[axis, -1.0], scores[axis, 1.0])
        peak = (
            0.5
            * (scores[axis, -1.0] - scores[axis, 1.0])
            / (scores[axis, -1.0] - 2 * scores[axis, 0.0] + scores[axis, 1.0])
        )
        assert abs(peak) < 0.2


def test_stage_moves_at_about_its_speed_and_loses_the_backlash() -> None:
    settings = StageSettings(speed_jitter=0.02, backlash_px=8, drift_px=0, placing_px=0, wobble_px=0)
    path = stage_path((5.0, 7.0), 30.0, 100.0, settings, np.random.default_rng(3))
    y, x = path.position_px(np.linspace(0, 100, 1001))
    assert (y[0], x[0]) == pytest.approx((5.0, 7.0))
    np.testing.assert_allclose(y, 5.0)
    assert 3000 - 8 - 6 <= x[-1] - 7 <= 3000 - 4 + 6
    speed = np.diff(x[20:]) / 0.1
    assert speed.mean() == pytest.approx(30, rel=0.01)
    assert 0.005 < speed.std() / 30 < 0.04
    assert abs(x[1] - x[0]) < 1


def test_lines_are_drawn_evenly_from_the_first_to_the_last() -> None:
    times = line_times_s(4.0, 2.7, 10)
    assert (times[0], times[-1]) == pytest.approx((4.0, 6.7))
    np.testing.assert_allclose(np.diff(times), 0.3)
