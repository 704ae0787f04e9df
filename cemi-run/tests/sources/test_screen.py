from __future__ import annotations

import numpy as np
import pytest

from cemi_run.sources.video.screen import PictureArea, coloured, find_picture


def activity(shape: tuple[int, int], *living: tuple[int, int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 0.05, shape)
    for y0, y1, x0, x1 in living:
        picture[y0:y1, x0:x1] = rng.uniform(0.5, 2.0, (y1 - y0, x1 - x0))
    return picture


@pytest.mark.parametrize("area", [(0, 300, 0, 400), (0, 257, 0, 400), (31, 290, 83, 398), (5, 203, 2, 318)])
def test_living_picture_is_found_to_the_pixel(area: tuple[int, int, int, int]) -> None:
    found = find_picture(activity((300, 400), area))
    assert found == PictureArea(*area)


def test_ticking_clock_in_the_data_bar_is_not_part_of_the_picture() -> None:
    found = find_picture(activity((300, 400), (0, 250, 0, 400), (265, 285, 300, 390)))
    assert found == PictureArea(0, 250, 0, 400)


def test_small_dead_places_in_the_picture_are_part_of_it() -> None:
    picture = activity((300, 400), (0, 260, 0, 400))
    picture[100:112, 200:210] = 0
    assert find_picture(picture) == PictureArea(0, 260, 0, 400)


def test_frozen_label_in_a_corner_is_cut_off() -> None:
    picture = activity((300, 400), (0, 260, 0, 400))
    picture[220:252, 10:180] = 0
    found = find_picture(picture)
    assert found is not None
    assert found.y1 <= 220 or found.x0 >= 180


def test_dead_screen_has_no_picture() -> None:
    assert find_picture(np.zeros((300, 400))) is None


def test_green_graphics_are_seen_and_the_codecs_tint_is_not() -> None:
    rng = np.random.default_rng(1)
    chroma = (128 + rng.integers(-4, 5, (2, 100, 150))).astype(np.uint8)
    assert not coloured(chroma, (128, 128))
    chroma[0, 60, 20:30], chroma[1, 60, 20:30] = 92, 51
    assert coloured(chroma, (128, 128))
    assert coloured(chroma, (128, 128), slice(118, 124))
    assert not coloured(chroma, (128, 128), slice(0, 110))


def test_tinted_recording_has_its_own_neutral_grey() -> None:
    chroma = np.stack([np.full((50, 50), 140, np.uint8), np.full((50, 50), 110, np.uint8)])
    assert coloured(chroma, (128, 128))
    assert not coloured(chroma, (140, 110))
