"""Models of others see mirrored margins on the grid of the whole picture, and how far they look is measured."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from cemi_denoise.denoisers.picture_model import measured_reach_px, run_aligned


def blocks_of_8(image):
    """Return the mean of every 8 x 8 block, as strided networks see it; refuses other sizes."""
    assert image.shape[0] % 8 == image.shape[1] % 8 == 0
    means = image.reshape(image.shape[0] // 8, 8, image.shape[1] // 8, 8).mean((1, 3))
    return np.kron(means, np.ones((8, 8))).astype(np.float32)


def test_tiles_of_a_strided_model_lie_on_the_grid_of_the_picture():
    image = np.random.default_rng(0).random((83, 95)).astype(np.float32)
    whole = run_aligned(blocks_of_8, image, (0, 0), 8)
    part = run_aligned(blocks_of_8, image[13:61, 22:70], (13, 22), 8)
    np.testing.assert_allclose(part[8:-8, 8:-8], whole[13:61, 22:70][8:-8, 8:-8], atol=1e-6)


@pytest.mark.parametrize(("model", "least", "most"), [(lambda p: p, 8, 8), (lambda p: uniform_filter(p, 41), 24, 32)])
def test_how_far_a_model_looks_is_measured(model, least, most):
    assert least <= measured_reach_px(model) <= most


def test_a_model_that_looks_at_the_whole_picture_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        reach = measured_reach_px(lambda p: p - p.mean() + gaussian_filter(p, 60), name="whole.pth")
    assert reach == 128
    assert "whole.pth looks farther than 128 px" in caplog.text
