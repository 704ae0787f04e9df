"""Quality and speed of the classical denoisers on real micrographs with added noise (semi-synthetic), one thread.

Usage: CEMI_DATA=path/to/images OMP_NUM_THREADS=1 python cemi-denoise/benchmarks/classical.py
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.testing.kits import make_plugin

ELECTRONS_PER_PIXEL = (100, 25)  # at full grey; a fast scan has few
LINE_SMEAR = 0.52  # correlation of 0.41 between neighbours along the line, as measured on real frames
NAMES = ("gaussian", "median", "wiener", "tv", "nlm")


def micrographs(folder: Path) -> list[NDArray[np.float32]]:
    """Return pieces of real micrographs, halved in size so that little of their own noise is left."""
    names = [
        "ternary_eutectic/3000X_Al-Cu_Mg EXP9 S7.tif",
        "dendritic_sem_tiles/004.jpg",
        "dendritic_sem_tiles/020.jpg",
    ]
    pieces = []
    for name in names:
        image = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)[:1400, :1800]
        pieces.append(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    return pieces


def noisy(image: NDArray[np.float32], electrons: float, smeared: bool, seed: int) -> NDArray[np.float32]:
    """Return the image as counted electrons; ``smeared`` mixes the noise of neighbours along the line."""
    random = np.random.default_rng(seed)
    noise = random.poisson(image * electrons) / electrons - image
    if smeared:
        strength = noise.std()
        noise[:, 1:] += LINE_SMEAR * noise[:, :-1].copy()
        noise *= strength / noise.std()
    return (image + noise).astype(np.float32)


def psnr(result: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the peak signal-to-noise ratio in dB, for a peak of 1."""
    return float(-10 * np.log10(np.mean((result - truth) ** 2)))


def main() -> None:
    """Print the table."""
    folder = Path(os.environ.get("CEMI_DATA", "../shared/data"))
    images = micrographs(folder)
    cases = [(electrons, smeared) for smeared in (False, True) for electrons in ELECTRONS_PER_PIXEL]
    heads = [f"{electrons} e/px{', smeared' if smeared else ''}" for electrons, smeared in cases]
    rows = [
        [
            "(noisy)",
            *(f"{np.mean([psnr(noisy(i, *case, k), i) for k, i in enumerate(images)]):.1f}" for case in cases),
            "",
        ]
    ]
    for name in NAMES:
        denoiser = make_plugin("denoise", name)
        cells, pixels, seconds = [], 0, 0.0
        for case in cases:
            scores = []
            for seed, image in enumerate(images):
                block = noisy(image, *case, seed)
                start = time.process_time()
                result = denoiser(block)
                seconds += time.process_time() - start
                pixels += block.size
                scores.append(psnr(result, image))
            cells.append(f"{np.mean(scores):.1f}")
        rows.append([f"`{name}`", *cells, f"{pixels / seconds / 1e6:.3g}"])
    lines = [["denoiser", *heads, "Mpx/s"], ["---"] * (len(heads) + 2), *rows]
    sys.stdout.write("\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n")


if __name__ == "__main__":
    main()
