"""Stitching: accuracy against planted truth, time and peak memory, for 400 and 800 frames of 1012 x 628 px.

    python benchmarks/stitching.py                          # frames made here, serial and with two processes
    python benchmarks/stitching.py --recording DIR          # stills of `cemi virtual-sem ehea --size medium --mode
    stills`

Each case runs in a process of its own, so that peak memory is its own. Frames lie in uncompressed Zarr chunks, as core
keeps them. Timed: match, solve and equalise (`place`), then blending of every box of the mosaic (`blend`); writing the
mosaic and its pyramid is core's part and is timed with the run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import cv2
import numpy as np
import zarr
from numpy.typing import NDArray

from cemi_core.model.corrections import patch_of
from cemi_core.model.frame import Frame
from cemi_core.model.stages import PlaceContext, Runtime
from cemi_stitch.stitcher import KorniaStitcher

SHAPE = (628, 1012)
OVERLAP = (0.32, 0.44)
FRAMES_PER_PASS = 40
NOISE = 0.1
BOX = 1024


class ZarrFrames:
    """Frames in a Zarr array (n, h, w) of uint8, one uncompressed chunk each."""

    def __init__(self, path: Path, frames: list[Frame]) -> None:
        self.path = str(path)
        self.frames = frames
        self.dropped = ()
        self.dtype = np.dtype(np.uint8)
        self._array = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_array": None}

    def read(self, index: int) -> NDArray[np.float32]:
        if self._array is None:
            self._array = zarr.open_array(self.path, mode="r")
        return self._array[index].astype(np.float32) * np.float32(1 / 255)


def lamellar_texture(size: int, seed: int) -> NDArray[np.float32]:
    """Return a periodic picture (size, size) of colonies of wavy lamellae, in [0, 1]."""
    rng = np.random.default_rng(seed)
    sites = rng.random((size // 40 * (size // 160), 2)) * size
    angle, spacing = rng.random(len(sites)) * np.pi, rng.uniform(5, 9, len(sites))
    labels = np.zeros((size, size), np.int32)
    step = 256
    for top in range(0, size, step):
        for left in range(0, size, step):
            offset = (sites - [top, left] + size / 2) % size - size / 2
            near = np.flatnonzero(((offset > -150) & (offset < step + 150)).all(axis=1))
            y, x = np.mgrid[:step, :step]
            square = [(y - offset[n, 0]) ** 2 + (x - offset[n, 1]) ** 2 for n in near]
            labels[top : top + step, left : left + step] = near[np.argmin(square, axis=0)]
    wave = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), 12)
    wave *= 1.2 / wave.std()
    y, x = np.mgrid[:size, :size].astype(np.float32)
    phase = (np.cos(angle)[labels] * y + np.sin(angle)[labels] * x) * (2 * np.pi / spacing[labels]) + wave
    image = cv2.GaussianBlur((np.sin(phase) > 0.3).astype(np.float32), (0, 0), 1.0)
    return 0.3 + 0.4 * image


def make_frames(folder: Path, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Write frames of a stage that jitters, slips back between passes and drifts; return their true positions."""
    rng = np.random.default_rng(seed)
    texture = lamellar_texture(4096, seed)
    rows = np.arange(count) // FRAMES_PER_PASS
    place = np.arange(count) % FRAMES_PER_PASS
    step = [(1 - OVERLAP[axis]) * SHAPE[axis] for axis in (0, 1)]
    passes = rows.max() + 1
    start = np.cumsum(rng.normal(0, 4, (passes, 2)), axis=0) + rng.uniform(-0.05, 0.05, (passes, 2)) * SHAPE[1]
    x = place * step[1] * 1.01 + start[rows, 1]
    x += np.concatenate([np.cumsum(rng.normal(0, 6, (rows == r).sum())) for r in range(passes)])
    y = rows * step[0] * 0.99 + start[rows, 0] * 0.3 + rng.normal(0, 1.5, count)
    truth = np.stack([y, x], 1) + 100
    array = zarr.create_array(
        str(folder / "frames.zarr"), shape=(count, *SHAPE), chunks=(1, *SHAPE), dtype="uint8", compressors=None
    )
    rows_px, columns_px = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    wrapped = np.pad(texture, ((0, SHAPE[0] + 8), (0, SHAPE[1] + 8)), mode="wrap")
    for n, (ty, tx) in enumerate(truth % 4096):
        y0, x0 = int(ty), int(tx)
        piece = wrapped[y0 : y0 + SHAPE[0] + 6, x0 : x0 + SHAPE[1] + 6]
        image = cv2.remap(piece, columns_px + np.float32(tx - x0), rows_px + np.float32(ty - y0), cv2.INTER_CUBIC)
        image = image * rng.uniform(0.95, 1.05) + rng.normal(0, NOISE, SHAPE).astype(np.float32)
        array[n] = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    nominal = np.stack([rows * step[0], place * step[1]], 1)
    np.savez(folder / "truth.npz", truth=truth, nominal=nominal, rows=rows)
    return truth


def open_frames(folder: Path) -> tuple[ZarrFrames, NDArray[np.float64]]:
    """Return the frames and true positions that `make_frames` wrote."""
    known = np.load(folder / "truth.npz")
    frames = [
        Frame(n, f"frame {n}", SHAPE, int(row), position_px=tuple(map(float, position)), position_tolerance_px=None)
        for n, (row, position) in enumerate(zip(known["rows"], known["nominal"], strict=True))
    ]
    return ZarrFrames(folder / "frames.zarr", frames), known["truth"]


def executor_of(name: str) -> Executor | None:
    if name == "threads":
        return ThreadPoolExecutor(2)
    if name == "processes":
        return ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    return None


def peak_mb() -> float:
    """Return the peak memory of this process since it was started (ru_maxrss would include its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def run_case(folder: Path, executor_name: str) -> dict[str, float]:
    """Place and blend all frames; return times in s, errors in px and peak memory in MB."""
    source, truth = open_frames(folder)
    executor = executor_of(executor_name)
    if executor is not None:
        list(executor.map(abs, range(4)))
    cv2.setNumThreads(1)
    stitcher = KorniaStitcher(runtime=Runtime(threads=1))
    start, cpu = time.perf_counter(), time.process_time()
    layout = stitcher.place(source, PlaceContext(executor))
    placed = time.perf_counter()
    cpu = time.process_time() - cpu
    height, width = layout.mosaic_shape
    for top in range(0, height, BOX):
        for left in range(0, width, BOX):
            box = replace_box(top, left, height, width)
            patches = [patch_of(layout, int(n), source.read(int(n))) for n in layout.frames_in(box)]
            stitcher.blend(patches, box)
    blended = time.perf_counter()
    error = layout.positions_px - truth
    error = np.linalg.norm(error - np.median(error, axis=0), axis=1)
    if executor is not None:
        executor.shutdown()
    kept = [p for p in layout.pairs if p.kept]
    pair_error = [np.hypot(*(truth[p.second] - truth[p.first] - p.shift_px)) for p in kept]
    return {
        "frames": len(source.frames),
        "pairs": len(layout.pairs),
        "kept": len(kept),
        "place_s": placed - start,
        "place_cpu_s": cpu,
        "blend_s": blended - placed,
        "error_median_px": float(np.median(error)),
        "error_max_px": float(error.max()),
        "pair_error_median_px": float(np.median(pair_error)),
        "pair_error_max_px": float(np.max(pair_error)),
        "loose": int(layout.placed_by_prior.sum()),
        "peak_MB": peak_mb(),
        "worker_MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3,
    }


def replace_box(top: int, left: int, height: int, width: int):
    from cemi_core.model.mosaic import Box

    return Box(top, left, BOX, BOX).clipped((height, width))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[400, 800])
    parser.add_argument("--executors", nargs="+", default=["serial", "processes"])
    parser.add_argument("--folder", type=Path, help="where frames are written and kept (default: a temporary folder)")
    parser.add_argument("--case", nargs=2, metavar=("FOLDER", "EXECUTOR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(run_case(Path(arguments.case[0]), arguments.case[1])))
        return
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for count in arguments.frames:
            folder = (arguments.folder or Path(temporary)) / str(count)
            if not (folder / "truth.npz").exists():
                folder.mkdir(parents=True, exist_ok=True)
                make_frames(folder, count)
            for name in arguments.executors:
                command = [sys.executable, __file__, "--case", str(folder), name]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = {"executor": name, **json.loads(done.stdout.splitlines()[-1])}
                rows.append(row)
                print(
                    "  ".join(
                        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                        for key, value in row.items()
                    )
                )


if __name__ == "__main__":
    main()
