"""Model files keep the contract of a denoiser; what could run code or does not fit is refused in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import uniform_filter

from cemi_core.errors import InputError, UsageError
from cemi_core.model.stages import Runtime
from cemi_core.numeric.tiles import denoise_image
from cemi_core.plugins.manager import make_named
from cemi_core.testing import DenoiserTests, make_plugin, textured_image
from cemi_denoise.denoisers import picture_model

LAYERS = 9


def mean_as_dncnn(channels=1):
    """Return the weights of a DnCNN that takes the mean of 3 x 3 px, exactly, for grey levels of 0 and more.

    Features 0.. carry the picture, the next ones its mean; the last layer gives their difference, which DnCNN
    subtracts from the picture.
    """
    features = 2 * channels
    state = {}
    for layer in range(LAYERS):
        rows = channels if layer == LAYERS - 1 else features
        kernel = torch.zeros(rows, channels if layer == 0 else features, 3, 3)
        for feature in range(channels):
            if layer == 0:
                kernel[feature, feature, 1, 1] = 1
                kernel[channels + feature, feature] = 1 / 9
            elif layer == LAYERS - 1:
                kernel[feature, feature, 1, 1] = 1
                kernel[feature, channels + feature, 1, 1] = -1
            else:
                kernel[feature, feature, 1, 1] = kernel[channels + feature, channels + feature, 1, 1] = 1
        state[f"model.{2 * layer}.weight"] = kernel
        state[f"model.{2 * layer}.bias"] = torch.zeros(rows)
    return state


@pytest.fixture
def model(tmp_path):
    save_file(mean_as_dncnn(), tmp_path / "mean.safetensors")
    return str(tmp_path / "mean.safetensors")


class TestSpandrel(DenoiserTests):
    name = "spandrel"

    @pytest.fixture(autouse=True)
    def _written(self, model):
        self.settings = {"model": model}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_grey_pictures_go_through_networks_of_one_and_of_three_channels(tmp_path, channels, suffix):
    path = tmp_path / f"mean.{suffix}"
    state = mean_as_dncnn(channels)
    save_file(state, path) if suffix == "safetensors" else torch.save({"params_ema": state}, path)
    image = textured_image((70, 90))
    denoiser = make_plugin("denoise", "spandrel", model=str(path))
    np.testing.assert_allclose(denoiser(image), uniform_filter(image, 3, mode="reflect"), atol=1e-5)
    assert denoiser.reach == 8


def test_how_far_it_looks_can_be_said(model):
    assert make_plugin("denoise", "spandrel", model=model, reach_px=40).halo == 80


class RunsCode:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_file_that_would_run_code_is_refused_before_it_does(tmp_path, capsys):
    torch.save({"model.0.weight": RunsCode()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="holds Python objects, which may run code"):
        make_plugin("denoise", "spandrel", model=str(tmp_path / "bad.pth")).prepare()
    assert "this ran" not in capsys.readouterr().out


def upscaler():
    """Return the weights of a Compact network (SRVGGNet) that doubles the size."""
    state = {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.0.bias": torch.zeros(8), "body.1.weight": torch.zeros(8)}
    state |= {"body.2.weight": torch.zeros(8, 8, 3, 3), "body.2.bias": torch.zeros(8), "body.3.weight": torch.zeros(8)}
    return state | {"body.4.weight": torch.zeros(12, 8, 3, 3), "body.4.bias": torch.zeros(12)}


def test_a_file_that_does_not_fit_is_refused_in_a_sentence(tmp_path):
    save_file(upscaler(), tmp_path / "double.safetensors")
    save_file({"what": torch.zeros(3)}, tmp_path / "unknown.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"no tensors")
    (tmp_path / "damaged.pth").write_bytes(b"no tensors")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    (tmp_path / "model.bin").write_bytes(b"")
    cases = {
        "none.safetensors": "there is no model file",
        "double.safetensors": r"enlarges pictures by 2; a denoiser keeps the size \(scale 1\)",
        "unknown.safetensors": "spandrel knows no network",
        "damaged.safetensors": "cannot be read as a model file",
        "damaged.pth": "may run code|cannot be read as a model file",
        "list.pth": "holds no weights by name",
        "model.bin": "is not .safetensors",
    }
    for name, reason in cases.items():
        denoiser = make_plugin("denoise", "spandrel", model=str(tmp_path / name))
        with pytest.raises(InputError, match=reason):
            denoiser.prepare()
        with pytest.raises(InputError, match=reason):
            denoise_image(denoiser, textured_image())


def test_a_device_that_is_not_there_is_one_sentence_before_the_work(model):
    with pytest.raises(UsageError, match="cannot run on the device 'cuda:9'"):
        make_named("denoise", "spandrel", Runtime(device="cuda:9"), model=model).prepare()


def test_how_far_it_looks_is_tried_out_once_for_all_threads(model, monkeypatch):
    asked = []

    def measured(run, multiple, name):
        asked.append(name)
        return 24

    monkeypatch.setattr(picture_model, "measured_reach_px", measured)
    denoisers = [make_plugin("denoise", "spandrel", model=model) for _ in range(8)]
    with ThreadPoolExecutor(8) as executor:
        assert set(executor.map(lambda denoiser: denoiser.halo, denoisers)) == {48}
    assert asked == ["mean.safetensors"]
    os.utime(model, (1, 1))
    assert denoisers[0].reach == 24 and len(asked) == 2  # another file of the same name


def test_naming_the_denoiser_imports_nothing_heavy():
    script = "import cemi_denoise_spandrel.plugin, sys; print(any(m in sys.modules for m in ('spandrel', 'torch')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
