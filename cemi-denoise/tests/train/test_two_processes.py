"""Claims about the training of a denoiser by several processes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
import yaml
from safetensors.torch import load_file

TINY = {"name": "UNet", "features": 4, "levels": 1}


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
