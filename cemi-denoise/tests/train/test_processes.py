"""Claims about training with several processes, and with batches made ahead."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import tifffile
import torch
import yaml
from safetensors.torch import load_file

from cemi_core.errors import MissingDependencyError
from cemi_denoise.network.networks import build_network
from cemi_denoise.train.ahead import MadeAhead
from cemi_denoise.train.batches import Batch
from cemi_denoise.train.processes import Processes, join_processes
from cemi_denoise.train.training import Plan, Training

TINY = {"name": "UNet", "features": 4, "levels": 1}


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
    return Batch(clean + 0.1 * torch.randn(clean.shape, generator=generator), clean, torch.full((2,), 0.1))


def trained(processes, batches, steps=3):
    torch.manual_seed(0)
    training = Training(build_network(TINY), Plan(steps=steps), share_gradients=processes.share_gradients)
    for step in range(steps):
        training.step(processes.own(batches)(step))
    return training.network.state_dict()


def test_two_processes_learn_what_one_learns_from_both_their_batches():
    def both(step):
        parts = noise(2 * step), noise(2 * step + 1)
        return Batch(*(torch.cat([getattr(part, name) for part in parts]) for name in ("noisy", "target", "noise")))

    expected = trained(Processes("cpu"), both)
    torch.manual_seed(0)
    together, networks = TwoInOne(), [build_network(TINY), build_network(TINY)]
    networks[1].load_state_dict(networks[0].state_dict())

    def work(rank):
        processes = Processes("cpu", rank, 2, together.of(rank))
        training = Training(networks[rank], Plan(steps=3), share_gradients=processes.share_gradients)
        for step in range(3):
            training.step(processes.own(noise)(step))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, value in expected.items():
        assert torch.equal(networks[0].state_dict()[name], networks[1].state_dict()[name])
        assert torch.allclose(networks[0].state_dict()[name], value, atol=1e-5)


def test_a_wish_of_one_process_is_a_wish_of_all():
    together, answers = TwoInOne(), [None, None]

    def ask(rank):
        answers[rank] = Processes("cpu", rank, 2, together.of(rank)).any(rank == 1)

    threads = [threading.Thread(target=ask, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True, True]


def test_one_process_is_alone_and_several_need_accelerate(monkeypatch):
    assert join_processes("cpu") == Processes("cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cemi-denoise\[train\]'"):
        join_processes("cpu")


def test_batches_made_ahead_are_the_same_in_the_same_order():
    ahead = MadeAhead(noise, threads=3)
    try:
        for step in (4, 5, 6, 7):  # a training goes on from anywhere
            assert torch.equal(ahead(step).noisy, noise(step).noisy)
    finally:
        ahead.close()


def test_a_mistake_in_a_batch_made_ahead_is_told_when_it_is_asked_for():
    def broken(step):
        raise ValueError(f"batch {step}")

    ahead = MadeAhead(broken, threads=1)
    with pytest.raises(ValueError, match="batch 2"):
        ahead(2)
    ahead.close()


def test_two_processes_started_together_go_on_together(tmp_path):
    pytest.importorskip("accelerate", reason="the extra 'train' is not installed")
    stripes = np.where(np.mgrid[:64, :64].sum(0) % 8 < 4, 180, 70).astype(np.uint8)
    tifffile.imwrite(tmp_path / "clean.tif", stripes)
    recipe = {
        "training": 1,
        "network": TINY,
        "data": {"images": "clean.tif", "sem": {}},
        "steps": 4,
        "batch": 2,
        "patch_px": 32,
        "tensorboard": False,
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    # both trainings in one start of the processes, since that is what takes long
    (tmp_path / "calls.py").write_text(
        "import sys\n"
        "from cemi_run.cli.main import run\n"
        "for call in sys.argv[1:]:\n"
        "    out, steps = call.split(':')\n"
        "    options = ['--out', out, '--steps', steps, '--threads', '1']\n"
        "    assert run(['train', 'denoiser', 'r.yaml', *options]) == 0\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "calls.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for calls in (["whole:4", "pieces:2"], ["pieces:4"]):
        done = subprocess.run([*launch, *calls], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("weights: ") == len(calls)  # the first process speaks for all
    whole, pieces = (load_file(tmp_path / out / "weights.safetensors") for out in ("whole", "pieces"))
    assert all(torch.equal(whole[name], pieces[name]) for name in whole)
