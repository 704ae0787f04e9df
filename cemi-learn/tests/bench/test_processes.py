"""Claims about training with several processes, and with batches made ahead."""

import sys
import threading

import pytest
import torch
from torch import nn

from cemi_core.errors import MissingDependencyError
from cemi_learn.bench.ahead import MadeAhead
from cemi_learn.bench.learner import Learner
from cemi_learn.bench.plan import Plan
from cemi_learn.bench.processes import Processes, join_processes
from cemi_learn.bench.task import Networks, Objective, Task


class TwoInOne:
    """Stands for accelerate: two threads of this process that wait for each other."""

    def __init__(self):
        self.device, self._sums, self._meet = "cpu", [None, None], threading.Barrier(2)

    def of(self, rank):
        one = type("Accelerator", (), {})()
        one.device, one.reduce = "cpu", lambda values, how: self._reduce(rank, values, how)
        return one

    def _reduce(self, rank, values, how):
        self._sums[rank] = values
        self._meet.wait(30)
        total = self._sums[0] + self._sums[1]
        self._meet.wait(30)
        return total / 2 if how == "mean" else total


def noise(step):
    generator = torch.Generator().manual_seed(step)
    clean = torch.rand((2, 1, 16, 16), generator=generator)
    return clean + 0.1 * torch.randn(clean.shape, generator=generator), clean


class Smoothing(Task):
    """A few convolutions, with a normalisation that sees each process's own images."""

    name = "smoothing"

    def __init__(self, norm=False):
        self.norm = norm

    def build(self):
        middle = nn.BatchNorm2d(4) if self.norm else nn.Identity()
        layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), middle, nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
        return Networks({"network": layers}, {"name": "smoothing"})

    def batch(self, step):
        return noise(step)

    def objectives(self, networks, batch, step):
        loss = (networks["network"](batch[0]) - batch[1]).abs().mean()
        yield Objective(loss, {"loss": loss})


def in_two_threads(work):
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def two_learners(together, norm=False):
    """Return two learners of two processes; they are made one after the other, for torch has one seed for all."""
    processes = [Processes("cpu", rank, 2, together.of(rank)) for rank in range(2)]
    return processes, [
        Learner(Smoothing(norm), Plan(steps=3), "cpu", one.share_gradients, one.rank) for one in processes
    ]


def test_two_processes_learn_what_one_learns_from_both_their_batches():
    alone = Learner(Smoothing(), Plan(steps=3))
    for step in range(3):
        parts = noise(2 * step), noise(2 * step + 1)
        alone.step(tuple(torch.cat(both) for both in zip(*parts, strict=True)))
    processes, learners = two_learners(TwoInOne())

    def work(rank):
        for step in range(3):
            learners[rank].step(processes[rank].own(noise)(step))

    in_two_threads(work)
    for name, value in alone.network.state_dict().items():
        assert torch.equal(learners[0].network.state_dict()[name], learners[1].network.state_dict()[name])
        torch.testing.assert_close(learners[0].network.state_dict()[name], value, atol=1e-5, rtol=1e-5)


def test_what_normalisation_has_seen_is_shared_too():
    processes, learners = two_learners(TwoInOne(), norm=True)
    in_two_threads(lambda rank: learners[rank].step(processes[rank].own(noise)(0)))
    seen = [learner.network[1].running_mean for learner in learners]
    assert torch.equal(*seen) and seen[0].any()


def test_a_wish_of_one_process_is_a_wish_of_all():
    together, answers = TwoInOne(), [None, None]

    def ask(rank):
        answers[rank] = Processes("cpu", rank, 2, together.of(rank)).any(rank == 1)

    in_two_threads(ask)
    assert answers == [True, True]


def test_one_process_is_alone_and_several_need_accelerate(monkeypatch):
    assert join_processes("cpu") == Processes("cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cemi-learn\[train\]'"):
        join_processes("cpu")


def test_batches_made_ahead_are_the_same_in_the_same_order():
    ahead = MadeAhead(noise, threads=3)
    try:
        for step in (4, 5, 6, 7):  # a training goes on from anywhere
            assert torch.equal(ahead(step)[0], noise(step)[0])
    finally:
        ahead.close()


def test_a_mistake_in_a_batch_made_ahead_is_told_when_it_is_asked_for():
    def broken(step):
        raise ValueError(f"batch {step}")

    ahead = MadeAhead(broken, threads=1)
    with pytest.raises(ValueError, match="batch 2"):
        ahead(2)
    ahead.close()
