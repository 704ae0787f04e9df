"""Claims about single steps: they are those of plain torch, and what goes wrong is one sentence."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cemi_core.errors import InputError
from cemi_learn.bench.average import moving_average
from cemi_learn.bench.learner import Learner, moved
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.task import Networks, Objective, Task


class Blur(Task):
    """Learns a blur; nothing in it is random within a step."""

    name = "blur"

    def build(self):
        return Networks({"network": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 1))}, {"name": "Blur"})

    def batch(self, step):
        image = torch.rand((3, 1, 12, 12), generator=torch.Generator().manual_seed(step))
        return image, functional.avg_pool2d(image, 3, 1)

    def objectives(self, networks, batch, step):
        with step.precision():
            answer = networks["network"](batch[0]).float()
        loss = functional.l1_loss(answer, batch[1])
        yield Objective(loss, {"l1": loss})


def reference(task, steps, rate, average):
    """Return weights and their moving average as a loop of plain torch makes them."""
    torch.manual_seed(0)
    network = task.build().by_name["network"].to(memory_format=torch.channels_last)
    kept = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), rate)
    for step in range(steps):
        image, target = task.batch(step)
        optimizer.zero_grad()
        functional.l1_loss(network(image), target).backward()
        optimizer.step()
        old = min(average, (1 + step) / (10 + step))
        for mean, new in zip(kept, network.parameters(), strict=True):
            mean.lerp_(new.detach(), 1 - old)
    return list(network.parameters()), kept


def test_steps_and_average_are_to_the_bit_those_of_a_loop_of_plain_torch():
    weights, kept = reference(Blur(), 12, 1e-3, 0.5)
    learner = Learner(Blur(), Plan(steps=12, learning_rate=1e-3, average=0.5))
    for step in range(12):
        learner.step(Blur().batch(step))
    assert all(torch.equal(one, two) for one, two in zip(weights, learner.network.parameters(), strict=True))
    assert all(torch.equal(one, two) for one, two in zip(kept, learner.average.parameters(), strict=True))
    assert not torch.equal(next(learner.average.parameters()), next(learner.network.parameters()))


def test_the_average_follows_fast_at_first_and_then_keeps_its_share():
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    average = moving_average(network, 0.5)
    seen = []
    for _ in range(12):
        network.weight.data += 1
        before = average.module.weight.item()
        average.update_parameters(network)
        seen.append((average.module.weight.item() - before) / (network.weight.item() - before))
    assert seen[:2] == pytest.approx([0.9, 9 / 11], abs=1e-6)
    assert seen[8:] == pytest.approx([0.5] * 4, abs=1e-6)


def test_the_average_takes_over_what_normalisation_has_seen():
    network = nn.BatchNorm2d(2).train()
    average = moving_average(network, 0.99)
    network(torch.rand(4, 2, 3, 3))
    average.update_parameters(network)
    assert torch.equal(average.module.running_mean, network.running_mean) and network.running_mean.any()


def test_the_rate_falls_and_with_one_cycle_it_rises_first():
    constant, cosine, cycle = (Plan(steps=100, schedule=name) for name in ("constant", "cosine", "one-cycle"))
    assert {constant.rate_at(step) for step in range(100)} == {1e-4}
    assert cosine.rate_at(0) == 1e-4 and cosine.rate_at(100) == pytest.approx(2e-6)
    assert cosine.rate_at(50) == pytest.approx(0.51e-4)
    assert cycle.rate_at(0) == pytest.approx(2e-6) and cycle.rate_at(10) == 1e-4
    assert cycle.rate_at(5) < cycle.rate_at(8) and cycle.rate_at(100) == pytest.approx(2e-6)


class TwoRates(Blur):
    """Its last layer stands still, and its first kernels are pulled towards 0."""

    def parameter_groups(self, name, network):
        return [
            {"params": network[0].parameters(), "weight_decay": 1.0},
            {"params": network[2].parameters(), "lr_factor": 0.0},
        ]


def test_groups_of_parameters_have_their_own_rate_and_decay():
    learner, plain = Learner(TwoRates(), Plan(steps=9)), Learner(Blur(), Plan(steps=9))
    before = learner.network[2].weight.clone()
    for step in range(9):
        learner.step(Blur().batch(step))
        plain.step(Blur().batch(step))
    assert torch.equal(learner.network[2].weight, before)
    assert learner.network[0].weight.square().sum() < plain.network[0].weight.square().sum()


def test_gradients_are_clipped():
    steep, gentle = (Learner(Blur(), Plan(steps=2, clip_norm=norm)) for norm in (None, 1e-12))
    for learner in (steep, gentle):
        learner.step(Blur().batch(0))
    # Adam divides by the size of the gradient, but not when that is far below its epsilon
    start = Learner(Blur(), Plan()).network[0].weight
    assert (gentle.network[0].weight - start).abs().max() < 0.1 * (steep.network[0].weight - start).abs().max()


def test_a_loss_that_is_no_number_is_one_sentence():
    image, target = Blur().batch(0)
    learner = Learner(Blur(), Plan())
    with pytest.raises(InputError, match="diverged at step 0; lower the learning rate"):
        learner.step((image, torch.full_like(target, float("inf"))))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_fewer_bits_in_the_convolutions_change_little(precision):
    exact, rough = (Learner(Blur(), Plan(precision=name)) for name in ("float32", precision))
    first, second = exact.step(Blur().batch(0))["l1"], rough.step(Blur().batch(0))["l1"]
    assert first != second and first == pytest.approx(second, rel=0.02)


def test_batches_of_any_shape_are_moved():
    one = torch.ones(2)
    there = moved({"a": (one, [one]), "name": "x"}, torch.device("meta"))
    assert there["a"][0].device.type == there["a"][1][0].device.type == "meta"
    assert there["name"] == "x"
