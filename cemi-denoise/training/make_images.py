"""Make the clean pictures that the shipped weights were trained on: virtual specimens, and real images if given.

    python cemi-denoise/training/make_images.py --out runs/training-images --data ../data

Writes 8-bit PNG files to OUT/train and OUT/validate; 48 + 6 virtual ones and the real images of `real_images.py`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from real_images import read_clean, training_files

from cemi_core.model.mosaic import Box
from cemi_virtual_sem import make_specimen

SIZE_PX = 640
VIRTUAL = 48
VALIDATION = 6


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("CEMI_DATA"), help="folder of public images")
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    train, validate = arguments.out / "train", arguments.out / "validate"
    for folder in (train, validate):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(VIRTUAL + VALIDATION):
        image = virtual_picture(np.random.default_rng((arguments.seed, index)), index)
        folder = train if index < VIRTUAL else validate
        _write(folder / f"virtual-{index:02d}.png", image)
    if arguments.data is not None:
        for path in training_files(arguments.data):
            _write(
                train / f"{path.parents[0 if path.parent.name != 'images' else 1].name}-{path.stem}.png",
                read_clean(path),
            )


def virtual_picture(rng: Generator, index: int) -> NDArray[np.float32]:
    """Return a clean picture of a random virtual specimen, float32 in [0, 1]."""
    name = ("ehea", "ehea", "pbse-srse", "polycrystal")[index % 4]
    grey = sorted(rng.uniform(0.12, 0.88, 2))
    if grey[1] - grey[0] < 0.08:
        grey[1] = min(grey[1] + 0.15, 0.95)
    dark, bright = float(grey[0]), float(grey[1])
    settings: dict[str, Any] = {}
    if name == "ehea":
        share = sorted(rng.uniform(0.2, 0.6, 2))
        spacing = float(np.exp(rng.uniform(np.log(0.3), np.log(3.0))))
        settings = {
            "bcc_low": share[0],
            "bcc_high": share[1],
            "fcc_grey": bright,
            "bcc_grey": dark,
            "lamella_low": 0.4,
            "lamella_high": 0.9,
            "spacing_low_um": spacing,
            "spacing_high_um": 1.4 * spacing,
            "colony_um": 11.0 * max(spacing, 0.6),
            "dots_per_um2": float(rng.uniform(0, 0.02)),
        }
    elif name == "pbse-srse":
        settings = {
            "pb_grey": bright,
            "sr_grey": dark,
            "feature_um": float(np.exp(rng.uniform(np.log(0.3), np.log(3)))),
            "sr_start": 0.2,
            "sr_end": 0.7,
        }
    else:
        settings = {
            "grain_um": float(np.exp(rng.uniform(np.log(1.5), np.log(15)))),
            "mean_grey": (dark + bright) / 2,
            "grain_contrast": float(rng.uniform(0.08, 0.5)),
            "groove_depth": float(rng.uniform(0.05, 0.4)),
            "groove_px": float(rng.uniform(1.2, 5)),
        }
    specimen = make_specimen(
        name,
        pixel_size_um=0.1,
        extent_px=(SIZE_PX, SIZE_PX),
        seed=int(rng.integers(1 << 30)),
        blur_px=float(rng.uniform(0.5, 1.2)),
        **settings,
    )
    return specimen.render(Box(0, 0, SIZE_PX, SIZE_PX))


def _write(path: Path, image: NDArray[np.float32]) -> None:
    if not cv2.imwrite(str(path), np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)):
        raise OSError(f"cannot write {path}")


if __name__ == "__main__":
    main()
