"""Claims about sharpness: blurred cells are found among sharp ones, noise does not count as sharpness."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.stats import rankdata

from cemi_analyze.texture.focus import OUT_OF_FOCUS, SHARP, Focus, FocusSettings, band_power, blur_against
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo
from cemi_specimens.make import make_specimen

ROWS, COLUMNS, CELL = 4, 6, 256
LD, HD = 60.0, 582.0  # electrons per pixel of white


def seen(ideal, blur_px, electrons, rng):
    """A picture as a beam of 0.6 px, a blur, and counted electrons make it; the noise comes on after the blur."""
    soft = cv2.GaussianBlur(ideal, (0, 0), float(np.hypot(0.6, blur_px)))
    return (rng.poisson(np.maximum(soft, 0) * electrons) / electrons).astype(np.float32)


@pytest.fixture(scope="module")
def specimens():
    shape = ROWS * CELL, COLUMNS * CELL
    settings = {"eutectic": {"pixel_size": "150 nm"}, "gaussian-field": {"pixel_size": "200 nm"}}
    box = Box(0, 0, *shape)
    return {n: make_specimen(n, extent_px=shape, seed=4, **s).render(box) for n, s in settings.items()}


def planted(ideal, electrons, blur_px=1.5, blurred=None, noisier=1.0, seed=0):
    rng = np.random.default_rng(seed)
    blurred = rng.uniform(size=(ROWS, COLUMNS)) < 0.25 if blurred is None else blurred
    image, soft = seen(ideal, 0, electrons, rng), seen(ideal, blur_px, electrons / noisier, rng)
    mask = np.kron(blurred, np.ones((CELL, CELL), bool))
    return np.where(mask, soft, image), blurred


def judged(image, settings=None):
    analyzer = Focus(settings)
    cells = []
    for row, column in np.ndindex(ROWS, COLUMNS):
        block = image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        cells.append((row, column, analyzer.process(block, BlockInfo(0.1))))
    return analyzer.merge(cells[::-1], (ROWS, COLUMNS))


def area_under_curve(score, truth):
    rank, number = rankdata(score.ravel()), truth.sum()
    return (rank[truth.ravel()].sum() - number * (number + 1) / 2) / (number * (~truth).sum())


@pytest.mark.parametrize("name", ["eutectic", "gaussian-field"])
@pytest.mark.parametrize("electrons", [LD, HD])
@pytest.mark.parametrize("noisier", [1.0, 2.0])
def test_cells_blurred_by_one_and_a_half_px_are_told_from_sharp_ones_however_noisy(specimens, name, electrons, noisier):
    image, blurred = planted(specimens[name], electrons, noisier=noisier)
    result = judged(image)
    blur = result.maps[0].value
    assert np.isfinite(blur).all()
    assert area_under_curve(blur, blurred) >= 0.98
    flagged = result.classes[0].value == OUT_OF_FOCUS
    assert flagged[blurred].mean() > 0.8 and not flagged[~blurred].any()


def test_the_blur_is_told_in_px(specimens):
    for planted_px in (1.0, 2.0, 3.0):
        image, blurred = planted(specimens["gaussian-field"], HD, blur_px=planted_px)
        grid_map = judged(image).maps[0]
        assert np.median(grid_map.value[blurred]) == pytest.approx(planted_px, rel=0.15)
        assert np.abs(grid_map.value[~blurred]).max() < 0.8
        inside = (grid_map.low <= planted_px) & (planted_px <= grid_map.high)
        assert inside[blurred].mean() > 0.8


def test_an_even_mosaic_has_no_cell_out_of_focus(specimens):
    for name, ideal in specimens.items():
        image, _ = planted(ideal, LD, blurred=np.zeros((ROWS, COLUMNS), bool))
        assert not (judged(image).classes[0].value == OUT_OF_FOCUS).any(), name


def test_a_corner_of_the_mosaic_that_is_out_of_focus_is_found_as_a_whole(specimens):
    corner = np.zeros((ROWS, COLUMNS), bool)
    corner[2:, :4] = True
    image, _ = planted(specimens["gaussian-field"], HD, blurred=corner)
    np.testing.assert_array_equal(judged(image).classes[0].value == OUT_OF_FOCUS, corner)


def test_beside_a_blurred_cell_less_blur_is_enough():
    focus = Focus(FocusSettings(scatters=4, smallest_px=0.1))
    variance = np.random.default_rng(0).normal(0, 0.3, (6, 10))
    variance[1, 1:4] = 3.0, 1.0, 0.0
    variance[4, 7] = 1.0
    scatter, soft = focus._out_of_focus(variance)
    assert 0.2 < scatter < 0.4
    assert soft[1, 1] and soft[1, 2] and not soft[4, 7] and soft.sum() == 2


def test_the_settings_move_the_limit(specimens):
    image, blurred = planted(specimens["gaussian-field"], HD, blur_px=1.0)
    found = [judged(image, FocusSettings(smallest_px=px)).classes[0].value == OUT_OF_FOCUS for px in (0.5, 2.0)]
    np.testing.assert_array_equal(found[0], blurred)
    assert not found[1].any()
    assert not (judged(image, FocusSettings(scatters=20)).classes[0].value == OUT_OF_FOCUS).all()


def test_cells_without_structure_or_of_another_material_are_not_judged(specimens):
    image, _ = planted(specimens["gaussian-field"], LD, blurred=np.zeros((ROWS, COLUMNS), bool))
    rng = np.random.default_rng(1)
    image[:CELL, :CELL] = seen(np.full((CELL, CELL), 0.5, np.float32), 0, LD, rng)  # noise alone
    image[:CELL, CELL : 2 * CELL] = 1.0  # saturated
    result = judged(image)
    blur = result.maps[0]
    for column in (0, 1):
        assert np.isnan(blur.value[0, column]) and "cannot be told" in blur.reason(0, column)
        assert result.classes[0].value[0, column] == -1
    assert np.isfinite(np.delete(blur.value, [0, 1])).all() and (result.classes[0].value[1:] == SHARP).all()


def test_one_picture_alone_is_compared_with_sharp_edges(specimens):
    rng = np.random.default_rng(0)
    ideal = specimens["gaussian-field"][: 2 * CELL, : 2 * CELL]
    sharp, soft = (Focus().measure(seen(ideal, px, HD, rng)) for px in (0.0, 3.0))
    assert sharp.low <= sharp.value <= sharp.high and sharp.unit == "px"
    assert soft.value > sharp.value + 1


def test_cells_of_any_size_from_32_px_are_measured(specimens):
    for edge in (32, 50, 64, 100, 200):
        found = band_power(specimens["eutectic"][:edge, :edge])
        assert np.isfinite(found.power).sum() >= 8
        assert blur_against(found, found.power).fits


def test_pixels_that_were_not_imaged_do_not_count(specimens):
    image, _ = planted(specimens["eutectic"], HD, blurred=np.zeros((ROWS, COLUMNS), bool))
    cell = image[:CELL, :CELL].copy()
    valid = np.ones(cell.shape, bool)
    valid[:, 150:] = False
    cell[~valid] = 0
    np.testing.assert_array_equal(band_power(cell, valid).power, band_power(image[:CELL, :150]).power)
