"""What the analyzers say of a whole run against planted truth: profiles at the resolution of Lang et al. 2025.

    python benchmarks/analysis.py                      # medium: 400 stills, 222 nm per pixel, fast scan and slow scan
    python benchmarks/analysis.py --size paper         # 3,902 stills: some ten minutes for each
    python benchmarks/analysis.py --recipe recipes/ehea.yaml --set denoise=[]

Records `cemi virtual-sem ehea`, runs the recipe's analyzers on it, and compares each profile along x with the truth:
bias, share of the columns whose 95 % interval holds the truth, correlation, share of the columns with a value; then
the relations to the planted hardness. The specimens are made (`cemi_virtual_sem.ehea`): what they say of real
micrographs is how the analyzers do on images like these, and no more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from cemi_run.cli.main import run as cemi
from cemi_run.engine.folder import RunFolder
from cemi_run.steps.finish import opened_run
from cemi_virtual_sem.verdict import judge_run, verdict_lines

ROOT = Path(__file__).parent.parent
#: Dwell time relative to a fast scan, as in Lang et al. 2025.
DWELLS = {"LD": 1.0, "HD": 9.7}
GRIDS = {"small": (3, 20), "medium": (9, 55), "paper": (19, 243)}


def main() -> int:
    """Print a table for each recording."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(GRIDS), default="medium")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--scan", choices=sorted(DWELLS), nargs="+", default=["LD", "HD"])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "ehea-paper.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="Change the recipe.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="Folder for recordings and runs, which are used again.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for scan in options.scan:
            for seed in options.seeds:
                _study(folder, options, scan, seed)
    return 0


def _study(folder: Path, options: argparse.Namespace, scan: str, seed: int) -> None:
    name = f"{options.size}-{scan.lower()}-{seed}"
    recording = folder / name
    if not (recording / "truth.h5").exists():
        words = ["--size", options.size, "--mode", "stills", "--seed", str(seed), "--dwell", str(DWELLS[scan])]
        _require(cemi(["virtual-sem", "ehea", "--out", str(recording), *words]))
    recipe = _recipe_for(recording, options)
    run = folder / f"run-{name}"
    _require(cemi(["recipe", str(recipe), "--out", str(run), "--workers", str(options.workers), "--quiet"]))
    verdict = judge_run(run, recording)
    print(f"\n{options.size}, {scan}, seed {seed}: profiles along x against the truth")
    _print(verdict_lines(verdict.profiles))
    print("cells against the truth")
    _print(verdict_lines(verdict.maps))
    with opened_run(RunFolder(run)) as data:
        for found in data.relations:
            interval = f"[{found.low:+.2f}, {found.high:+.2f}]"
            print(f"  {found.quantity:<28} r = {found.r:+.2f} {interval}, p = {found.p_value:.3f}, n = {found.n}")


def _recipe_for(recording: Path, options: argparse.Namespace) -> Path:
    """Write the recipe with the recording's paths beside it."""
    recipe = yaml.safe_load(options.recipe.read_text(encoding="utf-8"))
    here = recording.resolve()
    pixel = {"small": "100 nm"}.get(options.size, "222 nm")
    paths = {"path": f"{here}/frames/*.tif", "positions": f"{here}/positions.csv", "pixel_size": pixel}
    recipe["source"] = {"use": "images", "with": paths}
    rows, columns = GRIDS[options.size]
    recipe["grid"] = {"rows": rows, "columns": columns}
    recipe["relate"] = {**recipe["relate"], "property": f"{here}/hardness.csv"}
    for change in options.set:
        key, _, value = change.partition("=")
        recipe[key] = yaml.safe_load(value)
    path = recording.parent / f"{recording.name}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def _print(lines: Sequence[str]) -> None:
    print("\n".join(f"  {line}" for line in lines))


def _require(code: int) -> None:
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
