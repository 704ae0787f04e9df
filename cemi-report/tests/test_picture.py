"""The picture on the page: true to the mosaic, whatever its size and shape."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from cemi_core.model.mosaic import Box
from cemi_report.picture import View, details, overview, read_view, strips, whole
from cemi_report.picture_figures import as_rgb, picture_figure


class ArrayMosaic:
    """A mosaic in memory; NaN was not imaged."""

    def __init__(self, image: np.ndarray, levels: int = 1, pixel_size_um: float | None = None) -> None:
        self.planes = [image.astype(np.float32)]
        for _ in range(levels - 1):
            height, width = self.planes[-1].shape
            padded = np.pad(self.planes[-1], ((0, height % 2), (0, width % 2)), mode="edge")
            self.planes.append(padded.reshape(-(-height // 2), 2, -(-width // 2), 2).mean(axis=(1, 3)))
        self.shape = image.shape
        self.dtype = np.dtype(np.float32)
        self.level_shapes = tuple(plane.shape for plane in self.planes)
        self.pixel_size_um = pixel_size_um

    def read(self, box: Box, level: int = 0) -> np.ndarray:
        assert box.clipped(self.level_shapes[level]) == box
        return np.nan_to_num(self.planes[level][box.slices])

    def read_valid(self, box: Box, level: int = 0) -> np.ndarray:
        return np.isfinite(self.planes[level][box.slices])


@pytest.fixture(scope="session")
def formula_mosaic(make_report_data) -> Callable:
    return type(make_report_data().mosaic)


def ramp(height: int, width: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, width)[None] * np.linspace(0.5, 1.0, height)[:, None]


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("shape", [(300, 2100), (1001, 1003), (70, 90)])
def test_a_reduced_view_is_the_mosaic_whatever_levels_it_has(levels, shape):
    image = ramp(*shape)
    view = read_view(ArrayMosaic(image, levels), Box(0, 0, *shape), 128, 128)
    height, width = view.image.shape
    assert max(height, width) <= 128
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.1)
    y = ((np.arange(height) + 0.5) * shape[0] / height - 0.5).round().astype(int)
    x = ((np.arange(width) + 0.5) * shape[1] / width - 0.5).round().astype(int)
    assert np.abs(view.image - image[np.ix_(y, x)]).max() < 0.03
    assert view.valid.all()


def test_pixels_that_were_not_imaged_do_not_darken_their_neighbours():
    image = np.full((400, 400), 0.8)
    image[:, 150:253] = np.nan
    view = read_view(ArrayMosaic(image), Box(0, 0, 400, 400), 64, 64)
    assert view.image[view.valid] == pytest.approx(0.8, abs=1e-4)
    assert 1 - view.valid.mean() == pytest.approx(103 / 400, abs=0.03)


def test_a_view_of_a_part_shows_that_part():
    image = np.zeros((500, 900))
    image[200:300, 600:700] = 1.0
    inside = read_view(ArrayMosaic(image, 3), Box(200, 600, 100, 100), 50, 50)
    outside = read_view(ArrayMosaic(image, 3), Box(40, 100, 100, 100), 50, 50)
    assert inside.image.mean() > 0.97 and outside.image.max() == 0


@pytest.mark.parametrize("levels", [1, 9])
def test_a_centimetre_wide_mosaic_is_never_read_whole(formula_mosaic, levels):
    shape = (7848, 123672) if levels == 9 else (900, 12_000)
    mosaic = formula_mosaic(shape, levels=levels)
    overview(mosaic)
    strips(mosaic)
    details(mosaic)
    assert mosaic.largest_read_px <= 2048 * 2048
    if levels == 9:
        assert mosaic.read_px < 20e6  # of 970 million


def test_a_very_wide_mosaic_is_also_shown_in_strips_that_cover_it_once(formula_mosaic):
    mosaic = formula_mosaic((7848, 123672))
    boxes = [view.box for view in strips(mosaic)]
    assert 2 <= len(boxes) <= 6
    assert boxes[0].x == 0 and boxes[-1].x + boxes[-1].width == 123672
    assert all(a.x + a.width == b.x for a, b in pairwise(boxes))
    assert {box.height for box in boxes} == {7848}
    assert strips(formula_mosaic((5000, 8000))) == []
    tall = strips(formula_mosaic((80_000, 3000)))
    assert sum(view.box.height for view in tall) == 80_000


def test_details_are_at_full_resolution_and_wholly_imaged_by_well_placed_frames(formula_mosaic, make_report_data):
    data = make_report_data()
    found = details(data.mosaic, data.layout)
    assert 2 <= len(found) <= 3
    for view in found:
        assert view.image.shape == (view.box.height, view.box.width)
        assert view.valid.all()
        assert not data.layout.placed_by_prior[data.layout.frames_in(view.box)].any()
    assert len({view.box for view in found}) == len(found)
    everywhere = type(data.layout)(**{**vars(data.layout), "placed_by_prior": np.ones(len(data.layout), bool)})
    assert details(data.mosaic, everywhere) == []


def test_a_small_or_empty_mosaic_has_no_details_but_a_picture(formula_mosaic):
    assert details(formula_mosaic((300, 400))) == []
    black = ArrayMosaic(np.full((1200, 1500), np.nan), 3)
    assert details(black) == []
    assert not overview(black).valid.any()
    assert picture_figure(overview(black))


def test_what_was_not_imaged_has_a_colour_that_no_grey_picture_holds():
    view = View(Box(0, 0, 4, 4), np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4), np.eye(4, dtype=bool))
    rgb = as_rgb(view)
    grey = (rgb[..., 0] == rgb[..., 1]) & (rgb[..., 1] == rgb[..., 2])
    assert np.array_equal(grey, view.valid)


@pytest.mark.parametrize("pixel_size_um", [0.222, None])
@pytest.mark.parametrize("shape", [(600, 1600), (3, 1600), (1600, 90), (1, 1)])
def test_the_scale_bar_is_as_long_as_it_says(monkeypatch, pixel_size_um, shape):
    planted = 40.0  # um, or px without a pixel size
    monkeypatch.setattr("cemi_report.picture_figures.nice_scale_bar", lambda width: (planted, "40 µm"))
    mosaic_px_per_px = 2
    box = Box(0, 0, shape[0] * mosaic_px_per_px, shape[1] * mosaic_px_per_px)
    view = View(box, np.full(shape, 0.5, np.float32), np.ones(shape, bool))
    with Image.open(io.BytesIO(picture_figure(view, pixel_size_um))) as image:
        strip = np.asarray(image.convert("L"))[-27]
    zoom = max(1, 640 // max(shape))
    expected = min(planted / (pixel_size_um or 1.0) / mosaic_px_per_px * zoom, strip.size)
    dark = strip < 128
    first_light = int(np.argmin(dark)) if not dark.all() else dark.size
    assert first_light == pytest.approx(expected, abs=2)


def test_one_pixel_of_the_view_is_one_pixel_of_the_figure():
    stripes = np.tile(np.array([0.0, 0.0, 1.0, 1.0], np.float32), (200, 250))
    view = View(Box(0, 0, *stripes.shape), stripes, np.ones(stripes.shape, bool))
    with Image.open(io.BytesIO(picture_figure(view, quality=95))) as image:
        shown = np.asarray(image.convert("L"), dtype=float)[:200, :1000] / 255
    assert np.abs(shown - stripes).max() < 0.15


def test_the_whole_mosaic_is_the_box_of_the_overview(formula_mosaic):
    mosaic = formula_mosaic((900, 1700))
    assert overview(mosaic).box == whole(mosaic) == Box(0, 0, 900, 1700)
