"""Denoising the frames before stitching, or the finished mosaic: what it does to places, maps and time.

    python benchmarks/denoise_order.py [--seeds 1 2] [--dwells 1 0.25] [--out runs/denoise-order]

The recordings of the demo (virtual SEM, `recipes/ehea.yaml`), at the dwell time of the demo and at parts of it, which
make the noise stronger. Each way of denoising runs the whole recipe. Columns: median error of the frames' places, the
correlation of each map with the truth and its root-mean-square error, and the CPU seconds of the whole run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from cemi_virtual_sem.verdict import judge_run

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "ehea.yaml"
WAYS = {
    "none": "[]",
    "gaussian on the mosaic": "[{use: gaussian, with: {sigma_px: 1.0}, on: mosaic}]",
    "nlm on the mosaic": "[{use: nlm, on: mosaic}]",
    "semnet on the mosaic": "[{use: semnet, on: mosaic}]",
    "semgan on the mosaic": "[{use: semgan, on: mosaic}]",
    "semnet on the frames": "[{use: semnet}]",
    "semgan on the frames": "[{use: semgan}]",
}


def cemi(*words: str) -> float:
    """Run a command of CEMI and return its CPU seconds, those of its workers included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "cemi_run.cli", *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--dwells", nargs="+", type=float, default=[1.0, 0.25], help="1 is that of the demo")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path("runs/denoise-order"))
    options = parser.parse_args()
    found: dict[tuple[float, str], list[dict[str, float]]] = defaultdict(list)
    for dwell in options.dwells:
        for seed in options.seeds:
            recording = (options.out / f"recording-{dwell:g}-{seed}").resolve()
            if not (recording / "truth.h5").exists():
                scan = ["--size", "small", "--seed", str(seed), "--set", f"detector.dwell={dwell:g}"]
                cemi("virtual-sem", "ehea", "--out", str(recording), *scan)
            for way in options.ways:
                run = options.out / f"run-{dwell:g}-{seed}-{way.replace(' ', '-')}"
                changes = [f"source.path={recording}/pass*.mp4", f"relate.property={recording}/hardness.csv"]
                words = [word for change in [*changes, f"denoise={WAYS[way]}"] for word in ("--set", change)]
                seconds = cemi("recipe", str(RECIPE), "--out", str(run), "--quiet", *words)
                verdict = judge_run(run, recording)
                scores = {"place": float(np.median(verdict.position_error_px)), "cpu_s": seconds}
                for found_map in verdict.maps:
                    scores |= {f"{found_map.name} r": found_map.r, f"{found_map.name} rms": found_map.rms}
                found[dwell, way].append(scores)
                print(json.dumps({"dwell": dwell, "seed": seed, "way": way, **scores}), file=sys.stderr, flush=True)
    names = list(next(iter(found.values()))[0])
    print(f"| dwell | denoised | {' | '.join(names)} |\n|{'---|' * (2 + len(names))}")
    for (dwell, way), rows in found.items():
        cells = [" / ".join(f"{row[name]:.3g}" for row in rows) for name in names]
        print(f"| {dwell:g} | {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
