"""What tests of several rooms share."""

import pytest
import torch

from cemi_denoise.network.networks import build_network


@pytest.fixture(scope="session")
def random_network():
    """Make a network that was not trained, but answers about as strongly, and looks about as far, as one that was."""

    def make(architecture, gain=5.0):
        torch.manual_seed(0)
        network = build_network(architecture)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if parameter.ndim == 1:
                    parameter.zero_()
                elif name.startswith("trunk"):
                    parameter *= gain
            torch.nn.init.normal_(network.last.weight, std=2.0)
            network.last.weight -= network.last.weight.mean((2, 3), keepdim=True)
        return network.eval().requires_grad_(False)

    return make
