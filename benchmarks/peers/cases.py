"""Tile grids with sub-pixel truth on which all stitchers are compared.

A case is a grid of tiles cut from one specimen by interpolation with fifth-order splines, at places that deviate from
the stage's by known fractions of pixels. Written as ``tiles.npy`` and ``case.json`` (what a tool may know) and
``truth.npy`` (what it may not).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Border of the specimen around the tiles, px.
MARGIN = 60


@dataclass(frozen=True)
class Case:
    """One grid of tiles.

    Attributes
    ----------
    name : str
    specimen : str
        ``"dendrite"``, ``"lamellar"`` (the virtual SEM's eutectic alloy) or ``"sparse"``.
    noise : float
        Deviation of the Gaussian noise, grey levels of 255.
    overlap : float
        Share of a tile's edge that neighbours share, where the stage is exact.
    jitter_px : float
        Largest error of the stage in each axis (uniform), px.
    rows, columns, size : int
        The grid and the edge of a tile, px.
    empty, rotated : int or None
        A tile that shows nothing but noise; one that is turned about its centre by ``angle_deg``.
    brightness : float
        Each tile is darkened by a factor between 1 - ``brightness`` and 1.
    bits : int
        8, or 16 for tiles that fill 12 of 16 bits.
    """

    name: str
    specimen: str
    noise: float
    overlap: float = 0.12
    jitter_px: float = 6.0
    rows: int = 6
    columns: int = 6
    size: int = 512
    empty: int | None = None
    rotated: int | None = None
    angle_deg: float = 0.5
    brightness: float = 0.0
    bits: int = 8


def issue_cases() -> list[Case]:
    """Return specimen x noise at 12 % overlap, then the harder cases."""
    table = [Case(f"{s}-{n}", s, n) for s in ("dendrite", "lamellar", "sparse") for n in (8, 30)]
    more = []
    for s in ("dendrite", "lamellar"):
        more += [
            Case(f"{s}-overlap40", s, 8, overlap=0.4),
            Case(f"{s}-overlap40-30", s, 30, overlap=0.4),
            Case(f"{s}-jitter44", s, 8, overlap=0.25, jitter_px=44),
            Case(f"{s}-overlap5", s, 8, overlap=0.05),
            Case(f"{s}-empty", s, 8, empty=14),
            Case(f"{s}-rotated", s, 8, rotated=14),
            Case(f"{s}-brightness", s, 8, brightness=0.3),
            Case(f"{s}-16bit", s, 8, bits=16),
        ]
    return table + more


def make_tiles(case: Case, seed: int = 0) -> tuple[NDArray[np.generic], NDArray[np.float64], NDArray[np.float64]]:
    """Return the tiles (n, h, w), their nominal and their true (y, x), px; row after row, each from left to right."""
    rng = np.random.default_rng([seed, sum(map(ord, case.name))])
    row, column = (index.ravel() for index in np.mgrid[: case.rows, : case.columns])
    nominal = np.stack([row, column], 1) * case.size * (1 - case.overlap)
    truth = nominal + rng.uniform(-case.jitter_px, case.jitter_px, nominal.shape)
    extent = tuple(int(np.ceil(n)) + case.size + 2 * MARGIN for n in nominal.max(axis=0))
    spline = specimen_spline(case.specimen, extent, seed)
    tiles = []
    for n, place in enumerate(truth + MARGIN):
        image = _cut(spline, place, case.size, case.angle_deg if n == case.rotated else 0.0)
        if n == case.empty:
            image = np.full_like(image, 0.35)
        image = image * (1 - case.brightness * rng.random()) + rng.normal(0, case.noise / 255, image.shape)
        top, kind = (255, np.uint8) if case.bits == 8 else (4095, np.uint16)
        tiles.append(np.clip(np.rint(image * top), 0, top).astype(kind))
    return np.stack(tiles), nominal, truth


def write_case(folder: Path, case: Case, seed: int = 0) -> None:
    """Write the case, unless it is there."""
    if (folder / "truth.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    tiles, nominal, truth = make_tiles(case, seed)
    np.save(folder / "tiles.npy", tiles)
    known = {**asdict(case), "seed": seed, "nominal": nominal.tolist()}
    (folder / "case.json").write_text(json.dumps(known))
    np.save(folder / "truth.npy", truth)


def errors_px(positions: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each tile's distance from its true place, px, after the best common shift."""
    error = np.asarray(positions) - truth
    return np.linalg.norm(error - error.mean(axis=0), axis=1)


def _cut(spline: NDArray[np.float64], place: NDArray[np.float64], size: int, angle_deg: float) -> NDArray[np.float32]:
    angle = np.deg2rad(angle_deg)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (size - 1) / 2)
    top = np.floor(place).astype(int) - 16
    piece = spline[top[0] : top[0] + size + 33, top[1] : top[1] + size + 33]
    offset = place - top + centre - matrix @ centre
    options = {"order": 5, "prefilter": False, "output": np.float32}
    if not angle_deg:
        return ndimage.affine_transform(piece, np.ones(2), offset, (size, size), **options)
    return ndimage.affine_transform(piece, matrix, offset, (size, size), **options)


@lru_cache(maxsize=1)
def specimen_spline(name: str, shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    """Return the spline coefficients of a specimen of ``shape`` with grey levels in [0, 1]."""
    make = {"dendrite": dendrite, "lamellar": lamellar, "sparse": sparse}[name]
    return ndimage.spline_filter(make(shape, seed).astype(np.float64), order=5)


def dendrite(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return bright dendrites, a direction to each grain of about 600 px, side arms 20 px apart, in a darker matrix."""
    rng = np.random.default_rng([seed, 1])
    canvas = np.zeros(shape, np.uint8)
    for _ in range(shape[0] * shape[1] // 160**2):
        middle = rng.random(2) * shape
        angle = rng.normal(np.sin(middle[0] / 600 + seed) + np.cos(middle[1] / 600), 0.1)
        for arm in angle + np.arange(4) * np.pi / 2:
            length = rng.uniform(50, 130)
            _line(canvas, middle, arm, length, 7)
            for along in np.arange(14, length, 20):
                root = middle + along * np.array([np.sin(arm), np.cos(arm)])
                for side in (-1, 1):
                    _line(canvas, root, arm + side * np.pi / 2, (length - along) * rng.uniform(0.3, 0.6), 5)
    cloud = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), 40, mode="wrap")
    image = 0.35 + 0.3 * (canvas / np.float32(255)) + 0.03 * cloud / cloud.std()
    return ndimage.gaussian_filter(image, 1.2)


def _line(canvas: NDArray[np.uint8], root: NDArray[np.float64], angle: float, length: float, width: int) -> None:
    end = root + length * np.array([np.sin(angle), np.cos(angle)])
    (y0, x0), (y1, x1) = np.rint(np.array([root, end]) * 16).astype(int).tolist()
    cv2.line(canvas, (x0, y0), (x1, y1), 255, width, cv2.LINE_AA, shift=4)


def lamellar(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return the virtual SEM's eutectic alloy, half lamellae with a period of 6 px."""
    from cemi_core.model.mosaic import Box
    from cemi_virtual_sem import make_specimen

    alloy = make_specimen("ehea", extent_px=shape, seed=seed, blur_px=0.8, lamella_low=0.5, lamella_high=0.6)
    return alloy.render(Box(0, 0, *shape))


def sparse(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return an even plane with few particles: most overlaps of 12 % hold none or one."""
    rng = np.random.default_rng([seed, 2])
    plane = np.full(shape, 0.3, np.float32)
    y, x = np.mgrid[-20:21, -20:21].astype(np.float32)
    for middle in rng.random((shape[0] * shape[1] // 300**2, 2)) * (np.array(shape) - 60) + 30:
        top, left = np.floor(middle).astype(int) - 20
        dy, dx = middle - np.floor(middle)
        radius = rng.uniform(2, 5)
        spot = np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * radius**2))
        plane[top : top + 41, left : left + 41] += np.float32(rng.uniform(0.15, 0.4)) * spot
    return np.clip(plane, 0, 1)
