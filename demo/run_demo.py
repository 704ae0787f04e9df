"""The main job on a virtual recording, then its analysis at the paper's resolution; the truth beside the results."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

# One numerical thread in each of the two workers: more only get in one another's way.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from cemi_run.cli.main import run as cemi
from cemi_run.engine.folder import RunFolder
from cemi_run.steps.finish import opened_run
from cemi_virtual_sem.verdict import Verdict, judge_run, verdict_lines

RECIPES = Path(__file__).parent.parent / "recipes"
#: A few pictures of 222 nm per pixel, in whose fast scans a lamella is 1.5 pixels wide.
PAPER = {"stills": 64, "passes": 4, "travel_px": 8200}
PAPER_GRID = {"rows": 4, "columns": 18}
WANTED_ERROR_PX = 0.5
WANTED_R = 0.9


def main() -> int:
    """Record, run the recipe, compare; exit code 1 if a promise of the README is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    recording, run = options.out / "recording", options.out / "run"
    start = time.perf_counter()
    if not (recording / "truth.h5").exists():
        _require(cemi(["virtual-sem", "ehea", "--out", str(recording), "--size", "small", "--seed", str(options.seed)]))
    overrides = [f"source.path={recording.resolve()}/pass*.mp4", f"relate.property={recording.resolve()}/hardness.csv"]
    arguments = [word for override in overrides for word in ("--set", override)]
    _require(cemi(["recipe", str(RECIPES / "ehea.yaml"), "--out", str(run), *arguments]))
    picture = options.out / "picture.png"
    _require(cemi(["export", str(run), "--to", "png", "--out", str(picture), "--set", "max_px=1600", "--quiet"]))
    verdict = judge_run(run, recording)
    kept = _print_table(verdict)
    _print_relation(run, recording)
    _at_the_papers_resolution(options.out, options.seed)
    print(f"\n{time.perf_counter() - start:.0f} s in all. Open {run / 'report.html'}; the picture is {picture}.")
    return 0 if kept else 1


def _require(code: int) -> None:
    if code:
        sys.exit(code)


def _print_table(verdict: Verdict) -> bool:
    """Print truth against result and return whether every promise is kept."""
    error = float(np.median(verdict.position_error_px))
    kept = error <= WANTED_ERROR_PX
    print(f"\n{'truth against result':<24}{'found':>10}  wanted")
    print(f"{'median position error':<24}{error:>7.2f} px  at most {WANTED_ERROR_PX} px")
    frames = len(verdict.position_error_px)
    print(f"{'largest position error':<24}{verdict.position_error_px.max():>7.2f} px  ({frames} frames)")
    print(f"{'components':<24}{verdict.components:>10}  1")
    print(f"\n{'map':<18}{'r with truth':>13}{'bias':>10}{'rms error':>11}{'in interval':>13}   true range")
    for found in verdict.maps:
        kept &= found.r >= WANTED_R
        unit = "" if found.unit == "1" else f" {found.unit}"
        low, high = found.true_range
        print(
            f"{found.name:<18}{found.r:>13.3f}{found.bias:>+10.3f}{found.rms:>11.3f}{100 * found.covered:>11.0f} %"
            f"   {low:.3f} to {high:.3f}{unit}"
        )
    return bool(kept and verdict.components == 1)


def _print_relation(run: Path, recording: Path) -> None:
    """Print the relation that the run has found beside the one that was planted."""
    planted = json.loads((recording / "session.json").read_text())["settings"]["hardness_r"]
    with opened_run(RunFolder(run)) as data:
        for found in data.relations:
            if found.quantity == "bcc_fraction":
                print(
                    f"\nBCC fraction and hardness: r = {found.r:+.2f} [{found.low:+.2f}, {found.high:+.2f}], "
                    f"planted {planted:+.2f}"
                )


def _at_the_papers_resolution(out: Path, seed: int) -> None:
    """Record, measure and print the profiles where three pixels make a period of the lamellae."""
    recording, run = out / "recording-222nm", out / "run-222nm"
    if not (recording / "truth.h5").exists():
        settings = [word for name, value in PAPER.items() for word in ("--set", f"{name}={value}")]
        words = ["--size", "medium", "--mode", "stills", "--seed", str(seed), *settings]
        _require(cemi(["virtual-sem", "ehea", "--out", str(recording), *words]))
    here = recording.resolve()
    values = {"source.path": f"{here}/frames/*.tif", "source.positions": f"{here}/positions.csv"}
    values |= {"relate.property": f"{here}/hardness.csv"} | {f"grid.{name}": n for name, n in PAPER_GRID.items()}
    overrides = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    _require(cemi(["recipe", str(RECIPES / "ehea-paper.yaml"), "--out", str(run), *overrides, "--quiet"]))
    print("\nAt the paper's resolution (222 nm, fast scan), profiles along x against the truth:")
    print("\n".join(verdict_lines(judge_run(run, recording).profiles)))


if __name__ == "__main__":
    sys.exit(main())
