"""Weights come back as they were saved, and whatever is wrong with a file is one sentence."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cemi_core.errors import InputError
from cemi_denoise.network.networks import build_network
from cemi_denoise.network.runner import measured_context_px
from cemi_denoise.network.weights import find_weights, load_weights, save_weights, shipped_weights

TINY = {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4}


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = build_network(TINY)
    torch.nn.init.normal_(made.last.weight, std=0.05)
    return made.eval()


@pytest.fixture
def saved(tmp_path, network):
    save_weights(tmp_path / "tiny.safetensors", network, TINY, {"steps": 7})
    return tmp_path / "tiny.safetensors"


def tensors_of(path):
    with safe_open(str(path), framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def test_a_network_comes_back_with_its_card(saved, network):
    loaded = load_weights(str(saved))
    picture = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(loaded.network(picture), network(picture))
    assert loaded.architecture == TINY
    assert loaded.card == {"steps": 7}
    assert not loaded.network.training


def test_half_precision_halves_the_file_and_changes_little(tmp_path, saved, network):
    save_weights(tmp_path / "half.safetensors", network, TINY, {}, half=True)
    loaded = load_weights(str(tmp_path / "half.safetensors"))
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * saved.stat().st_size
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    picture = torch.rand(1, 1, 20, 20)
    assert 0 < (loaded.network(picture) - network(picture)).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["tiny", "tiny.safetensors"])
def test_a_name_is_looked_for_in_the_folder_of_weights(saved, name):
    assert find_weights(name, saved.parent) == saved


def test_missing_weights_name_those_that_there_are(tmp_path):
    with pytest.raises(InputError, match=r"there are no weights 'mine' in .*; give the path") as told:
        find_weights("mine", tmp_path)
    for name in shipped_weights():
        assert name in str(told.value)


def test_a_file_of_another_kind_is_said_to_be_there(saved):
    other = saved.with_suffix(".pth")
    saved.rename(other)
    for name, folder in ((str(other), None), (other.name, other.parent)):
        with pytest.raises(InputError, match=rf"{other.name} is not a \.safetensors file, .* cemi-denoise-spandrel"):
            find_weights(name, folder)


def test_a_file_cut_short_is_damaged(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_weights(str(saved))


def test_bytes_that_are_no_safetensors_are_refused(tmp_path):
    (tmp_path / "odd.safetensors").write_bytes(b"\x80\x02not at all" * 20)
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_weights(str(tmp_path / "odd.safetensors"))


def test_a_file_of_another_program_is_pointed_elsewhere(tmp_path):
    save_file({"conv.weight": torch.zeros(3)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="does not say which network"):
        load_weights(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("features", [16, 1024])
def test_weights_of_another_size_than_they_say_are_refused(saved, features):
    tensors, metadata = tensors_of(saved)
    save_file(tensors, str(saved), {**metadata, "architecture": json.dumps({**TINY, "features": features})})
    with pytest.raises(InputError, match="do not fit the network"):
        load_weights(str(saved))


@pytest.mark.parametrize("claim", [{"blocks": 10**9}, {"kernels": 10**30}, {"features": -1}])
def test_what_a_file_claims_to_be_costs_no_time(saved, claim):
    tensors, metadata = tensors_of(saved)
    save_file(tensors, str(saved), {**metadata, "architecture": json.dumps({**TINY, **claim})})
    with pytest.raises(InputError, match=rf"tiny.safetensors: no network of this package has '{min(claim)}'"):
        load_weights(str(saved))


@pytest.mark.parametrize("part", ["architecture", "card"])
def test_metadata_that_nest_without_end_are_refused(saved, part):
    tensors, metadata = tensors_of(saved)
    save_file(tensors, str(saved), {**metadata, part: "[" * 100_000})
    with pytest.raises(InputError, match="does not say which network"):
        load_weights(str(saved))


def test_weights_that_16_bits_cannot_hold_are_not_written(tmp_path, network):
    network.last.bias.data[:] = 1e6
    with pytest.raises(InputError, match="too large for 16 bits; set stored_as: float32"):
        save_weights(tmp_path / "half.safetensors", network, TINY, {}, half=True)
    assert not list(tmp_path.glob("half*"))


def test_a_network_that_this_version_does_not_know_is_refused(saved):
    tensors, metadata = tensors_of(saved)
    save_file(tensors, str(saved), {**metadata, "architecture": json.dumps({"name": "Transformer"})})
    with pytest.raises(InputError, match="unknown network 'Transformer'"):
        load_weights(str(saved))


def test_weights_that_are_no_numbers_are_refused(saved):
    tensors, metadata = tensors_of(saved)
    tensors["last.bias"] = torch.full_like(tensors["last.bias"], float("nan"))
    save_file(tensors, str(saved), metadata)
    with pytest.raises(InputError, match="diverged"):
        load_weights(str(saved))


@pytest.mark.parametrize("name", list(shipped_weights()))
def test_what_is_shipped_loads_and_says_how_it_was_trained(name):
    loaded = load_weights(name)
    assert loaded.card["context_px"] == measured_context_px(loaded.network)  # so that no start has to measure it
    assert shipped_weights()[name].with_suffix(".md").is_file()
