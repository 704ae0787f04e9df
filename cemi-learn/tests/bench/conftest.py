"""A training so small that tests can do it many times: lines are found in noise."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cemi_learn.bench.plan import Every, Plan
from cemi_learn.bench.task import Networks, Objective, Provenance, Task


def striped(step, count=4, edge=16):
    """Return noisy images (n, 1, edge, edge) and masks of their stripes, as a function of the step's number."""
    generator = torch.Generator().manual_seed(step)
    ys, xs = torch.meshgrid(torch.arange(edge), torch.arange(edge), indexing="ij")
    angle = torch.rand((count, 1, 1), generator=generator) * 3
    mask = (torch.sin((xs * torch.cos(angle) + ys * torch.sin(angle)) * 0.9) > 0).float()
    return (mask + 0.5 * torch.randn(mask.shape, generator=generator))[:, None], mask[:, None]


class Stripes(Task):
    """Finds stripes; drops out values and normalises, so that all that is random or remembered is there."""

    name = "stripes"
    summary = "Weights of a network that finds stripes"

    def __init__(self, seen=1.0, critic=False):
        self.seen, self.critic, self.took = seen, critic, []

    def build(self):
        network = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(6, 1, 3, padding=1)
        )
        networks = {"network": network}
        if self.critic:
            networks |= {"critic": nn.Conv2d(1, 1, 3), "lens": nn.Conv2d(1, 2, 3).requires_grad_(False)}
        return Networks(networks, {"name": "Stripes", "channels": 6})

    def batch(self, step):
        self.took.append(step)
        return dict(zip(("image", "mask"), striped(step), strict=True))

    def objectives(self, networks, batch, step):
        with step.precision():
            answer = networks["network"](self.seen * batch["image"]).float()
        loss = functional.binary_cross_entropy_with_logits(answer, batch["mask"])
        yield Objective(loss, {"bce": loss})
        if self.critic:
            lens = networks["lens"]
            judged = (networks["critic"](answer.detach()).mean() - lens(batch["mask"]).mean()).square()
            yield Objective(judged, {"judged": judged}, "critic")

    def loss_names(self):
        return ("bce", "judged") if self.critic else ("bce",)

    def score_names(self):
        return ("accuracy",)

    def examine(self, network):
        image, mask = striped(10_000, 16)
        with torch.inference_mode():
            return {
                "accuracy": float(((network(image.to(next(network.parameters()).device)) > 0) == mask).float().mean())
            }

    def baseline(self):
        return {"accuracy": 0.5}

    def examined_on(self):
        return "stripes 10000"

    def sample(self, network):
        return np.full((8, 8, 3), 200, np.uint8)

    def identity(self):
        return {"seen": self.seen}

    def provenance(self):
        return Provenance(
            data=["made stripes"], measured_on=["other stripes"], settings={"batch": 4}, credits=["lens, MIT"]
        )

    def use(self):
        return "Use it on stripes."


@pytest.fixture
def stripes():
    return Stripes


@pytest.fixture
def plan():
    def made(**changes):
        every = Every(log=2, validation=4, samples=4, checkpoint=2)
        return Plan(**{"steps": 6, "learning_rate": 1e-2, "average": 0.9, "every": every, **changes})

    return made
