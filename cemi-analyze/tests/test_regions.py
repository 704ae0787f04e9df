"""Claims about regions beyond a grey level: planted ones are found, each once, with their sizes."""

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.draw import disk

from cemi_analyze.objects.regions import RegionsSettings, make
from cemi_core.model.grid import Grid
from cemi_core.model.stages import BlockInfo, Runtime
from cemi_core.testing import AnalyzerTests


def pores(shape=(240, 320), radius=7.0, noise=0.02, seed=0):
    """An image with dark discs at least 6 px apart, and their centres."""
    rng = np.random.default_rng(seed)
    image, centres = np.full(shape, 0.6, np.float32), []
    while len(centres) < 30:
        centre = rng.uniform((10, 10), (shape[0] - 10, shape[1] - 10))
        if all(np.hypot(*(centre - other)) > 2 * radius + 6 for other in centres):
            centres.append(centre)
            image[disk(centre, radius, shape=shape)] = 0.2
    return (image + rng.normal(0, noise, shape)).astype(np.float32), np.array(centres)


class TestRegions(AnalyzerTests):
    name = "regions"
    settings = {"darker_than": 0.4, "called": "pores"}

    def image(self):
        return pores()[0]


def test_planted_pores_are_found_with_their_places_and_sizes():
    image, centres = pores()
    analyzer = make(RegionsSettings(darker_than=0.4, called="pores"), Runtime())
    (objects,) = TestRegions().objects_of_tiles(image, Grid(3, 4, image.shape))
    assert len(objects) == len(centres)
    nearest = np.hypot(objects.y_px[:, None] - centres[:, 0], objects.x_px[:, None] - centres[:, 1]).min(axis=1)
    assert nearest.max() < 0.5
    assert objects.column("diameter_px").mean() == pytest.approx(14, rel=0.02)
    measured = analyzer.measure(image, 0.1)
    assert measured.extra["count"] == 30
    assert measured.extra["mean_diameter_um"] == pytest.approx(1.4, rel=0.02)
    assert measured.value == pytest.approx(30 * np.pi * 49 / image.size, rel=0.04)


def test_the_layer_is_the_mask_of_the_cell_itself():
    from cemi_core.model.stages import BlockInfo, WritesLayers

    image, _ = pores(noise=0.0)
    analyzer = make(RegionsSettings(darker_than=0.4, smoothing_px=0, called="pores"), Runtime())
    assert isinstance(analyzer, WritesLayers)
    info = BlockInfo(core=(slice(20, 220), slice(30, 300)))
    _, layers = analyzer.process_with_layers(image, info)
    np.testing.assert_array_equal(layers["pores"], image[20:220, 30:300] < 0.4)


def test_what_was_not_imaged_is_no_region():
    from cemi_core.model.stages import BlockInfo

    image, _ = pores()
    valid = np.ones(image.shape, bool)
    valid[:, :60] = False
    analyzer = make(RegionsSettings(darker_than=0.4, called="pores"), Runtime())
    cell = analyzer.process(np.where(valid, image, 0).astype(np.float32), BlockInfo(valid=valid))
    assert cell.objects.x_px.min() > 60


@pytest.mark.parametrize("given", [{}, {"darker_than": 0.3, "brighter_than": 0.6}])
def test_one_level_must_be_given(given):
    with pytest.raises(ValidationError, match="give one grey level"):
        RegionsSettings(**given)


@pytest.mark.parametrize(("largest_px", "wide"), [(96, True), (40, False)])
def test_cells_too_small_for_an_interval_are_said(largest_px, wide):
    image, _ = pores()
    analyzer = make(RegionsSettings(darker_than=0.4, called="pores", largest_px=largest_px), Runtime())
    cell = analyzer.process(image, BlockInfo(core=(slice(0, 240), slice(0, 320)), image_shape=image.shape))
    result = analyzer.merge([(0, 0, cell)], (1, 1))
    (shares,) = result.maps
    assert ((shares.low <= 0) & (shares.high >= 1)).all() == wide
    assert any("lower 'largest_px'" in note for note in result.notes) == wide
