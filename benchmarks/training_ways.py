"""Ways to train on one's own specimen, from the same weights with the same steps: pairs, overlaps, slow scans alone.

    make bench-training
    python benchmarks/training_ways.py --specimens ehea --ways pairs overlaps --seeds 0 --set steps=100
    python benchmarks/training_ways.py --out runs/ways     # keeps recordings, recipes and weights; goes on where it was
    python benchmarks/training_ways.py --tables runs/ways/scores.json

Every way starts from the shipped ``semnet-small`` and goes through ``cemi train denoiser``:

- ``pairs``: fast (LD) and slow (HD) scans of the same fields, registered to each other;
- ``overlaps``: the fast frames alone, which see each place two times or more (Noise2Noise);
- ``synthetic``: the slow scans alone, degraded as photographs are;
- ``sem``: the slow scans alone, with noise as it is measured on the fast ones;
- ``start``: the weights that all start from, and ``noisy``: no denoiser.

``ehea`` and ``pbse-srse`` are scans of the virtual SEM: 12 frames of 384 x 320 px in 3 passes, 40 % overlap, a slow
scan of each with 9.7 times the dwell, displaced by about 1.5 px; scored on 6 fast scans of other fields against the
same scan with endless dwell. ``real`` is a specimen that the shipped weights have not seen (a layered coating, two
micrographs), with noise of the level "fast" of `benchmarks/denoising.py` put on (**semi-synthetic**): 9 crops of
272 x 272 px of the first, overlapping by 156 px, each with noise of its own; slow scans are the crops with the little
noise that they have, displaced by up to 3 px; scored on the second, in 4 fields. The seed draws noise, displacements
and patches; the specimen stays. Cells are the mean over fields and seeds, ± the standard deviation of that mean over
the seeds. One thread.

Wanted: LPIPS of pairs <= overlaps <= synthetic, and PSNR of overlaps at most 0.5 dB below that of pairs.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "denoising_peers")]

from cases import FIRST_SEED, degradation_of
from denoising import TITLES, cell
from real_images import held_out_files, read_clean

from cemi_core.numeric.tiles import denoise_image
from cemi_core.testing import make_plugin
from cemi_denoise.judge.metrics import Metric, available_metrics
from cemi_denoise.train.recipe import TrainingRecipe
from cemi_denoise.train.run import WEIGHTS, train
from cemi_run.recipe.settings_file import read_settings_file
from cemi_virtual_sem import Session, session_settings

CEMI = [sys.executable, "-m", "cemi_run.cli"]
WAYS = ("pairs", "overlaps", "synthetic", "sem")
SPECIMENS = ("ehea", "pbse-srse", "real")
SCORES = ("psnr", "lpips", "phase-fraction")
#: What every way has in common; ``--set`` changes it.
TRAINING = {
    "steps": 150,
    "batch": 6,
    "patch_px": 96,
    "learning_rate": 2e-4,
    "schedule": "cosine",
    "precision": "bfloat16",
    "tensorboard": False,
}
#: Passes of the virtual scan that are trained on, and those that are scored on; one between them is in neither.
TRAINED_PASSES, HELD_PASSES = (0, 1, 2), (4, 6)
#: Dwell of the truth, against that of a fast scan.
ENDLESS = 1e6
#: Beginning of the names of the two micrographs of the real specimen.
REAL = "010417#4"
#: Crops of the first: their size, where they begin in both directions, and how far off their slow scan is at most, px.
CROP_PX, CROPS_AT, OFFSET_PX = 272, (4, 120, 236), 3
Grey8 = NDArray[np.uint8]
Picture = NDArray[np.float32]


class Claim(NamedTuple):
    """By how much one way should be worse than another, at least and at most, in a score."""

    title: str
    score: str
    better: str
    worse: str
    least: float
    most: float
    digits: int


WANTED = (
    Claim("PSNR of `overlaps` below that of `pairs`, at most 0.5 dB", "psnr", "pairs", "overlaps", -np.inf, 0.5, 2),
    Claim("LPIPS of `overlaps` above that of `pairs`", "lpips", "pairs", "overlaps", 0.0, np.inf, 4),
    Claim("LPIPS of `synthetic` above that of `overlaps`", "lpips", "overlaps", "synthetic", 0.0, np.inf, 4),
)


@dataclass(frozen=True)
class Recording:
    """What a user has of a specimen, and fields to score on.

    Attributes
    ----------
    ld, hd : list of ndarray of uint8
        Fast and slow scans of the same fields.
    places_px : list of tuple of float
        Where the stage says that the fast ones lie, (y, x).
    held : list of (ndarray of float32, ndarray of float32)
        Fast scans of other fields, and what they should look like; in [0, 1].
    """

    ld: list[Grey8]
    hd: list[Grey8]
    places_px: list[tuple[float, float]]
    held: list[tuple[Picture, Picture]]


def virtual(specimen: str, seed: int) -> Recording:
    """Return fast and slow scans of the virtual SEM; the seed draws the noise, the specimen is always the same."""
    passes = HELD_PASSES[-1] + 1
    size = {"width_px": 384, "height_px": 320, "passes": passes, "stills": 4 * passes, "travel_px": 691}
    settings = session_settings(specimen, "small", **size, overlap_y=0.4, pair_drift_px=1.5)
    session = Session(specimen, settings, FIRST_SEED)
    endless = settings.detector.model_copy(update={"dwell": ENDLESS, "read_noise": 0.0})
    ideal = Session(specimen, settings.model_copy(update={"detector": endless}), FIRST_SEED)
    found = Recording([], [], [], [])
    for number, (row, nominal, true) in enumerate(session.still_places()):
        draw = number + 1000 * seed  # its noise, its drift, and how bright it is
        if row in TRAINED_PASSES:
            found.ld.append(session.still(draw, true))
            found.hd.append(session.still(draw, session.hd_place(draw, true), slow=True))
            found.places_px.append(nominal)
        elif row in HELD_PASSES and number % 4 != 1:  # three of four show nearly all of a pass
            pictures = session.still(draw, true), ideal.still(draw, true)
            noisy, truth = (picture.astype(np.float32) / 255 for picture in pictures)
            found.held.append((noisy, truth))
    return found


def real(data: Path, seed: int) -> Recording:
    """Return crops of a real micrograph with noise as in a fast scan, and as they are."""
    picture, other = (read_clean(path) for path in held_out_files(data) if path.name.startswith(REAL))
    degradation = degradation_of("fast")
    generator = torch.Generator().manual_seed(FIRST_SEED + seed)
    rng = np.random.default_rng(FIRST_SEED + seed)

    def noisy(crop: Picture) -> Picture:
        return degradation(torch.from_numpy(crop.copy())[None, None], generator).image[0, 0].numpy()

    found = Recording([], [], [], [])
    for y, x in itertools.product(CROPS_AT, CROPS_AT):
        off_y, off_x = (int(n) for n in rng.integers(-OFFSET_PX, OFFSET_PX + 1, 2))
        found.ld.append(_grey8(noisy(picture[y:, x:][:CROP_PX, :CROP_PX])))
        found.hd.append(_grey8(picture[y + off_y :, x + off_x :][:CROP_PX, :CROP_PX]))
        found.places_px.append((float(y), float(x)))
    halves = (half for row in np.array_split(other, 2) for half in np.array_split(row, 2, axis=1))
    found.held.extend((noisy(truth), truth) for truth in halves)
    return found


def _grey8(picture: Picture) -> Grey8:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def write(recording: Recording, folder: Path) -> None:
    """Write the scans as a user has them, and the run folder that knows how the fast ones overlap."""
    for name, pictures in (("ld", recording.ld), ("hd", recording.hd)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), picture)
    with (folder / "ld" / "positions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "y_px", "x_px"))
        table.writerows((f"{number:02d}.png", *place) for number, place in enumerate(recording.places_px))
    source = {"use": "images", "with": {"path": "ld/*.png", "positions": "ld/positions.csv"}}
    recipe = folder / "run.yaml"
    recipe.write_text(json.dumps({"recipe": 1, "source": source}, indent=1))  # JSON is YAML
    command = [*CEMI, "recipe", str(recipe), "--out", str(folder / "run"), "--workers", "1", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def data_of(way: str) -> dict[str, Any]:
    """Return the section ``data`` of the recipe for a way, with paths from the folder of the recording."""
    return {
        "pairs": {"pairs": {"ld": "ld/*.png", "hd": "hd/*.png"}},
        "overlaps": {"overlaps": {"run": "run"}},
        "synthetic": {"images": "hd/*.png", "synthetic": {}},
        "sem": {"images": "hd/*.png", "sem": {"noise_of": "ld/*.png"}},
    }[way]


def weights_by(way: str, folder: Path, seed: int, options: argparse.Namespace) -> str:
    """Train one way, or go on with it, and return the weights; those to start from for ``start``."""
    if way == "start":
        return str(options.start)
    path = folder / f"{way}.yaml"
    path.write_text(
        json.dumps(
            {"training": 1, "start_from": options.start, "seed": seed, **TRAINING, "data": data_of(way)}, indent=1
        )
    )
    train(read_settings_file(path, TrainingRecipe, tuple(options.changes)), folder / way)
    return str(folder / way / WEIGHTS)


def scored(denoiser: Any, held: list[tuple[Picture, Picture]], metrics: dict[str, Metric]) -> list[dict[str, float]]:
    """Return the scores of each held-out field; without a denoiser those of the noisy pictures."""
    results = [noisy if denoiser is None else denoise_image(denoiser, noisy) for noisy, _ in held]
    return [
        {name: metric(np.clip(result, 0, 1), truth) for name, metric in metrics.items()}
        for result, (_, truth) in zip(results, held, strict=True)
    ]


def compare(options: argparse.Namespace, out: Path) -> list[dict[str, Any]]:
    """Train and score every way on every specimen and return all records."""
    every = available_metrics(options.weights_dir)
    metrics = {name: every[name] for name in SCORES if name in every}
    if "lpips" not in metrics:
        print("no LPIPS: its weights are not here; run: pip install 'cemi-denoise[perceptual]'")
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for specimen in options.specimens:
            recording = real(options.data, seed) if specimen == "real" else virtual(specimen, seed)
            folder = out / f"{specimen}-{seed}"
            write(recording, folder)
            for way in ("noisy", "start", *options.ways):
                started = time.process_time()
                weights = None if way == "noisy" else weights_by(way, folder, seed, options)
                spent = time.process_time() - started
                denoiser = None if weights is None else make_plugin("denoise", "semnet", weights=weights)
                found = scored(denoiser, recording.held, metrics)
                record = {"tool": way, "group": specimen, "seed": seed, "training_cpu_s": spent}
                rows += [{**record, "field": number, **scores} for number, scores in enumerate(found)]
                means = ", ".join(f"{name} {np.mean([scores[name] for scores in found]):.4g}" for name in metrics)
                print(f"{specimen}, seed {seed}, {way}: {means}; {spent:.0f} CPU s", file=sys.stderr, flush=True)
    return rows


def specimens_in(rows: list[dict[str, Any]]) -> list[str]:
    """Return the specimens that were scored on."""
    return [specimen for specimen in SPECIMENS if specimen in {row["group"] for row in rows}]


def print_tables(rows: list[dict[str, Any]]) -> None:
    """Print one table per score, ways down and specimens across, and the seconds that each training took."""
    ways = [way for way in ("noisy", "start", *WAYS) if way in {row["tool"] for row in rows}]
    specimens = specimens_in(rows)
    for score in SCORES:
        if score not in rows[0]:
            continue
        title, digits = TITLES[score]
        print(f"\n| {' | '.join([title, *specimens])} |\n|{'---|' * (1 + len(specimens))}")
        for way in ways:
            mine = [[row for row in rows if row["tool"] == way and row["group"] == s] for s in specimens]
            print(f"| {' | '.join([f'`{way}`', *(cell(part, score, digits) for part in mine)])} |")
    taken = {way: np.mean([row["training_cpu_s"] for row in rows if row["tool"] == way]) for way in ways[2:]}
    print(f"\nCPU s of one training: {', '.join(f'{way} {seconds:.0f}' for way, seconds in taken.items())}")


def losses(rows: list[dict[str, Any]], specimen: str, claim: Claim) -> list[float]:
    """Return by how much the way that should be worse is worse on a specimen, seed by seed; empty if it was not run."""

    def means(way: str) -> list[float]:
        mine = [row for row in rows if (row["group"], row["tool"]) == (specimen, way) and claim.score in row]
        seeds = sorted({row["seed"] for row in mine})
        return [float(np.mean([row[claim.score] for row in mine if row["seed"] == seed])) for seed in seeds]

    sign = -1 if claim.score == "psnr" else 1
    return [sign * (worse - better) for better, worse in zip(means(claim.better), means(claim.worse), strict=True)]


def print_claims(rows: list[dict[str, Any]]) -> None:
    """Print for each specimen, seed by seed, what the wanted order of the ways came to."""
    print(f"\n| {' | '.join(['wanted', *(claim.title for claim in WANTED)])} |\n|{'---|' * (1 + len(WANTED))}")
    for specimen in specimens_in(rows):
        cells = []
        for claim in WANTED:
            found = losses(rows, specimen, claim)
            missed = sum(not claim.least <= loss <= claim.most for loss in found)
            shown = ", ".join(f"{loss:+.{claim.digits}f}" for loss in found)
            cells.append(f"{shown} (missed by {missed} of {len(found)})" if missed else shown)
        print(f"| {' | '.join([specimen, *cells])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specimens", nargs="+", default=list(SPECIMENS), choices=SPECIMENS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--start", default="semnet-small", help="weights to start from: a shipped name, or a file")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="in every training's recipe"
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CEMI_DATA", "../shared/data")))
    parser.add_argument("--weights-dir", help="folder with the weights of LPIPS, if its package is not installed")
    parser.add_argument("--out", type=Path, help="folder to keep everything in")
    parser.add_argument("--tables", nargs="+", type=Path, metavar="JSON", help="only print the tables of these records")
    options = parser.parse_args()
    if "real" in options.specimens and not any(p.name.startswith(REAL) for p in held_out_files(options.data)):
        print(f"left out: real: its micrographs are not in {options.data}; name the folder with --data or CEMI_DATA")
        options.specimens.remove("real")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.tables:
        rows = [row for path in options.tables for row in json.loads(path.read_text())]
    else:
        print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, seeds {options.seeds}")
        with tempfile.TemporaryDirectory() as temporary:
            rows = compare(options, options.out or Path(temporary))
        if options.out:
            (options.out / "scores.json").write_text(json.dumps(rows))
    print_tables(rows)
    if set(WAYS) <= {row["tool"] for row in rows}:
        print_claims(rows)


if __name__ == "__main__":
    main()
