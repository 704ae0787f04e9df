"""Specimens with planted truth: smooth pictures that frames are cut out of at sub-pixel places."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cemi_core.model.array_source import ArraySource

os.environ.setdefault("OMP_NUM_THREADS", "1")

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """Frames, where they truly lie, and the source that knows their nominal places."""

    source: ArraySource
    truth_px: NDArray[np.float64]

    def errors_px(self, positions_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each frame from its true place, but for a common shift."""
        error = positions_px - self.truth_px
        return np.linalg.norm(error - np.median(error, axis=0), axis=1)


def dendritic(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Blobs of many sizes."""
    layers = [ndimage.gaussian_filter(rng.standard_normal(shape), s) * s for s in (1.5, 4.0, 10.0)]
    image = sum(layer / layer.std() for layer in layers)
    return (0.45 + 0.08 * image).astype(np.float32)


def lamellar(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Colonies of wavy lamellae, 8 px apart."""
    angle = ndimage.gaussian_filter(rng.standard_normal(shape), 30)
    angle *= 1.5 / angle.std()
    wave = ndimage.gaussian_filter(rng.standard_normal(shape), 10)
    wave *= 1.5 / wave.std()
    y, x = np.mgrid[: shape[0], : shape[1]]
    quantised = np.round(angle * 2) / 2
    phase = (np.cos(quantised) * y + np.sin(quantised) * x) * (2 * np.pi / 8) + wave
    return ndimage.gaussian_filter(0.35 + 0.3 * (np.sin(phase) > 0), 1.0).astype(np.float32)


def sparse(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """A few grains on an even background."""
    spots = np.zeros(shape)
    count = shape[0] * shape[1] // 12_000
    spots[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = 1
    return (0.3 + 25 * ndimage.gaussian_filter(spots, 3.0)).astype(np.float32)


Specimen = Callable[[tuple[int, int], np.random.Generator], Image]
SPECIMENS: dict[str, Specimen] = {
    "dendritic": dendritic,
    "lamellar": lamellar,
    "sparse": sparse,
}


def cut(coefficients: NDArray[np.float64], place: NDArray[np.float64], shape: tuple[int, int]) -> Image:
    """Return the frame at a sub-pixel place of a specimen given by its spline coefficients."""
    top, left = np.floor(place).astype(int) - 8
    piece = coefficients[top : top + shape[0] + 17, left : left + shape[1] + 17]
    matrix = np.ones(2)
    offset = place - [top, left]
    return ndimage.affine_transform(
        piece, matrix, offset, output_shape=shape, order=5, prefilter=False, output=np.float32
    )


@pytest.fixture(scope="session")
def record() -> Callable[..., Recording]:
    """Return a function that records a grid of frames with a stage that is not quite where it says."""

    def make(
        specimen: str | Specimen = "dendritic",
        rows: int = 3,
        columns: int = 4,
        shape: tuple[int, int] = (200, 260),
        overlap: tuple[float, float] = (0.3, 0.4),
        jitter_px: float = 6.0,
        noise: float = 0.0,
        serpentine: bool = False,
        truth_px: NDArray[np.float64] | None = None,
        nominal: bool = True,
        seed: int = 0,
        change: Callable[[int, Image], Image] | None = None,
        **source_options: object,
    ) -> Recording:
        rng = np.random.default_rng(seed)
        row, column = (index.ravel() for index in np.mgrid[:rows, :columns])
        if serpentine:
            column = np.where(row % 2, columns - 1 - column, column)
        step = [(1 - overlap[axis]) * shape[axis] for axis in (0, 1)]
        ideal = np.stack([row * step[0], column * step[1]], 1)
        truth = ideal + rng.uniform(-jitter_px, jitter_px, ideal.shape) if truth_px is None else truth_px
        truth = truth - truth.min(axis=0) + 10 + rng.random(2)
        size = np.ceil(truth.max(axis=0)).astype(int) + np.array(shape) + 20
        draw = SPECIMENS[specimen] if isinstance(specimen, str) else specimen
        scene = draw((int(size[0]), int(size[1])), rng)
        coefficients = ndimage.spline_filter(scene.astype(np.float64), order=5)
        frames = []
        for number, place in enumerate(truth):
            frame = cut(coefficients, place, shape)
            if noise:
                frame = (frame + rng.normal(0, noise, shape)).astype(np.float32)
            frame = np.clip(frame, 0, 1) if change is None else change(number, np.clip(frame, 0, 1))
            frames.append(frame.astype(np.float32))
        if nominal:
            source_options = {"positions_px": [tuple(p) for p in ideal], "rows": row.tolist(), **source_options}
        return Recording(ArraySource(frames, **source_options), truth)

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images, or skip."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("CEMI_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}; set CEMI_DATA")
    return folder
