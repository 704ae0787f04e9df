"""Claims about the analyzer 'segment': what a network finds becomes shares, layers and regions, whatever the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from cemi_analyze.segment.analyzer import SegmentSettings, layers_of, make, segmented
from cemi_analyze.segment.likeness import warnings_of
from cemi_analyze.segment.pieces import joined_pieces, pieces_of
from cemi_analyze.segment.voting import voted
from cemi_analyze.segment.weights import ShareErrors, card_in, find_segmenter
from cemi_core.errors import InputError
from cemi_core.model.classes import class_labels
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.stages import BlockInfo, Explains, Runtime, WritesLayers
from cemi_core.numeric.objects import notes_on_cut
from cemi_core.testing import AnalyzerTests


@pytest.fixture(scope="module")
def weights(trained_segmenter):
    return str(trained_segmenter[0])


class TestSegment(AnalyzerTests):
    name = "segment"
    opens_files = True

    @pytest.fixture(autouse=True)
    def _weights(self, samples, weights):
        self.samples = samples
        self.settings = {"weights": weights, "min_area_px": 20}

    def image(self):
        return self.samples.discs((200, 240))[0].astype(np.float32) / 255

    def test_each_object_is_found_once_whatever_the_tiles(self):
        # the halo is as wide as leaves probabilities alike within 0.02, so single pixels at an edge may change sides
        image = self.image()
        (whole,) = self.objects_of_tiles(image, Grid(1, 1, image.shape))
        for rows, columns in ((2, 3), (5, 4)):
            (tiled,) = self.objects_of_tiles(image, Grid(rows, columns, image.shape))
            assert len(tiled) == len(whole)
            np.testing.assert_allclose(tiled.y_px, whole.y_px, atol=0.3)
            np.testing.assert_allclose(tiled.area_px, whole.area_px, atol=4)


def test_the_share_and_the_number_of_discs_are_found(samples, weights):
    image, mask = samples.discs(seed=11)
    found = make(SegmentSettings(weights=weights, min_area_px=40), Runtime()).measure(image, 0.1)
    assert found.name == "discs_fraction"
    assert found.value == pytest.approx(mask.mean(), abs=0.04)
    assert found.low <= mask.mean() <= found.high
    assert found.extra["regions_count"] == pytest.approx(9, abs=3)


def test_layers_hold_the_mask_and_the_probability(samples, weights):
    image, mask = samples.discs(seed=12)
    analyzer = make(SegmentSettings(weights=weights), Runtime())
    assert isinstance(analyzer, WritesLayers)
    info = BlockInfo(core=(slice(8, 90), slice(4, 120)))
    _, layers = analyzer.process_with_layers(image.astype(np.float32) / 255, info)
    assert [spec.name for spec in layers_of(analyzer.classes)] == list(layers)
    assert layers["discs"].shape == (82, 116)
    inside = mask[8:90, 4:120] == 1
    assert layers["discs_probability"][inside].mean() > layers["discs_probability"][~inside].mean() + 0.3
    np.testing.assert_array_equal(layers["discs"] == 1, layers["discs_probability"] > 0.5)


@pytest.mark.parametrize("drawn", ["outlines", "grad-cam"])
def test_a_cell_is_drawn(samples, weights, drawn):
    image, _ = samples.discs(seed=13)
    analyzer = make(SegmentSettings(weights=weights, drawn=drawn), Runtime())
    assert isinstance(analyzer, Explains)
    picture = analyzer.explain(image.astype(np.float32) / 255, BlockInfo())
    assert picture.shape == (*image.shape, 3)
    assert picture.dtype == np.uint8
    coloured = np.ptp(picture.astype(int), axis=2) > 30
    assert coloured.any()


def test_mirror_images_are_averaged(samples, weights):
    image, _ = samples.discs(seed=14)
    once = segmented(image, weights)
    mirrored = segmented(image, weights, flips=True)
    assert mirrored.shape == once.shape == (2, *image.shape)
    np.testing.assert_allclose(segmented(image[:, ::-1], weights, flips=True)[:, :, ::-1], mirrored, atol=0.02)
    assert np.abs(once - mirrored).max() > 1e-4


def test_regions_get_the_class_that_most_of_their_pixels_have():
    probabilities = np.zeros((3, 20, 20), np.float32)
    probabilities[0] = 1
    probabilities[:, 4:10, 4:10] = np.array([0.1, 0.6, 0.3])[:, None, None]
    probabilities[:, 6, 4:10] = np.array([0.1, 0.2, 0.7])[:, None]
    probabilities[:, 14:16, 14:16] = np.array([0.6, 0.2, 0.2])[:, None, None]
    found = voted(probabilities)
    assert (found[4:10, 4:10] == 1).all()
    assert not found[14:16, 14:16].any()
    assert not voted(np.stack([np.ones((8, 8)), np.zeros((8, 8))]).astype(np.float32)).any()


def test_an_image_unlike_those_that_were_learnt_from_is_told(weights):
    analyzer = make(SegmentSettings(weights=weights), Runtime())
    noise = np.random.default_rng(0).normal(0.5, 0.3, (128, 128)).clip(0, 1).astype(np.float32)
    partial = analyzer.process(noise, BlockInfo(core=(slice(0, 128), slice(0, 128))))
    notes = " ".join(analyzer.merge([(0, 0, partial)], (1, 1)).notes)
    assert "unlike what" in notes
    assert "Compare its mask" in notes
    assert warnings_of([{"noise": 0.1}] * 9 + [{"noise": 0.9}], {"noise": (0.0, 0.2)}, "w") == ()


def test_the_error_of_the_network_goes_into_every_interval(samples, weights):
    errors = ShareErrors("mask", (0.3, 1.0), ((0.0, 0.01), (0.0, 0.05)))
    assert errors.half_width(0.2, 1) == pytest.approx(1.96 * 0.01)
    assert errors.half_width(0.9, 1) == pytest.approx(1.96 * 0.05)
    assert ShareErrors().half_width(0.2, 1) == 0
    image, _ = samples.discs(seed=15)
    found = make(SegmentSettings(weights=weights), Runtime()).measure(image)
    assert found.high - found.low >= 2 * card_in(weights).errors.half_width(0.2, 1) * 0.5


def test_layers_of_more_classes_are_one_picture_of_classes():
    specs = layers_of(class_labels(["other", "grain", "pore"]))
    assert [spec.name for spec in specs] == ["classes", "grain_probability", "pore_probability"]


def test_weights_that_are_none_are_told(tmp_path):
    with pytest.raises(InputError, match="there are no weights 'nothing'"):
        find_segmenter("nothing")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        card_in(tmp_path / "broken.safetensors")
    (tmp_path / "table.csv").write_text("a,b")
    with pytest.raises(InputError, match=r"is not a \.safetensors file"):
        find_segmenter(str(tmp_path / "table.csv"))


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.full((64, 64), np.nan, np.float32), np.zeros((4, 64, 64), np.uint8)]
)
def test_images_that_cannot_be_segmented_end_in_a_sentence(weights, image):
    with pytest.raises(InputError):
        segmented(image, weights)


def test_regions_at_the_edge_of_the_image_are_not_said_to_be_larger_than_the_halo():
    classes = np.zeros((40, 40), int)
    classes[:5, 3:9] = classes[20:25, 20:25] = 1
    pieces = pieces_of(classes, np.ones((40, 40), np.float32), Box(0, 0, 40, 40), (True, True, True, True))
    regions = joined_pieces([pieces], "regions", "Regions", class_labels(["other", "discs"])[1:])
    assert regions.cut.tolist() == [True, False]
    assert notes_on_cut([regions], (40, 40), 8) == []


def test_a_region_that_runs_over_two_cells_is_one():
    classes = np.zeros((40, 80), int)
    classes[10:20, 30:55] = 1
    cells = [
        pieces_of(classes[:, x : x + 40], np.ones((40, 40), np.float32), Box(0, x, 40, 40), (True, True, x == 0, x > 0))
        for x in (0, 40)
    ]
    regions = joined_pieces(cells, "regions", "Regions", class_labels(["other", "discs"])[1:], 0.5)
    assert regions.area_px.tolist() == [250]
    assert (regions.y_px[0], regions.x_px[0]) == (14.5, 42)
    assert regions.column("diameter_um")[0] == pytest.approx(np.sqrt(250 / np.pi))
    assert not regions.cut.any()
