"""Time and peak memory of matching + solving + rendering with pyramid, for 400 and 800 virtual frames of 1012 x 628 px.

    python benchmarks/run_scaling.py [--recordings DIR] [--repeat 3]
    python benchmarks/run_scaling.py --paper      # 3,902 frames, which take 3 minutes and 2.4 GB to make
    python benchmarks/run_scaling.py --video 4    # recordings of 4 passes of 99 scans, instead of stills; see --travel

Frames are stills of `cemi virtual-sem ehea --size medium` (44 % x 32 % overlap), twice as many over twice the travel.
Each run is a process of its own (`cemi recipe`, two threads), so that its peak memory is its own; times are those of
the steps "layout" (match, solve, equalise) and "mosaic" (blend, pyramid) in provenance.json. The reading of the TIFFs
into the run folder is listed beside them. Wanted: 400 frames in at most 30 s and 1.5 GB; 800 in at most 2.2 times the
time and 1.2 times the memory.

``--video``: recordings of the screen at 5 frames a second, about 14 frames to a scan, of which the run takes what
it needs. Printed in CPU seconds, which other work on the machine hardly changes: the whole run, reading alone
(decoding, finding the picture, the scan fronts and the motion, putting scans together), and decoding alone, the floor.
The last line is an extrapolation to the paper's scale, no measurement.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from cemi_core.testing import make_plugin
from cemi_virtual_sem.settings import session_settings
from cemi_virtual_sem.verdict import judge_run

CEMI = [sys.executable, "-m", "cemi_run.cli"]
TRAVEL_PX = 27867  # of 50 frames in a pass, which makes 49 steps
RECIPE = """\
recipe: 1
source: {{use: images, with: {{path: {folder}/frames/*.tif, positions: {folder}/positions.csv, pixel_size: 222 nm}}}}
"""
VIDEO_RECIPE = """\
recipe: 1
source: {{use: video, with: {{path: {folder}/pass*.mp4, pixel_size: 222 nm, deskew: true}}}}
"""


class Measured(NamedTuple):
    """One run: seconds of the steps, peak memory (MB), median and largest position error (px), components, frames."""

    read_s: float
    layout_s: float
    mosaic_s: float
    peak_mb: float
    error_px: float
    worst_px: float
    components: int
    frames: int


def record(folder: Path, frames: int, seed: int) -> None:
    """Make a recording of ``frames`` stills in 8 passes if it is not there."""
    if (folder / "truth.h5").exists():
        return
    command = ["virtual-sem", "ehea", "--out", str(folder), "--size", "medium", "--seed", str(seed), "--force"]
    size = ["--set", f"stills={frames}", "--set", f"travel_px={TRAVEL_PX * (frames - 8) / (400 - 8):.0f}"]
    subprocess.run([*CEMI, *command, *size], check=True, stderr=subprocess.DEVNULL)


def record_paper(folder: Path) -> None:
    """Make the recording of the paper's size, 18 passes and 3,902 stills, if it is not there."""
    if not (folder / "truth.h5").exists():
        command = ["virtual-sem", "ehea", "--out", str(folder), "--size", "paper", "--seed", "1", "--force"]
        subprocess.run([*CEMI, *command], check=True, stderr=subprocess.DEVNULL)


def record_video(folder: Path, passes: int, travel_px: int) -> None:
    """Make recordings of ``passes`` passes of so much travel if they are not there."""
    if not (folder / "truth.h5").exists():
        command = ["virtual-sem", "ehea", "--out", str(folder), "--size", "medium", "--mode", "video", "--seed", "1"]
        size = ["--set", f"passes={passes}", "--set", f"travel_px={travel_px}", "--force"]
        subprocess.run([*CEMI, *command, *size], check=True, stderr=subprocess.DEVNULL)


def reading_cpu_s(folder: Path) -> float:
    """Return the CPU time of reading all passes in this process, s."""
    source = make_plugin("source", "video", path=str(folder / "pass*.mp4"), pixel_size="222 nm", deskew=True)
    start = time.process_time()
    for row in range(len(source.passes)):
        for _ in source.read_pass(row):
            pass
    return time.process_time() - start


def decoding_cpu_s(folder: Path) -> float:
    """Return the CPU time of decoding all passes to grey and nothing else, in one thread, s."""
    start = time.process_time()
    for path in sorted(folder.glob("pass*.mp4")):
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                frame.to_ndarray(format="gray")
    return time.process_time() - start


def print_video(folder: Path) -> None:
    """Print what a run on recordings costs, and what follows for the paper's scale."""
    with (folder / "screen.csv").open(newline="") as stream:
        shown = sum(1 for _ in csv.DictReader(stream))
    with (folder / "scans.csv").open(newline="") as stream:
        scans = sum(1 for _ in csv.DictReader(stream))
    megabytes = sum(path.stat().st_size for path in folder.glob("pass*.mp4")) / 1e6
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = measure(folder, VIDEO_RECIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    reading, decoding = reading_cpu_s(folder), decoding_cpu_s(folder)
    print(f"{shown} video frames, {megabytes:.0f} MB, {scans} scans, {run.frames} kept; load {os.getloadavg()[0]:.1f}")
    print(f"whole run {whole:.1f} CPU s; reading {reading:.1f}, of which decoding to grey {decoding:.1f}")
    print(f"a video frame: reading {1e3 * reading / shown:.2f} ms, decoding {1e3 * decoding / shown:.2f} ms of CPU")
    print(f"steps (wall): read {run.read_s:.1f} s, place {run.layout_s:.1f} s, render {run.mosaic_s:.1f} s")
    print(f"peak {run.peak_mb:.0f} MB, error median {run.error_px:.3f}, largest {run.worst_px:.2f} px")
    paper = session_settings("ehea", "paper")
    frames = paper.passes * paper.scans_per_pass * shown / scans
    print(
        f"extrapolated to {paper.passes} passes of {paper.scans_per_pass} scans: {frames:,.0f} video frames, "
        f"reading {frames * reading / shown / 60:.0f} CPU min, of which decoding {frames * decoding / shown / 60:.0f}"
    )


def measure(recording: Path, text: str = RECIPE) -> Measured:
    """Run the recipe once in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        recipe, out = Path(name) / "r.yaml", Path(name) / "run"
        recipe.write_text(text.format(folder=recording.resolve()))
        command = [*CEMI, "recipe", str(recipe), "--out", str(out), "--quiet", "--workers", "2"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        facts = json.loads((out / "provenance.json").read_text())
        seconds = {step["name"]: step["seconds"] for step in facts["steps"]}
        verdict = judge_run(out, recording)
        shutil.rmtree(out / "frames.zarr")
        return Measured(
            seconds["frames"],
            seconds["layout"],
            seconds["mosaic"],
            facts["peak_memory_mb"],
            float(np.median(verdict.position_error_px)),
            float(verdict.position_error_px.max()),
            verdict.components,
            len(verdict.position_error_px),
        )


def main() -> int:
    """Print the table; exit code 1 if a wanted number is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=Path("runs/bench"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--paper", action="store_true", help="Only the paper's scale, once.")
    parser.add_argument("--video", type=int, metavar="PASSES", help="Only recordings of so many passes, once.")
    parser.add_argument("--travel", type=int, default=13930, help="Way of the stage in a pass of --video, px.")
    options = parser.parse_args()
    if options.video:
        folder = options.recordings / f"video-{options.video}-{options.travel}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        record_video(folder, options.video, options.travel)
        print_video(folder)
        return 0
    if options.paper:
        folder = options.recordings / "paper"
        folder.parent.mkdir(parents=True, exist_ok=True)
        record_paper(folder)
        for name, value in measure(folder)._asdict().items():
            print(f"{name:<12}{value:10.3f}")
        return 0
    found: dict[int, list[Measured]] = {}
    for frames in (400, 800):
        folder = options.recordings / f"medium-{frames}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        record(folder, frames, seed=1)
        found[frames] = []
    for _ in range(options.repeat):
        for frames in found:
            found[frames].append(measure(options.recordings / f"medium-{frames}"))
    heads = (("frames", 6), ("read s", 8), ("place s", 9), ("render s", 10), ("both s", 8), ("peak MB", 9))
    print("".join(f"{head:>{width}}" for head, width in (*heads, ("error px", 10), ("worst", 7))))
    both: dict[int, float] = {}
    peak: dict[int, float] = {}
    for frames, runs in found.items():
        median = Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))
        both[frames] = statistics.median(run.layout_s + run.mosaic_s for run in runs)
        peak[frames] = median.peak_mb
        print(
            f"{frames:>6}{median.read_s:>8.1f}{median.layout_s:>9.1f}{median.mosaic_s:>10.1f}{both[frames]:>8.1f}"
            f"{median.peak_mb:>9.0f}{median.error_px:>10.3f}{median.worst_px:>7.2f}"
        )
    time_ratio, memory_ratio = both[800] / both[400], peak[800] / peak[400]
    print(f"800 against 400 frames: {time_ratio:.2f} times the time, {memory_ratio:.2f} times the memory")
    wanted = both[400] <= 30 and peak[400] <= 1500 and time_ratio <= 2.2 and memory_ratio <= 1.2
    return 0 if wanted else 1


if __name__ == "__main__":
    sys.exit(main())
