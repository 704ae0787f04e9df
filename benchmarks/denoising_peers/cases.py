"""The pictures of the denoising benchmark: what is denoised, and what the result is held against.

Four groups: real micrographs of specimens that no training has seen, with added noise (semi-synthetic); virtual fast
scans against their noise-free picture; and two series of real repeats, where the result is held against another scan.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cemi-denoise" / "training"))

from real_images import held_out_files, read_clean

from cemi_denoise.noise.degrade import SemDegradation

#: Noise that is added: electrons per pixel at full white, and the amplifier's noise on the [0, 1] scale.
LEVELS = {"light": (200.0, 0.01), "fast": (60.0, 0.02), "heavy": (15.0, 0.04)}
#: Weights of the neighbours along the line, which make a correlation of 0.37 at 1 px and -0.13 at 2 px.
NEIGHBOUR, NEXT = 0.235, -0.10
CROP_PX = 256
#: Seeds that no training uses.
FIRST_SEED = 90_000
#: From these frames on the raster no longer drifts; the microscope averages over time, and frames so far apart share
#: no noise any more (half the mean squared difference grows from 48 at a distance of 1 to 158 at 10 and stays there).
RASTER_FROM, RASTER_APART = 18, 11


@dataclass(frozen=True)
class Case:
    """One picture to denoise.

    Attributes
    ----------
    group : str
        ``"light"``, ``"fast"``, ``"heavy"``, ``"virtual"``, ``"sem-repeats"`` or ``"tem-repeats"``.
    name : str
        Where the picture comes from.
    noise : float
        Standard deviation of its noise on the [0, 1] scale, told to every tool that can use it.
    other_variance : float
        Variance of the noise of what the result is held against; 0 if that has none (or only its own, real images).
    """

    group: str
    name: str
    noise: float
    other_variance: float = 0.0


Picture = NDArray[np.float32]


def degradation_of(level: str) -> SemDegradation:
    """Return what puts the noise of a level on clean pictures."""
    electrons, amplifier = LEVELS[level]
    return SemDegradation(
        electrons=(electrons, electrons),
        amplifier=(amplifier, amplifier),
        correlated=1.0,
        neighbour_weight=(NEIGHBOUR, NEIGHBOUR),
        next_weight=(NEXT, NEXT),
        smeared=0.0,
        jitter_px=0.0,
        line_brightness=0.0,
        quantised=1.0,
    )


def semi_synthetic(data: Path, level: str, seed: int) -> list[tuple[Case, Picture, Picture]]:
    """Return held-out real pictures with noise of a level, with the pictures before."""
    degradation = degradation_of(level)
    cases = []
    for index, path in enumerate(first_and_last_of_each_folder(held_out_files(data))):
        clean = middle(read_clean(path))
        generator = torch.Generator().manual_seed(FIRST_SEED + 100 * seed + index)
        degraded = degradation(torch.from_numpy(clean.copy())[None, None], generator)
        name = f"{path.parent.parent.name if path.parent.name == 'images' else path.parent.name}/{path.name}"
        cases.append((Case(level, name, float(degraded.noise[0])), degraded.image[0, 0].numpy(), clean))
    return cases


def first_and_last_of_each_folder(files: list[Path]) -> list[Path]:
    """Return two files of each folder, of different specimens where the folder holds several; one if it has one."""
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        by_folder.setdefault(path.parent, []).append(path)
    return [path for members in by_folder.values() for path in dict.fromkeys((members[0], members[-1]))]


def middle(image: Picture, edge_px: int = CROP_PX) -> Picture:
    """Return the middle of a picture."""
    top, left = (max(0, (size - edge_px) // 2) for size in image.shape)
    return image[top : top + edge_px, left : left + edge_px]


def virtual(seed: int) -> list[tuple[Case, Picture, Picture]]:
    """Return fast virtual scans with their noise-free pictures, of specimens that no training has seen."""
    from cemi_core.model.mosaic import Box
    from cemi_virtual_sem import make_specimen
    from cemi_virtual_sem.detector import Detector

    cases = []
    for index, specimen in enumerate(("ehea", "pbse-srse", "polycrystal")):
        plane = make_specimen(specimen, seed=FIRST_SEED + 100 * seed + index, extent_px=(600, 1200))
        ideal = np.clip(plane.render(Box(120, 400, CROP_PX, CROP_PX)), 0, 1).astype(np.float32)
        recorded = Detector().record(ideal, np.random.default_rng(FIRST_SEED + seed), shaded=False)
        noise = float(np.std(recorded - ideal))
        cases.append((Case("virtual", f"{specimen}-{seed}", noise), np.rint(recorded.clip(0, 1) * 255) / 255, ideal))
    return [(case, noisy.astype(np.float32), ideal) for case, noisy, ideal in cases]


def sem_repeats(data: Path) -> list[tuple[Case, Picture, Picture]]:
    """Return real frames, each with a later one of the same field."""
    frames = tifffile.imread(data / "external_scan_sem_frames" / "raster.tif").astype(np.float32) / 255
    cases = []
    for first in range(RASTER_FROM, len(frames) - RASTER_APART):
        one, other = frames[first], frames[first + RASTER_APART]
        variance = float(np.mean((one - other) ** 2) / 2)
        cases.append((Case("sem-repeats", f"raster-{first}", variance**0.5, variance), one, other))
    return cases


def tem_repeats(data: Path) -> list[tuple[Case, Picture, Picture]]:
    """Return two low-dose frames, each held against the other; 1,100 counts are full white."""
    one, other = (
        tifffile.imread(data / "lde_tem_pairs" / f"train_000{n}.tif").astype(np.float32) / 1100 for n in (1, 2)
    )
    variance = float(np.mean((one - other) ** 2) / 2)
    return [
        (Case("tem-repeats", name, variance**0.5, variance), noisy, target)
        for name, noisy, target in (("first", one, other), ("second", other, one))
    ]


def every_case(data: Path, seeds: list[int], groups: list[str]) -> list[tuple[Case, Picture, Picture]]:
    """Return the cases of some groups; repeats have one seed only, because their noise is real."""
    found: list[tuple[Case, Picture, Picture]] = []
    for seed in seeds:
        for level in LEVELS:
            found += semi_synthetic(data, level, seed) if level in groups else []
        found += virtual(seed) if "virtual" in groups else []
    found += sem_repeats(data) if "sem-repeats" in groups else []
    return found + (tem_repeats(data) if "tem-repeats" in groups else [])


def write_cases(folder: Path, cases: list[tuple[Case, Picture, Picture]]) -> None:
    """Write the noisy pictures, and what tools may know of them, for tools in other environments."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "noisy.npz", *(noisy for _, noisy, _ in cases))
    known: list[dict[str, Any]] = [asdict(case) for case, _, _ in cases]
    (folder / "cases.json").write_text(json.dumps(known))
