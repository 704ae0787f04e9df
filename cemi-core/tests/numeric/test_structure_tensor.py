"""Structure tensors of planted lines, against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.feature import structure_tensor as skimage_tensor

from cemi_core.numeric.structure_tensor import mean_tensor, principal_axis, structure_tensor


def stripes(angle_rad: float, period_px: float = 12.0) -> np.ndarray:
    """Lines whose normal points from x towards y by an angle."""
    y, x = np.mgrid[:160, :180]
    phase = (math.sin(angle_rad) * y + math.cos(angle_rad) * x) * (2 * np.pi / period_px)
    return (0.5 + 0.2 * np.sin(phase)).astype(np.float32)


@pytest.mark.parametrize("degrees", [-80, -30, 0, 17, 45, 88])
def test_the_normal_of_straight_lines_is_right_to_a_third_of_a_degree(degrees: float) -> None:
    angle = math.radians(degrees)
    tensor = structure_tensor(stripes(angle), 8.0)
    inner = slice(30, -30)
    assert tensor.coherency[inner, inner].min() > 0.99
    away = np.angle(np.exp(2j * (tensor.normal_rad[inner, inner] - angle))) / 2
    assert np.degrees(np.abs(away)).max() < 0.35
    axis, eigenvalues = principal_axis(mean_tensor(stripes(angle)))
    assert abs(axis[0] * math.sin(angle) + axis[1] * math.cos(angle)) == pytest.approx(1, abs=1e-4)
    assert eigenvalues[0] < 0.02 * eigenvalues[1]


def test_noise_runs_no_way() -> None:
    noise = np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
    assert np.median(structure_tensor(noise, 12.0).coherency) < 0.1


def test_the_tensor_is_that_of_scikit_image_but_for_the_operator_of_the_slopes() -> None:
    image = stripes(0.4, 20.0)
    own = structure_tensor(image, 6.0, 0.0)
    rr, rc, cc = skimage_tensor(image, sigma=6.0, mode="mirror")
    ours = np.stack([own.difference, own.product, own.energy])[:, 30:-30, 30:-30]
    theirs = np.stack([cc - rr, 2 * rc, cc + rr])[:, 30:-30, 30:-30]
    scale = float((ours * theirs).sum() / (theirs * theirs).sum())  # Sobel's and Scharr's gains differ
    assert np.abs(ours - scale * theirs).max() < 0.02 * np.abs(ours).max()
