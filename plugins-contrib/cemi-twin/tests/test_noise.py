"""The noise of frames from places that two of them show."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cemi_twin.noise import Overlap, noise_of_frames, noise_of_overlaps


def test_texture_is_not_taken_for_noise():
    rng = np.random.default_rng(1)
    texture = gaussian_filter(rng.normal(0, 1, (256, 256)), 0.8)
    texture = (0.5 + 0.1 * texture / texture.std()).astype(np.float32)
    pairs = []
    for _ in range(3):
        first, second = (texture + rng.normal(0, 0.05, texture.shape).astype(np.float32) for _ in range(2))
        pairs.append(Overlap(first, second, (0.0, 0.0)))
    noise = noise_of_overlaps(pairs, 0.5)
    assert noise.std == pytest.approx(0.05, rel=0.1)
    assert noise.pairs == 3
    assert max(abs(value) for value in noise.line_autocorrelation) < 0.08


def test_overlaps_smaller_than_a_patch_say_nothing():
    small = np.zeros((20, 20), np.float32)
    assert noise_of_overlaps([Overlap(small, small, (0.0, 0.0))], 0.5) is None


def test_frames_alone_give_white_noise():
    rng = np.random.default_rng(2)
    frames = [(0.5 + rng.normal(0, 0.04, (200, 200))).astype(np.float32) for _ in range(3)]
    assert noise_of_frames(frames).std == pytest.approx(0.04, rel=0.1)
