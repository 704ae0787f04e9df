"""How far placing and rendering are from the least that they could cost, and from a plain sketch.

    python benchmarks/stitching_floor.py sketch [--frames 120] [--repeat 3] [--chain]
    python benchmarks/stitching_floor.py floor RECORDING      # made by run_scaling.py, e.g. runs/bench/medium-400

`sketch`: low-definition stills of the virtual SEM (5 passes, 1012 x 628 px, 44 % x 32 % overlap, a third of the paper's
scan time: noise 0.1 of full scale; stage good to 3 px) are placed by the sketch of `sketch.py` and by CEMI, in turns in
one process, one thread. Both are told that the stage is good to 16 px. "alignment" is CEMI without flat field and
brightness, which the sketch does not do either. `--chain` adds SIFT and homographies (`low_definition.py`).

`floor`: what the bytes and one correlation per pair cost alone, beside what CEMI takes for the same frames. CPU
seconds, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from low_definition import by_homography_chain
from numpy.typing import NDArray
from sketch import overlap, sketch_places, smoothed

from cemi_core.model.array_source import ArraySource
from cemi_core.model.executor import SerialExecutor
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.stages import Runtime
from cemi_run.engine.plan import Machine, Workers
from cemi_run.sources.images import ImagesSettings, ImagesSource
from cemi_run.steps.render import write_mosaic
from cemi_run.store.frames import FrameStore
from cemi_run.store.protocol import open_mosaic
from cemi_stitch.settings import KorniaSettings
from cemi_stitch.stitcher import KorniaStitcher
from cemi_virtual_sem import Session, session_settings

PASSES, STAGE_PX, TOLERANCE_PX = 5, 3.0, 16.0
#: Pairs whose correlation is timed.
SAMPLE = 60


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the CPU seconds that a call takes, and its answer."""
    start = time.process_time()
    answer = work(*arguments)
    return time.process_time() - start, answer


def record(frames: int, seed: int) -> tuple[list[NDArray[np.uint8]], NDArray[np.float64], NDArray[np.float64], list]:
    """Return low-definition stills, their nominal and true places (y, x), px, and their passes."""
    travel = 0.56 * 1012 * (frames // PASSES - 1)
    changes = [f"passes={PASSES}", f"stills={frames}", f"travel_px={travel:.0f}", f"stage.placing_px={STAGE_PX}"]
    session = Session("ehea", session_settings("ehea", "medium", [*changes, f"detector.dwell={1 / 3}"]), seed)
    rows, nominal, truth = zip(*session.still_places(), strict=True)
    images = [session.still(n, place) for n, place in enumerate(truth)]
    return images, np.array(nominal), np.array(truth), list(rows)


def rms_px(places: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Return the root mean square distance from the true places after the best common shift, px."""
    error = places - truth
    return float(np.sqrt(((error - error.mean(axis=0)) ** 2).sum(axis=1).mean()))


def compare_with_sketch(frames: int, repeat: int, chain: bool) -> None:
    """Print CPU time and error of the sketch and of CEMI, each the best of ``repeat`` runs."""
    images, nominal, truth, rows = record(frames, seed=0)
    source = ArraySource(
        images, positions_px=[tuple(p) for p in nominal], rows=rows, position_tolerance_px=TOLERANCE_PX
    )
    bare = KorniaSettings(flat_field="none", equalise=False)

    def by_cemi(settings: KorniaSettings) -> NDArray[np.float64]:
        return KorniaStitcher(settings, Runtime(threads=1)).place(source).positions_px

    tools: dict[str, Callable[[], NDArray[np.float64]]] = {
        "sketch": lambda: sketch_places(images, nominal)[0],
        "CEMI, alignment": lambda: by_cemi(bare),
        "CEMI, all of place": lambda: by_cemi(KorniaSettings()),
    }
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repeat):
        for name, work in tools.items():
            seconds, places = timed(work)
            found.setdefault(name, []).append((seconds, rms_px(places, truth)))
    if chain:
        seconds, places = timed(by_homography_chain, images, rows)
        held = np.isfinite(places).all(axis=1)
        found["SIFT + homographies"] = [(seconds, rms_px(places[held], truth[held]))]
    least = min(found["sketch"])[0]
    print(f"{frames} frames, {sketch_places(images, nominal)[1]} pairs; stage {rms_px(nominal, truth):.2f} px RMS")
    print(f"{'':24}{'CPU s':>8}{'ratio':>8}{'RMS px':>9}")
    for name, runs in found.items():
        seconds, error = min(runs)
        print(f"{name:24}{seconds:8.2f}{seconds / least:8.2f}{error:9.3f}")


def correlation_floor(frames: FrameSource, layout: Layout) -> tuple[float, float, float]:
    """Return CPU seconds to smooth all frames and to correlate all kept pairs once; and the products in 1e9.

    A pair is one call of OpenCV's ZNCC over the whole overlap with a window of +-2 px, the least that a parabola and
    its neighbours need; timed on some pairs that are spread over all.
    """
    kept = [pair for pair in layout.pairs if pair.kept]
    some = kept[:: max(1, len(kept) // SAMPLE)]
    blur = pairs = products = 0.0
    for pair in some:
        first, second = frames.read(pair.first), frames.read(pair.second)
        seconds, (a, b) = timed(lambda one, two: (smoothed(one), smoothed(two)), first, second)
        blur += seconds / 2
        patch, template = overlap(np.rint(pair.shift_px).astype(np.int64), a.shape, reach=2)
        pairs += timed(cv2.matchTemplate, a[patch], b[template], cv2.TM_CCOEFF_NORMED)[0]
        products += b[template].size * 25 / 1e9
    share = len(kept) / len(some)
    return blur * len(frames.frames) / len(some), pairs * share, products * share


def show_floor(recording: Path) -> None:
    """Print what the bytes and the correlations cost alone, and what CEMI takes, for the stills of a recording."""
    files = sorted((recording / "frames").glob("*.tif"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows: list[tuple[str, float, str]] = []
        seconds, size = timed(lambda: sum(len(file.read_bytes()) for file in files))
        rows.append(("read the files", seconds, f"{size / 1e6:.0f} MB"))
        source = ImagesSource(
            ImagesSettings(
                path=str(recording / "frames" / "*.tif"),
                positions=str(recording / "positions.csv"),
                pixel_size="222 nm",
            )
        )
        store = FrameStore.create(folder / "frames.zarr", source.frames[0].shape, source.dtype)
        seconds, _ = timed(lambda: [store.write(n, source.read_native(n)) for n in range(len(files))])
        store.write_table(source.frames)
        rows.append(("decode them and write them raw", seconds, f"{size / 1e6:.0f} MB"))
        frames = store.as_source()
        seconds, _ = timed(lambda: [frames.read(n) for n in range(len(files))])
        rows.append(("read them once as float32", seconds, f"{4 * size / 1e6:.0f} MB"))
        placing, layout = timed(KorniaStitcher(runtime=Runtime(threads=1)).place, frames)
        blur, correlation, products = correlation_floor(frames, layout)
        rows.append(("smooth each frame once", blur, ""))
        kept = sum(pair.kept for pair in layout.pairs)
        rows.append(("correlate each pair once", correlation, f"{kept} pairs, {products:.0f}e9 products"))
        mosaic = folder / "mosaic.h5"
        workers = Workers(SerialExecutor(), Machine(workers=1), lambda *_: None)
        rendering, _ = timed(write_mosaic, KorniaStitcher(runtime=Runtime(threads=1)), layout, frames, mosaic, workers)
        with open_mosaic(mosaic) as written:
            height, width = written.shape
        raw = np.zeros(height * width * 4 // 3, np.uint8)
        seconds, _ = timed(raw.tofile, folder / "raw")
        rows.append(("write mosaic and pyramid raw", seconds, f"{raw.nbytes / 1e6:.0f} MB, {width} x {height} px"))
        print(f"{len(files)} frames; CPU s, one thread")
        for label, seconds, what in rows:
            print(f"  {label:34}{seconds:8.2f}   {what}")
        read = next(seconds for label, seconds, _ in rows if label.startswith("read them once"))
        least = 2 * read + blur + correlation, read + rows[-1][1]
        for label, taken, floor in (("place", placing, least[0]), ("render", rendering, least[1])):
            print(f"  {label:10} takes {taken:6.2f}, floor {floor:6.2f}, ratio {taken / floor:5.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    against = parts.add_parser("sketch")
    against.add_argument("--frames", type=int, default=120)
    against.add_argument("--repeat", type=int, default=3)
    against.add_argument("--chain", action="store_true")
    parts.add_parser("floor").add_argument("recording", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.part == "sketch":
        compare_with_sketch(options.frames, options.repeat, options.chain)
    else:
        show_floor(options.recording)


if __name__ == "__main__":
    main()
