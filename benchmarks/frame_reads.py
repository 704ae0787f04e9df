"""How often a run reads each kept frame from disk between the source and the maps, step by step.

    python benchmarks/frame_reads.py                  # make the recordings, run each in serial and in two threads
    python benchmarks/frame_reads.py --executor processes dask    # in two worker processes
    python benchmarks/frame_reads.py --cache-mb 0     # without the cache of frames read last
    python benchmarks/frame_reads.py --paper          # 3,902 frames as well: 2.4 GB of recordings, some minutes

A read is the opening of a frame's file in the run folder, seen by Python's audit hook ``open``: whoever opens it, in
this process or a worker, it is counted. Recordings are those of `cemi virtual-sem`: 12 stills, a video of two passes,
64 and 400 stills of 1012 x 628 px; the recipe has the stitcher kornia, two analyzers and the report. The source's own
files are read once more, to keep the frames. Each run is a process of its own, so that its peak memory is its own. Exit
code 1 if a frame is read more than `MAX_WANTED` times in all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cemi_core.model.progress import silent
from cemi_core.plugins.manager import registry
from cemi_run import flow
from cemi_run.engine.plan import Machine, Step
from cemi_run.flow import run_recipe
from cemi_run.recipe.check import check_recipe
from cemi_run.store.frame_cache import FRAMES_READ_LAST
from cemi_run.store.frames import FrameStore

#: Reads of one frame between source and maps that are wanted at most.
MAX_WANTED = 4
CEMI = [sys.executable, "-m", "cemi_run.cli"]
#: What `cemi virtual-sem` makes, and whether it is a video.
RECORDINGS: dict[str, list[str]] = {
    "tiny stills": ["--size", "tiny", "--mode", "stills"],
    "tiny video": ["--size", "tiny", "--mode", "video"],
    "64 stills": ["--size", "medium", "--set", "stills=64", "--set", "passes=4", "--set", "travel_px=8200"],
    "400 stills": ["--size", "medium", "--set", "stills=400", "--set", "travel_px=27867"],
}
PAPER = {"3,902 stills": ["--size", "paper"]}
STILLS = "{use: images, with: {path: %s/frames/*.tif, positions: %s/positions.csv, pixel_size: 222 nm}}"
VIDEO = "{use: video, with: {path: %s/pass*.mp4, pixel_size: 222 nm, deskew: true}}"
RECIPE = """\
recipe: 1
source: %s
grid: {rows: 2, columns: 4}
analyze:
  - {use: lamella-fraction, with: {method: coherency}}
  - {use: lamella-width}
report: {title: Frame reads}
"""
_FRAME_FILE = re.compile(r"([^/]+)/pixels/c\.(\d+)\.0\.0$")

#: Names the folder in which this process and its workers, which import this file again, note what they read.
NOTES = "CEMI_FRAME_READS"

#: Step, then store and number of the frame: times it was opened for reading.
Reads = dict[str, Counter[tuple[str, int]]]


def note_reads(folder: Path) -> None:
    """From now on, append a line to ``reads`` for each frame that this process opens, with the step that is running."""
    lines = os.open(folder / "reads", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str) or "r" not in (arguments[1] or ""):
            return
        if (found := _FRAME_FILE.search(arguments[0])) is not None:
            step = (folder / "step").read_text(encoding="utf-8")
            os.write(lines, f"{step}\t{found[1]}\t{found[2]}\n".encode())

    sys.addaudithook(on_event)


def reads_noted(folder: Path) -> Reads:
    """Return what all processes have noted."""
    reads: Reads = defaultdict(Counter)
    for line in (folder / "reads").read_text(encoding="utf-8").splitlines():
        step, store, number = line.split("\t")
        reads[step][store, int(number)] += 1
    return reads


if NOTES in os.environ:
    note_reads(Path(os.environ[NOTES]))


def count_reads(recipe: Path, out: Path, kind: str, workers: int) -> dict[str, Any]:
    """Run a recipe; return reads by step, and the bytes of a frame, seconds and peak memory."""
    notes = Path(os.environ[NOTES])
    (notes / "step").write_text("planning", encoding="utf-8")

    def noted(step: Step, context: Any) -> Any:
        (notes / "step").write_text(step.name, encoding="utf-8")
        return step.work(context)

    carry_out = flow.carry_out

    def carry_out_noted(steps: Sequence[Step], context: Any) -> Any:
        return carry_out([replace(step, work=partial(noted, step)) for step in steps], context)

    flow.carry_out = carry_out_noted
    machine = Machine(kind=kind, workers=1 if kind == "serial" else workers)
    start = time.perf_counter()
    run_recipe(check_recipe(recipe, registry()), out, machine, silent)
    seconds = time.perf_counter() - start
    steps = {name: [[*key, number] for key, number in found.items()] for name, found in reads_noted(notes).items()}
    kept = FrameStore.open(out / "frames.zarr" / "kept")
    frames, size = len(kept.frames), kept.frame_shape[0] * kept.frame_shape[1] * kept.dtype.itemsize
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"steps": steps, "frames": frames, "bytes": size, "seconds": seconds, "peak_mb": peak_mb}


def print_table(title: str, run: dict[str, Any]) -> int:
    """Print the reads of one run; return the most that one frame of the source was read."""
    frames, size = run["frames"], run["bytes"]
    print(f"\n{title}: {frames} frames of {size / 1e6:.2f} MB; {run['seconds']:.1f} s, peak {run['peak_mb']:.0f} MB")
    print(f"  {'step':<28}{'mean':>7}{'max':>5}{'MB':>9}")
    total: Counter[int] = Counter()
    for name, found in run["steps"].items():
        of_frame: Counter[int] = Counter()
        for _, index, number in found:
            of_frame[index] += number
        total += of_frame
        print_line(name, of_frame, frames, size)
    print_line("source to maps", total, frames, size)
    return max(total.values(), default=0)


def print_line(name: str, reads: Counter[int], frames: int, size: int) -> None:
    """Print how often frames were read in one step."""
    number = sum(reads.values())
    print(f"  {name:<28}{number / frames:>7.2f}{max(reads.values(), default=0):>5}{number * size / 1e6:>9.1f}")


def record(folder: Path, settings: Sequence[str]) -> None:
    """Make a recording if it is not there."""
    if not (folder / "truth.h5").exists():
        command = ["virtual-sem", "ehea", "--out", str(folder), "--seed", "1", "--force", *settings]
        subprocess.run([*CEMI, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(folder: Path, kind: str, workers: int, cache_mb: float | None) -> dict[str, Any]:
    """Run the recipe on a recording in a process of its own."""
    place = str(folder.resolve())
    source = VIDEO % place if list(folder.glob("*.mp4")) else STILLS % (place, place)
    with tempfile.TemporaryDirectory() as name:
        recipe = Path(name) / "recipe.yaml"
        recipe.write_text(RECIPE % source)
        command = [sys.executable, __file__, "--count", str(recipe), str(Path(name) / "run"), kind, str(workers)]
        limit = [] if cache_mb is None else ["--cache-mb", str(cache_mb)]
        environment = {**os.environ, NOTES: name}
        found = subprocess.run([*command, *limit], check=True, stdout=subprocess.PIPE, text=True, env=environment)
        counted: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return counted


def main() -> int:
    """Count the reads of all recordings and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=Path(tempfile.gettempdir()) / "cemi-frame-reads")
    parser.add_argument("--cache-mb", type=float, help="bytes of frames that are kept in memory, MB")
    parser.add_argument("--only", help="part of the name of a recording")
    parser.add_argument("--executor", nargs="+", default=["serial", "threads"])
    parser.add_argument("--workers", type=int, default=2, help="of every executor but serial")
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--count", nargs=4, metavar=("RECIPE", "OUT", "EXECUTOR", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        if options.cache_mb is not None:
            FRAMES_READ_LAST.max_bytes = int(options.cache_mb * 1e6)
        recipe, out, kind, workers = options.count
        print(json.dumps(count_reads(Path(recipe), Path(out), kind, int(workers))))
        return 0
    most = 0
    for name, settings in (RECORDINGS | (PAPER if options.paper else {})).items():
        if options.only and options.only not in name:
            continue
        folder = options.recordings / name.replace(" ", "-").replace(",", "")
        record(folder, settings)
        for kind in options.executor:
            most = max(most, print_table(f"{name}, {kind}", measure(folder, kind, options.workers, options.cache_mb)))
    print(f"\nA frame is read at most {most} times after it was kept; wanted: at most {MAX_WANTED}.")
    return int(most > MAX_WANTED)


if __name__ == "__main__":
    sys.exit(main())
