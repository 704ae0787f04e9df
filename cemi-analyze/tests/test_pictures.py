"""What may be handed to an analyzer, and what is refused with a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze import BccFraction, LamellaFraction, LamellaWidth, SrPhase
from cemi_core.errors import InputError
from cemi_core.model.stages import BlockInfo

ANALYZERS = [BccFraction, LamellaFraction, LamellaWidth, SrPhase]


@pytest.fixture(scope="module")
def picture(planted):
    return planted.imaged(planted.stripes(10, wave_px=1), 0.03, np.random.default_rng(0))


@pytest.mark.parametrize("analyzer", ANALYZERS)
@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((64, 64, 3)), "grey array"),
        (np.zeros((20, 200)), "too small"),
        (np.zeros((0, 0)), "too small"),
        (np.full((64, 64), np.nan), "no finite pixel"),
        (np.array([["a"] * 64] * 64), "real numbers"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_reason(analyzer, image, says):
    with pytest.raises(InputError, match=says):
        analyzer().measure(image)


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_a_plain_picture_has_no_value_but_does_not_fail(analyzer):
    measured = analyzer().measure(np.full((96, 96), 0.5, np.float32))
    if analyzer is LamellaFraction:
        assert measured.value == 0.0  # nothing runs one way, which is a measurement
    else:
        assert np.isnan(measured.value)


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_8_bit_16_bit_and_float_pictures_give_the_same_number(analyzer, picture):
    as_float = analyzer().measure(picture).value
    assert analyzer().measure((picture * 65535).round().astype(np.uint16)).value == pytest.approx(as_float, rel=0.002)
    assert analyzer().measure((picture * 255).round().astype(np.uint8)).value == pytest.approx(as_float, rel=0.03)


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_pixels_that_were_not_imaged_do_not_count(analyzer, picture):
    whole = analyzer().measure(picture).value
    holed = picture.copy()
    holed[:, :60] = np.nan
    assert analyzer().measure(holed).value == pytest.approx(whole, rel=0.12)


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_a_mask_and_nan_say_the_same(analyzer, picture):
    valid = np.ones(picture.shape, bool)
    valid[:, :60] = False
    core = (slice(0, picture.shape[0]), slice(0, picture.shape[1]))
    made = analyzer()
    partial = made.process(np.where(valid, picture, 0).astype(np.float32), BlockInfo(core=core, valid=valid))
    by_mask = made.merge([(0, 0, partial)], (1, 1)).maps[0].value[0, 0]
    assert by_mask == made.measure(np.where(valid, picture, np.nan)).value


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_a_cell_less_than_half_imaged_is_left_out(analyzer, picture):
    valid = np.zeros(picture.shape, bool)
    valid[:, :100] = True
    assert analyzer().process(picture, BlockInfo(core=(slice(0, 240), slice(0, 240)), valid=valid)) is None


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_measure_is_process_and_merge_of_one_cell(analyzer, picture):
    made = analyzer()
    info = BlockInfo(pixel_size_um=0.2, core=(slice(0, 240), slice(0, 240)))
    grid_map = made.merge([(0, 0, made.process(picture, info))], (1, 1)).maps[0]
    measured = made.measure(picture, 0.2)
    assert (measured.value, measured.low, measured.high) == (
        grid_map.value[0, 0],
        grid_map.low[0, 0],
        grid_map.high[0, 0],
    )
    assert measured.unit == grid_map.unit
