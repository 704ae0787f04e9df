"""An ONNX file keeps the contract of a denoiser, whatever its channels and strides, and is refused in a sentence."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from cemi_core.errors import InputError, MissingDependencyError, UsageError
from cemi_core.numeric.tiles import denoise_image
from cemi_core.testing import DenoiserTests, make_plugin, textured_image
from cemi_denoise.denoisers.onnx_file import run_session
from cemi_denoise.denoisers.picture_model import ModelFile

REASON = "not installed: pip install 'cemi-denoise[onnx]' onnx"


def write_mean_model(path, channels=1, size=("h", "w"), noise=False, stride=1):
    """Write a model that takes the mean of 5 x 5 px; with a noise input, adds it; with a stride, is smaller."""
    onnx = pytest.importorskip("onnx", reason=REASON)
    pytest.importorskip("onnxruntime", reason=REASON)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    attributes = {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2], "strides": [stride, stride], "count_include_pad": 1}
    nodes = [helper.make_node("AveragePool", ["x"], ["mean"], **attributes)]
    nodes.append(
        helper.make_node("Add", ["mean", "noise"], ["y"]) if noise else helper.make_node("Identity", ["mean"], ["y"])
    )
    inputs = [helper.make_tensor_value_info("x", kind, [1, channels, *size])]
    inputs += [helper.make_tensor_value_info("noise", kind, [1])] if noise else []
    graph = helper.make_graph(
        nodes, "mean", inputs, [helper.make_tensor_value_info("y", kind, [1, channels, "a", "b"])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def model(tmp_path):
    return write_mean_model(tmp_path / "mean.onnx")


class TestOnnx(DenoiserTests):
    name = "onnx"

    @pytest.fixture(autouse=True)
    def _written(self, model):
        self.settings = {"model": model}


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_go_through_models_of_one_and_of_three_channels(tmp_path, channels):
    image = textured_image((70, 90))
    denoiser = make_plugin("denoise", "onnx", model=write_mean_model(tmp_path / "m.onnx", channels))
    np.testing.assert_allclose(denoiser(image), uniform_filter(image, 5, mode="reflect"), atol=1e-5)
    assert denoiser.reach == 8


def test_a_model_with_a_noise_input_is_told_the_noise(tmp_path):
    path = write_mean_model(tmp_path / "m.onnx", noise=True)
    flat = np.full((64, 64), 0.5, np.float32)
    np.testing.assert_allclose(make_plugin("denoise", "onnx", model=path, noise=0.1)(flat), 0.6, atol=1e-6)
    with pytest.raises(InputError, match="wants to be told the noise"):
        make_plugin("denoise", "onnx", model=path).prepare()


def test_a_file_that_does_not_fit_is_refused_in_a_sentence(tmp_path):
    cases = {
        str(tmp_path / "none.onnx"): "there is no model file",
        write_mean_model(tmp_path / "fixed.onnx", size=(64, 64)): "64 x 64 px only",
        write_mean_model(tmp_path / "four.onnx", channels=4): "4 channels",
        write_mean_model(tmp_path / "half.onnx", stride=2): "keeps the size",
    }
    for path, reason in cases.items():
        denoiser = make_plugin("denoise", "onnx", model=path)
        with pytest.raises(InputError, match=reason):
            denoiser.prepare()
        with pytest.raises(InputError, match=reason):
            denoise_image(denoiser, textured_image())


def test_a_model_that_makes_no_numbers_is_refused(tmp_path):
    path = write_mean_model(tmp_path / "m.onnx", noise=True)
    with pytest.raises(InputError, match=r"m\.onnx makes pixels that are not numbers"):
        run_session(ModelFile.found(path, "cpu"), np.full((64, 64), 0.5, np.float32), float("nan"))


def test_a_model_that_gives_no_picture_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason=REASON)
    pytest.importorskip("onnxruntime", reason=REASON)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        "list",
        [helper.make_tensor_value_info("x", kind, [1, 1, "h", "w"])],
        [helper.make_tensor_sequence_value_info("y", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "list.onnx")
    with pytest.raises(InputError, match=r"gives seq\(tensor\(float\)\); a denoiser gives a picture"):
        make_plugin("denoise", "onnx", model=str(tmp_path / "list.onnx")).prepare()


@pytest.mark.parametrize("device", ["cuda:x", "mps", "cuda"])
def test_a_device_that_onnxruntime_cannot_use_is_one_sentence(model, device, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UsageError, match=f"--device {device} cannot be used here: onnxruntime computes on cpu"):
        run_session(ModelFile.found(model, device), np.zeros((64, 64), np.float32), None)


class SessionThatReadsNothing:
    """What onnxruntime does with a file that is not a model: it raises a class of its own."""

    def __init__(self, path, *args, **kwargs):
        raise Exception(f"[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from {path} failed\n and more")


@pytest.mark.parametrize("really", [False, True], ids=["stand-in", "onnxruntime"])
@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256)) * 40])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path, monkeypatch, content, really):
    if really:
        pytest.importorskip("onnxruntime", reason=REASON)
    else:
        stand_in = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=SessionThatReadsNothing)
        monkeypatch.setitem(sys.modules, "onnxruntime", stand_in)
    (tmp_path / "odd.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.onnx cannot be read as an ONNX model: .") as told:
        make_plugin("denoise", "onnx", model=str(tmp_path / "odd.onnx")).prepare()
    assert "\n" not in str(told.value)


def test_without_onnxruntime_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "m.onnx").write_bytes(b"")
    denoiser = make_plugin("denoise", "onnx", model=str(tmp_path / "m.onnx"))
    with pytest.raises(MissingDependencyError, match=r"pip install 'cemi-denoise\[onnx\]'"):
        denoiser.prepare()
    with pytest.raises(MissingDependencyError, match=r"pip install 'cemi-denoise\[onnx\]'"):
        denoise_image(denoiser, textured_image())
