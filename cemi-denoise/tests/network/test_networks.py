"""The networks take any picture, leave it alone before they have learnt, and say how far they look."""

from __future__ import annotations

import pytest
import torch

from cemi_core.errors import InputError
from cemi_denoise.network.networks import (
    RRDBNet,
    build_network,
    parameter_count,
    take_over,
)

SMALL = [
    {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4},
    {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "unshuffle": 1, "noise_channel": False},
    {"name": "UNet", "features": 4, "levels": 2},
    {"name": "RRDBNet", "features": 8, "growth": 4, "blocks": 1, "tail": 4, "detail": 4, "kernels": 10},
]
each = pytest.mark.parametrize("architecture", SMALL, ids=["RRDBNet", "RRDBNet-1", "UNet", "RRDBNet-detail"])


def random_network(architecture, seed=0):
    """Return a network whose layers all pass something on, as they would after training."""
    torch.manual_seed(seed)
    network = build_network(architecture)
    for parameter in network.parameters():
        if parameter.ndim == 4 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def test_sizes_are_those_of_the_paper():
    assert parameter_count(RRDBNet(features=64, growth=32, blocks=23)) == pytest.approx(16.7e6, rel=0.02)
    assert parameter_count(RRDBNet()) == pytest.approx(1.1e6, rel=0.05)


@each
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (32, 32), (45, 30)])
def test_a_network_that_has_learnt_nothing_returns_a_picture_of_any_size_as_it_is(architecture, shape):
    picture = torch.rand(2, 1, *shape)
    torch.testing.assert_close(build_network(architecture)(picture, torch.tensor([0.1, 0.2])), picture)


@each
def test_pictures_of_a_batch_do_not_see_each_other(architecture):
    network, pictures = random_network(architecture), torch.rand(3, 1, 20, 24)
    together = network(pictures, torch.tensor([0.1, 0.0, 0.2]))
    torch.testing.assert_close(network(pictures[2:], torch.tensor([0.2])), together[2:])


def test_noise_may_be_one_level_or_a_map_or_unknown():
    network, picture = random_network(SMALL[0]), torch.rand(1, 1, 16, 16)
    told = network(picture, torch.tensor([0.1]))
    torch.testing.assert_close(network(picture, torch.full((1, 1, 16, 16), 0.1)), told)
    torch.testing.assert_close(network(picture), network(picture, torch.zeros(1)))
    assert (told - network(picture)).abs().max() > 1e-4


def test_a_network_without_a_noise_channel_does_not_ask():
    network, picture = random_network(SMALL[1]), torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(network(picture, torch.tensor([0.3])), network(picture))


@pytest.mark.parametrize("architecture", [SMALL[0], SMALL[3]], ids=["plain", "detail"])
def test_the_sum_through_the_blocks_stays_in_float32_when_they_are_in_bfloat16(architecture):
    network = random_network(architecture)
    picture = torch.rand(1, 1, 64, 64)
    exact = network(picture)
    for part in network.most_work:
        part.to(torch.bfloat16)
    assert network(picture).dtype == torch.float32
    assert network.trunk(torch.rand(1, 8, 16, 16)).dtype == torch.float32
    assert 0 < (network(picture) - exact).abs().max() < 0.02


@pytest.mark.parametrize("unshuffle", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("architecture", [SMALL[0], SMALL[3]], ids=["plain", "detail"])
def test_strips_give_what_the_whole_gives(architecture, unshuffle, rows):
    network, picture = random_network({**architecture, "unshuffle": unshuffle}), torch.rand(1, 1, 118, 40)
    whole = network(picture)
    network.strip_rows = rows
    torch.testing.assert_close(network(picture), whole)


def test_detail_and_kernels_are_added_to_a_trained_network_without_changing_it():
    trained, picture = random_network(SMALL[0]), torch.rand(1, 1, 22, 30)
    larger = build_network(SMALL[3])
    take_over(larger, trained)
    torch.testing.assert_close(larger(picture, torch.tensor([0.1])), trained(picture, torch.tensor([0.1])))
    for unlike, start in ((build_network({**SMALL[3], "growth": 5}), trained), (build_network(SMALL[0]), larger)):
        with pytest.raises(ValueError, match="only 'detail' and 'kernels' can be added"):
            take_over(unlike, start)


def test_a_kernel_along_a_line_leaves_the_line_alone():
    lines = torch.zeros(1, 1, 40, 40)
    lines[:, :, ::8] = 1
    network = build_network(SMALL[3])
    along, across = 0, 4
    filtered = network.kernels.bank(lines)
    inner = lines[:, 0, 4:-4, 4:-4]
    assert (filtered[:, along] - inner).abs().max() < 0.6 < (filtered[:, across] - inner).abs().max()
    torch.testing.assert_close(network.kernels.bank.weight.sum((1, 2, 3)), torch.ones(10))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"name": "ResNet"}, "unknown network 'ResNet'; there are: RRDBNet, UNet"),
        ({}, "unknown network 'None'"),
        ({"name": "RRDBNet", "depth": 3}, "cannot be made with"),
        ({"name": "RRDBNet", "unshuffle": 3}, "unshuffle is 1, 2 or 4"),
    ],
)
def test_an_architecture_that_does_not_exist_is_one_sentence(architecture, message):
    with pytest.raises(InputError, match=message):
        build_network(architecture)
