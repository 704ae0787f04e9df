"""The adversary has the size of the one it is taken from, and judges every pixel."""

import pytest
import torch

from cemi_denoise.network.networks import parameter_count
from cemi_denoise.train.discriminator import UNetDiscriminator


def test_its_size_is_that_of_the_paper():
    assert parameter_count(UNetDiscriminator()) == pytest.approx(4.4e6, rel=0.02)


def test_the_discriminator_judges_every_pixel():
    assert UNetDiscriminator(8)(torch.rand(2, 1, 32, 40)).shape == (2, 1, 32, 40)
