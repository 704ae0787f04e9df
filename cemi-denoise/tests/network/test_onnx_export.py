"""A network comes out as an ONNX file that gives the same, with 8-bit numbers only where they cost nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.model.stages import Runtime
from cemi_denoise.network import onnx_export
from cemi_denoise.network.networks import build_network
from cemi_denoise.network.onnx_export import export_onnx
from cemi_denoise.network.weights import save_weights

ARCHITECTURES = [
    {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4},
    {"name": "UNet", "features": 4, "levels": 2, "noise_channel": False},
]


@pytest.fixture(params=ARCHITECTURES, ids=lambda a: a["name"])
def weights(request, tmp_path):
    torch.manual_seed(0)
    network = build_network(request.param).eval().requires_grad_(False)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    save_weights(tmp_path / "mine.safetensors", network, request.param, {})
    return network, str(tmp_path / "mine.safetensors")


def require_packages():
    pytest.importorskip("onnx", reason="needs the extra 'onnx-export'")
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx-export'")


def test_the_file_gives_what_the_network_gives_on_pictures_of_another_size(weights, tmp_path):
    require_packages()
    from cemi_denoise.denoisers.onnx_file import OnnxSettings, make

    network, path = weights
    assert export_onnx(path, tmp_path / "mine.onnx")["loss_db"] == 0
    settings = OnnxSettings(model=str(tmp_path / "mine.onnx"), noise=0.1, multiple_px=4, reach_px=16)
    picture = np.random.default_rng(0).random((72, 40)).astype(np.float32)
    expected = network(torch.from_numpy(picture)[None, None], torch.tensor([0.1])).numpy()[0, 0]
    np.testing.assert_allclose(make(settings, Runtime()).run(picture), expected, atol=1e-5)


def test_eight_bits_are_refused_where_they_cost_too_much(weights, tmp_path, monkeypatch):
    require_packages()
    network, path = weights
    if type(network).__name__ == "UNet":
        pytest.skip("only the trunk of RRDBNet is put into 8 bits")
    monkeypatch.setattr(onnx_export, "MOST_LOSS_DB", -1.0)
    with pytest.raises(InputError, match="8-bit numbers cost"):
        export_onnx(path, tmp_path / "small.onnx", int8=True)
    assert not (tmp_path / "small.onnx").exists()
    monkeypatch.setattr(onnx_export, "MOST_LOSS_DB", 1.0)
    assert abs(export_onnx(path, tmp_path / "small.onnx", int8=True)["loss_db"]) < 1
    assert b"QuantizeLinear" in (tmp_path / "small.onnx").read_bytes()


def test_a_package_that_is_missing_is_named(weights, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(onnx_export, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"onnxruntime, which is not installed; run: pip install"):
        export_onnx(weights[1], tmp_path / "mine.onnx")
