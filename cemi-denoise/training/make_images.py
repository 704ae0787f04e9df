"""Make the clean pictures that the shipped weights were trained on: virtual specimens, and real images if given.

    python cemi-denoise/training/make_images.py --out runs/training-images --data ../data

Writes 8-bit PNG files to OUT/train and OUT/validate: 48 + 6 virtual ones, 96 of dead leaves, the photographs that come
with scikit-image, and the real images of `real_images.py`.
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
LEAVES = 96
#: Photographs inside the package scikit-image (public domain or CC0).
PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "cell", "chelsea", "clock_motion", "coffee", "coins", "grass", "gravel"),
    *("hubble_deep_field", "moon", "rocket"),
)


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
    for index in range(LEAVES):
        _write(train / f"leaves-{index:02d}.png", dead_leaves(np.random.default_rng((arguments.seed, 1, index))))
    for path in photographs():
        _write(train / f"photograph-{path.stem}.png", read_clean(path))
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


def dead_leaves(rng: Generator) -> NDArray[np.float32]:
    """Return discs and polygons of all sizes that cover each other, flat, striped or grainy, float32 in [0, 1].

    They have edges and textures of every size and direction, and belong to no specimen, so that a network learns no
    specimen by heart.

    Source: the dead leaves model (Lee, Mumford, Huang, Int. J. Comput. Vis. 41 (2001) 35); that denoisers learn from it
    nearly what they learn from photographs: Achddou et al., SIAM J. Imaging Sci. 16 (2023).
    """
    fine = 2 * SIZE_PX  # drawn twice as large, so that edges come out smooth
    image = np.full((fine, fine), rng.uniform(0.1, 0.9), np.float32)
    y, x = np.mgrid[:fine, :fine].astype(np.float32)
    smallest, largest = rng.uniform(4, 12), rng.uniform(60, 400)
    # radii fall as r^-3, so that every size covers about as much; the last leaves lie on top
    share = rng.random(int(rng.uniform(2000, 9000)))
    radii = 1 / np.sqrt(share / largest**2 + (1 - share) / smallest**2)
    low, high = sorted(rng.uniform(0.05, 0.95, 2))
    for radius in np.sort(radii)[::-1] if rng.random() < 0.5 else radii:
        centre = rng.uniform(0, fine, 2)
        top, left = (max(0, int(c - radius) - 1) for c in centre)
        window = np.s_[top : int(centre[0] + radius) + 2, left : int(centre[1] + radius) + 2]
        mask = np.zeros(image[window].shape, np.uint8)
        corners = _corners(rng, radius) + centre - (top, left)
        cv2.fillPoly(mask, [np.rint(corners[:, ::-1]).astype(np.int32)], 1)
        leaf = _leaf(rng, y[window], x[window], float(rng.uniform(low, high)))
        image[window] = np.where(mask, leaf, image[window])
    image = cv2.GaussianBlur(image, None, 2 * float(rng.uniform(0.3, 1.0)))
    return np.asarray(cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA).clip(0, 1), np.float32)


def _corners(rng: Generator, radius: float) -> NDArray[np.float64]:
    """Return the corners (n, 2) of an ellipse or a polygon around 0."""
    count = 40 if rng.random() < 0.5 else int(rng.integers(3, 8))
    angle = np.sort(rng.uniform(0, 2 * np.pi, count)) if count < 40 else np.linspace(0, 2 * np.pi, count)
    points = np.stack((np.sin(angle), np.cos(angle) * rng.uniform(0.2, 1)), 1) * radius
    turn = rng.uniform(0, np.pi)
    return points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _leaf(rng: Generator, y: NDArray[np.float32], x: NDArray[np.float32], grey: float) -> NDArray[np.float32]:
    """Return the grey levels of a leaf: flat, sloping, striped, or with soft grain."""
    kind = rng.random()
    turn = rng.uniform(0, np.pi)
    along = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    if kind < 0.5:
        return np.full(x.shape, grey, np.float32)
    if kind < 0.65:
        return np.float32(grey) + np.float32(rng.uniform(-0.002, 0.002)) * (along - along.mean())
    strength = np.float32(rng.uniform(0.02, 0.2))
    if kind < 0.85:
        wave = np.sin(along * np.float32(2 * np.pi / np.exp(rng.uniform(np.log(6), np.log(60)))))
        return np.float32(grey) + strength * (np.sign(wave) if rng.random() < 0.5 else wave)
    grain = cv2.GaussianBlur(rng.standard_normal(x.shape).astype(np.float32), None, float(rng.uniform(1.5, 8)))
    return np.float32(grey) + strength * grain / max(float(grain.std()), 1e-3)


def photographs() -> list[Path]:
    """Return the photographs that lie inside scikit-image."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [path for name in PHOTOGRAPHS for path in sorted(folder.glob(f"{name}.*g"))]


def _write(path: Path, image: NDArray[np.float32]) -> None:
    if not cv2.imwrite(str(path), np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)):
        raise OSError(f"cannot write {path}")


if __name__ == "__main__":
    main()
