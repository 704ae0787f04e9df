"""Claims about denoising in tiles: no seam, and no dark border where nothing was imaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from cemi_core.model.mosaic import Box
from cemi_core.numeric.tiles import denoise_box, denoise_image, peak_of


class Mean:
    """A denoiser that takes no notice of what was not imaged."""

    halo = 2

    def __call__(self, block, info=None):
        return uniform_filter(block, (1, 5, 5), mode="reflect")


@given(st.integers(5, 60), st.integers(5, 60), st.integers(3, 30))
def test_any_tiling_gives_the_same_picture(height, width, tile_px):
    image = np.random.default_rng(height * width).random((height, width), dtype=np.float32)
    np.testing.assert_allclose(denoise_image(Mean(), image, tile_px=tile_px), denoise_image(Mean(), image), atol=1e-6)


def test_tiles_are_brought_to_the_type_of_the_file_one_by_one():
    image = np.random.default_rng(0).random((50, 70), dtype=np.float32)
    sizes = []

    def stored(part):
        sizes.append(part.size)
        return np.rint(255 * part).astype(np.uint8)

    pixels = denoise_image(Mean(), image, tile_px=32, stored=stored)
    assert pixels.dtype == np.uint8
    assert max(sizes) <= 32 * 32
    np.testing.assert_array_equal(pixels, stored(denoise_image(Mean(), image, tile_px=32)))


def test_every_tile_knows_the_brightest_grey_level_of_the_picture():
    peaks = []

    class Asking(Mean):
        def __call__(self, block, info=None):
            peaks.append(info.peak)
            return block

    image = np.full((40, 50), 0.1, np.float32)
    image[3, 4], image[30, 30] = 0.3, np.nan
    denoise_image(Asking(), image, tile_px=20)
    assert peaks == [pytest.approx(0.3)] * 6
    assert peak_of(np.full((2, 2), np.nan, np.float32)) is None


def test_the_border_of_the_imaged_part_is_not_darkened():
    image = np.full((40, 40), 0.6, np.float32)
    valid = np.zeros((40, 40), bool)
    valid[:, :25] = True
    image[~valid] = 0

    clean = denoise_box(
        Mean(), lambda box: image[box.slices], Box(0, 0, 40, 40), (40, 40), read_valid=lambda box: valid[box.slices]
    )
    np.testing.assert_allclose(clean[valid], 0.6, atol=1e-5)


def test_pixels_that_are_no_numbers_do_not_spread():
    image = np.full((40, 40), 0.6, np.float32)
    image[10:12, 20] = np.nan, np.inf
    clean = denoise_image(Mean(), image)
    assert np.isnan(clean[10:12, 20]).all()
    assert np.isfinite(clean).sum() == 40 * 40 - 2
