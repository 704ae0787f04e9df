"""Kill a run with SIGKILL at random moments, resume it, and compare with a run that was left alone.

Prints one line per kill; exit code 1 if any resumed run differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cemi_core.model.mosaic import Box
from cemi_run.engine.folder import RunFolder
from cemi_run.store.protocol import open_mosaic

RECIPE = """\
recipe: 1
source: {use: video, with: {path: recording/pass*.mp4, pixel_size: 100 nm, deskew: true}}
denoise:
  - {use: gaussian, with: {sigma_px: 0.7}}
  - {use: median, on: mosaic}
stitch: {use: kornia}
grid: {rows: 2, columns: 4}
analyze: [{use: bcc-fraction}, {use: lamella-width}]
"""


def run_command(folder: Path, out: Path) -> list[str]:
    """Return the command that runs the recipe."""
    return [
        sys.executable,
        "-m",
        "cemi_run.cli",
        "recipe",
        str(folder / "r.yaml"),
        "--out",
        str(out),
        "--workers",
        "2",
    ]


def fingerprint(out: Path) -> str:
    """Return a hash of what a run has found: places, pixels of the mosaic, maps."""
    state = hashlib.sha256()
    state.update((out / "layout.csv").read_bytes())
    for table in sorted((out / "maps").glob("*.csv")):
        state.update(table.read_bytes())
    with open_mosaic(RunFolder(out).mosaic_path()) as mosaic:
        box = Box(0, 0, *mosaic.shape)
        state.update(np.ascontiguousarray(mosaic.read(box)).tobytes())
        state.update(np.ascontiguousarray(mosaic.read_valid(box)).tobytes())
    return state.hexdigest()[:16]


def kill_after(command: list[str], seconds: float) -> bool:
    """Start a command, kill it after some seconds, and return whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def kill_and_resume(folder: Path, kills: int, seed: int) -> int:
    """Return how many resumed runs differ from the run that was left alone."""
    (folder / "r.yaml").write_text(RECIPE)
    record = ["virtual-sem", "ehea", "--out", str(folder / "recording"), "--size", "tiny", "--seed", "5"]
    subprocess.run([sys.executable, "-m", "cemi_run.cli", *record], check=True, stderr=subprocess.DEVNULL)
    whole = folder / "whole"
    start = time.perf_counter()
    subprocess.run(run_command(folder, whole), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    expected = fingerprint(whole)
    print(f"left alone: {seconds:.1f} s, {expected}")
    rng, different = random.Random(seed), 0
    for number in range(kills):
        out = folder / f"killed-{number}"
        moment = rng.uniform(0.15 * seconds, seconds)
        killed = kill_after(run_command(folder, out), moment)
        finished = sorted(p.stem for p in (out / ".cemi" / "steps").glob("*.json")) if out.exists() else []
        done = subprocess.run(run_command(folder, out), capture_output=True, text=True)
        found = fingerprint(out) if done.returncode == 0 else done.stderr.strip()[-200:]
        different += found != expected
        what = "killed" if killed else "was done"
        verdict = "same" if found == expected else "DIFFERENT"
        print(
            f"{what} after {moment:.1f} s with {len(finished)} steps finished, resumed: {found} {verdict}", flush=True
        )
        shutil.rmtree(out, ignore_errors=True)
    print(f"{kills - different} of {kills} resumed runs equal the one left alone")
    return different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sys.exit(1 if kill_and_resume(Path(name), options.kills, options.seed) else 0)
