"""How well `focus` tells blurred cells of made specimens from sharp ones: what docs/measure.md says of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cemi_analyze.cell_analyzer import CellAnalyzer
from cemi_analyze.texture.focus import OUT_OF_FOCUS, Focus
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.result import Result
from cemi_core.model.stages import BlockInfo
from cemi_virtual_sem import make_specimen
from cemi_virtual_sem.detector import Detector, DetectorSettings

#: Specimens: name, pixel size in um. `ehea` and `pbse-srse` come from the virtual SEM, the others from another maker.
SPECIMENS = (
    ("ehea", 0.222),
    ("ehea", 0.1),
    ("pbse-srse", 0.24),
    ("eutectic", 0.222),
    ("eutectic", 0.1),
    ("gaussian-field", 0.2),
    ("particles", 0.1),
)
#: Dwell relative to a fast scan.
DWELLS = {"LD": 1.0, "HD": 9.7}
BEAM_PX = 0.6
SEEDS = 1, 2, 3


@dataclass(frozen=True)
class Mosaic:
    """A picture on a grid of cells, and which cells are blurred."""

    image: NDArray[np.float32]
    grid: Grid
    blurred: NDArray[np.bool_]


@lru_cache(maxsize=len(SEEDS))
def rendered(name: str, pixel_um: float, shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return the grey levels of a specimen before beam and noise."""
    return make_specimen(name, pixel_size_um=pixel_um, extent_px=shape, seed=seed).render(Box(0, 0, *shape))


def planted_blur(
    name: str,
    pixel_um: float,
    dwell: float,
    seed: int,
    blur_px: float = 1.5,
    share: float = 0.2,
    cells: tuple[int, int] = (4, 8),
    cell_px: tuple[int, int] = (413, 508),
    noisier: float = 1.0,
) -> Mosaic:
    """Return a specimen as a detector sees it, with blur planted in single cells before the noise comes on.

    Parameters
    ----------
    name, pixel_um, dwell, seed
        Specimen, pixel size, and dwell relative to a fast scan.
    blur_px : float
        Deviation of the blur in the blurred cells, beside that of the beam.
    share : float
        Share of the cells that are blurred.
    cells, cell_px : tuple of int
        Rows and columns; height and width of a cell.
    noisier : float
        In blurred cells the dose is so many times smaller.
    """
    shape = cells[0] * cell_px[0], cells[1] * cell_px[1]
    ideal = rendered(name, pixel_um, shape, seed)
    rng = np.random.default_rng([seed, 5])
    blurred, grid = rng.uniform(size=cells) < share, Grid(*cells, shape)
    sharp, soft = (cv2.GaussianBlur(ideal, (0, 0), sigma) for sigma in (BEAM_PX, float(np.hypot(BEAM_PX, blur_px))))
    seen = Detector(DetectorSettings(dwell=dwell), seed).record(sharp, rng)
    noisy = Detector(DetectorSettings(dwell=dwell / noisier), seed).record(soft, rng)
    for row, column in np.argwhere(blurred):
        place = grid.box(int(row), int(column)).slices
        seen[place] = noisy[place]
    return Mosaic(seen, grid, blurred)


def measured(analyzer: CellAnalyzer, image: NDArray[np.float32], grid: Grid, pixel_um: float | None = None) -> Result:
    """Return what an analyzer says of a picture, cell by cell with its halo, as the engine does it."""
    partials = []
    for row, column in np.ndindex(grid.rows, grid.columns):
        cell = grid.box(row, column)
        outer = cell.grown(analyzer.halo).clipped(grid.shape)
        core = Box(cell.y - outer.y, cell.x - outer.x, cell.height, cell.width).slices
        info = BlockInfo(pixel_um, core, None, row, column, cell, image_shape=grid.shape)
        partials.append((row, column, analyzer.process(image[outer.slices], info)))
    return analyzer.merge(partials, (grid.rows, grid.columns))


def area_under_curve(score: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Return the chance that a cell of the class has a higher score than one that is not of it."""
    rank, positive = rankdata(score.ravel()), truth.ravel()
    number = positive.sum()
    return float((rank[positive].sum() - number * (number + 1) / 2) / (number * (~positive).sum()))


def focus() -> None:
    """Print the AUC of the blur and what was flagged, over specimens, noise, and how the blur was planted."""
    cases = {
        "1.5 px": {},
        "1.5 px, twice the noise variance": {"noisier": 2.0},
        "1 px": {"blur_px": 1.0},
        "none": {"share": 0.0},
    }
    print("specimen, um/px, noise | planted | AUC | flagged of blurred | flagged of sharp | cells not judged")
    for name, pixel_um in SPECIMENS:
        for noise, dwell in DWELLS.items():
            for case, settings in cases.items():
                score, truth, flags, lost = [], [], [], 0
                for seed in SEEDS:
                    mosaic = planted_blur(name, pixel_um, dwell, seed, **settings)
                    result = measured(Focus(), mosaic.image, mosaic.grid)
                    blur = result.maps[0].value
                    judged = np.isfinite(blur)
                    lost += int((~judged).sum())
                    score.append(blur[judged])
                    truth.append(mosaic.blurred[judged])
                    flags.append((result.classes[0].value == OUT_OF_FOCUS)[judged])
                planted, flagged = np.concatenate(truth), np.concatenate(flags)
                area = area_under_curve(np.concatenate(score), planted) if planted.any() else float("nan")
                print(
                    f"{name}, {pixel_um}, {noise} | {case} | {area:.3f} | "
                    f"{flagged[planted].sum()}/{planted.sum()} | {flagged[~planted].sum()}/{(~planted).sum()} | {lost}",
                    flush=True,
                )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    focus()
