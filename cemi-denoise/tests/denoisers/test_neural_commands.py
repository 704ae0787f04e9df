"""The neural denoisers from the command line and in recipes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cemi_core.images.write_image import write_image
from cemi_core.plugins.manager import registry
from cemi_denoise.network.networks import build_network
from cemi_denoise.network.weights import save_weights
from cemi_run.cli.main import run as run_program
from cemi_run.recipe.check import choose

TINY = {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    network = build_network(TINY)
    torch.nn.init.normal_(network.last.weight, std=0.5)
    save_weights(tmp_path / "mine.safetensors", network, TINY, {"context_px": 16})
    pixels = np.random.default_rng(0).integers(80, 170, (70, 90)).astype(np.uint8)
    write_image(tmp_path / "fast.tif", pixels, 0.1)
    return tmp_path


@pytest.fixture
def denoise(folder, capsys):
    def run(*options, use="semgan"):
        arguments = ["denoise", str(folder / "fast.tif"), "--out", str(folder / "out"), "--use", use, "--quiet"]
        code = run_program([*arguments, "--weights", str(folder), *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_weights_are_named_and_the_number_type_chosen_on_the_command_line(denoise):
    results = []
    for dtype in ("float32", "bfloat16"):
        code, out, err = denoise("--set", "weights=mine", "--set", "noise=0.1", "--dtype", dtype, "--json")
        assert code == 0, err
        (written,) = json.loads(out)["written"]
        results.append(cv2.imread(written, cv2.IMREAD_UNCHANGED))
    assert results[0].dtype == np.uint8
    assert np.abs(results[0].astype(int) - results[1]).max() <= 2


def test_weights_that_are_not_there_are_one_sentence(denoise):
    code, _, err = denoise("--set", "weights=other")
    assert code != 0
    assert "there are no weights 'other'" in err
    assert "Traceback" not in err


def test_a_number_type_is_refused_by_a_denoiser_that_has_none(denoise):
    code, _, err = denoise("--dtype", "float32", use="gaussian")
    assert code != 0
    assert "unknown key 'dtype'" in err


def test_a_bare_word_is_a_name_and_anything_else_a_path():
    def chosen(weights):
        return choose("denoise", "semgan", {"weights": weights}, registry(), "here").settings.weights

    assert chosen("semnet-small") == "semnet-small"
    assert chosen("mine.safetensors") == str(Path("mine.safetensors").absolute())
    assert chosen("../runs/mine") == str(Path("../runs/mine").resolve())
