"""Does a twin tell the truth? Its stated bias and coverage beside the true ones, on planted specimens.

Each specimen is recorded with the virtual microscope, the recipe is run on it and judged against its own truth, and
``cemi twin`` judges the same run without it. Printed per quantity: the true bias, the stated one with its interval, and
both shares of the cells whose interval holds the truth.

    python benchmarks/twin.py --out runs/twin-bench --specimens 10
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from cemi_core.plugins.manager import registry
from cemi_run.engine.plan import Machine
from cemi_run.flow import run_recipe
from cemi_run.recipe.check import check_recipe
from cemi_twin.job import make_twin
from cemi_twin.record import record_of
from cemi_virtual_sem import write_recording
from cemi_virtual_sem.verdict import judge_run

KINDS = ("ehea", "gaussian-field", "pbse-srse", "eutectic")
ANALYZERS = {"ehea": ("lamella-fraction", "lamella-width", "bcc-fraction"), "eutectic": ("lamella-width",)}


def silent(*done: object) -> None:
    """Tell nobody."""


def one(folder: Path, kind: str, seed: int, size: str, repeats: int) -> list[dict[str, object]]:
    """Return true and stated bias and coverage of each quantity of one specimen."""
    machine = Machine(kind="serial", workers=1, seed=seed)
    recording = folder / "recording"
    if not (recording / "truth.h5").exists():
        write_recording(recording, kind, size, seed=seed, mode="stills")
    images = {
        "path": str(recording.resolve() / "frames/*.tif"),
        "positions": str(recording.resolve() / "positions.csv"),
    }
    recipe = {
        "recipe": 1,
        "source": {"use": "images", "with": {**images, "pixel_size": "100 nm"}},
        "stitch": {"use": "kornia", "with": {"matcher": "zncc"}},
        "grid": {"rows": 3, "columns": 12},
        "analyze": [{"use": name} for name in ANALYZERS.get(kind, ("bcc-fraction",))],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    run_recipe(check_recipe(path, registry()), folder / "run", machine, silent)
    true = {verdict.name: verdict for verdict in judge_run(folder / "run", recording).maps}
    stated = record_of(make_twin(folder / "run", folder / "twin", machine, silent, repeats, "auto"))
    return [
        {
            "kind": kind,
            "seed": seed,
            "quantity": told["name"],
            "true_bias": true[told["name"]].bias,
            "stated_bias": told["bias"],
            "true_held": true[told["name"]].covered,
            "stated_held": told["cells_held"],
            "scatter": told["scatter"],
            "twin": stated["specimen"],
            "cautions": len(stated["cautions"]),
        }
        for told in stated["quantities"]
        if told["name"] in true
    ]


def main() -> None:
    """Run the study and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/twin-bench"))
    parser.add_argument("--specimens", type=int, default=10)
    parser.add_argument("--size", default="tiny", choices=["tiny", "small"])
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    for number in range(options.specimens):
        kind = KINDS[number % len(KINDS)]
        folder = options.out / f"{number:02d}-{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        for row in one(folder, kind, number + 1, options.size, options.repeats):
            found.append(row)
            print(json.dumps(row))
            sys.stdout.flush()
    (options.out / "twin.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
