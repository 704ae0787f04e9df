"""How well the analyzers find planted truths: the tables of docs/how-numbers-are-computed.md.

``python benchmarks/analyzers.py [PART...]``, where PART is fraction, texture, spacing, lamellae, gradient or relation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from cemi_analyze import BccFraction, LamellaFraction, LamellaWidth, SrPhase
from cemi_analyze.cell_analyzer import CellAnalyzer
from cemi_analyze.lamellae.width import LamellaWidthSettings
from cemi_analyze.phases.settings import BccFractionSettings
from cemi_analyze.relation.correlation import correlate
from cemi_core.model.grid import Grid
from cemi_core.model.mosaic import Box
from cemi_core.model.result import GridMap
from cemi_core.model.stages import BlockInfo
from cemi_core.numeric.significance import p_value, pearson_r
from cemi_specimens.random_field import smooth_noise
from cemi_virtual_sem import make_specimen
from cemi_virtual_sem.detector import line_kernel

PIXEL_UM = 0.1
SHAPE = 1200, 6600
ROWS, COLUMNS = 4, 22
SEEDS = 1, 2, 3
#: Noise as a share of full scale at mid grey, and the deviation of the Gaussian that denoises it, px.
CONDITIONS = {"0.02": (0.02, 1.0), "0.05": (0.05, 1.0), "0.10": (0.10, 1.0), "0.08, not denoised": (0.08, 0.0)}
ALONG_THE_LINE = (0.41, -0.09, -0.07)


@dataclass(frozen=True)
class Strip:
    """A picture (h, w), and the truth in each cell of a grid."""

    image: NDArray[np.float32]
    truth: dict[str, NDArray[np.float64]]
    grid: Grid


def imaged(
    clean: NDArray[np.float32], noise: float, denoise_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the picture with noise that grows with brightness and is correlated along the line, then denoised."""
    kernel = line_kernel(ALONG_THE_LINE)
    white = rng.standard_normal(clean.shape, np.float32)
    coloured = cv2.sepFilter2D(white, -1, kernel / np.linalg.norm(kernel), np.ones(1, np.float32))
    noisy = clean + np.float32(noise) * np.sqrt(clean / np.float32(0.5)) * coloured
    return cv2.GaussianBlur(noisy, (0, 0), denoise_px) if denoise_px else noisy


def cell_means(values: NDArray[np.generic], defined: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Return the mean over the defined pixels of each cell, NaN where there are fewer than 100."""
    means = np.full((grid.rows, grid.columns), np.nan)
    for row, column in np.ndindex(means.shape):
        cell = grid.box(row, column).slices
        if defined[cell].sum() >= 100:
            means[row, column] = values[cell][defined[cell]].mean(dtype=np.float64)
    return means


@cache
def eutectic(seed: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """Return a specimen with 2 % shading, and its truth in each cell."""
    shares = {"bcc_low": 0.28, "bcc_high": 0.42, "lamella_low": 0.15, "lamella_high": 0.45}
    specimen = make_specimen("ehea", pixel_size_um=PIXEL_UM, extent_px=SHAPE, seed=seed, **shares)
    box, grid = Box(0, 0, *SHAPE), Grid(ROWS, COLUMNS, SHAPE)
    truth, everywhere = specimen.truth(box), np.ones(SHAPE, bool)
    cells = {
        "bcc_fraction": cell_means(truth.masks["bcc"], everywhere, grid),
        "lamella_fraction": cell_means(truth.masks["lamella"], everywhere, grid),
        "lamella_spacing": cell_means(*truth.means["lamella_spacing_um"], grid),
    }
    return specimen.render(box) * (1 + np.float32(0.02) * smooth_noise(seed + 99, box, 200.0)), cells


def strips(condition: str) -> Iterator[Strip]:
    """Yield the three specimens as imaged under a condition."""
    noise, denoise_px = CONDITIONS[condition]
    for seed in SEEDS:
        clean, truth = eutectic(seed)
        image = imaged(clean, noise, denoise_px, np.random.default_rng([seed, 5]))
        yield Strip(image, truth, Grid(ROWS, COLUMNS, SHAPE))


def map_of(analyzer: CellAnalyzer, image: NDArray[np.float32], grid: Grid) -> GridMap:
    """Return the analyzer's main map of a picture, cell by cell with its halo as in a run."""
    partials = []
    for row, column in np.ndindex(grid.rows, grid.columns):
        cell = grid.box(row, column)
        outer = cell.grown(analyzer.halo).clipped(image.shape)
        core = Box(cell.y - outer.y, cell.x - outer.x, cell.height, cell.width).slices
        info = BlockInfo(pixel_size_um=PIXEL_UM, core=core, row=row, column=column)
        partials.append((row, column, analyzer.process(image[outer.slices], info)))
    return analyzer.merge(partials, (grid.rows, grid.columns)).maps[0]


@dataclass(frozen=True)
class Score:
    """Means over the specimens: Pearson's r, bias, share of cells whose interval holds the truth; worst error."""

    r: float
    bias: float
    covered: float
    worst: float
    cells: int

    def __str__(self) -> str:
        return (
            f"r {self.r:.3f}, bias {self.bias:+.3f}, in the interval {self.covered:.0%}, worst {self.worst:+.3f}, "
            f"{self.cells} cells"
        )


def score(analyzer: CellAnalyzer, condition: str) -> Score:
    """Return how well an analyzer does over the three specimens."""
    rows = []
    for strip in strips(condition):
        found = map_of(analyzer, strip.image, strip.grid)
        truth = strip.truth[found.name]
        both = np.isfinite(found.value) & np.isfinite(truth)
        error = found.value[both] - truth[both]
        known = both & np.isfinite(found.low)
        covered = ((found.low <= truth) & (truth <= found.high))[known].mean()
        worst = error[np.argmax(np.abs(error))] if error.size else np.nan
        rows.append((pearson_r(found.value[both], truth[both]), error.mean(), covered, worst, both.sum()))
    r, bias, covered, worst, cells = np.array(rows).T
    return Score(r.mean(), bias.mean(), covered.mean(), worst[np.argmax(np.abs(worst))], int(cells.sum()))


def over_conditions(title: str, analyzers: dict[str, CellAnalyzer]) -> None:
    """Print the scores of analyzers under every condition."""
    print(f"\n{title}")
    for condition in CONDITIONS:
        for name, analyzer in analyzers.items():
            print(f"  noise {condition:<19} {name:<16} {score(analyzer, condition)}", flush=True)


def fraction() -> None:
    """Print the phase fraction by every method."""
    methods = ("midpoint", "otsu", "paper")
    over_conditions("bcc-fraction", {m: BccFraction(BccFractionSettings(method=m)) for m in methods})


def texture() -> None:
    """Print the bias of the phase fraction on irregular texture, and what each method answers to noise alone."""
    print("\nbcc-fraction on irregular texture (deviation 2 px): bias of midpoint / otsu / paper")
    methods = [BccFraction(BccFractionSettings(method=m)) for m in ("midpoint", "otsu", "paper")]
    box = Box(0, 0, 600, 600)
    for share in (0.2, 0.3, 0.4, 0.5):
        for noise in (0.02, 0.10):
            biases = []
            for seed in range(4):
                dark = np.clip((smooth_noise(1000 + seed, box, 2.0) - np.float32(ndtri(1 - share))) * 2.8 + 0.5, 0, 1)
                clean = cv2.GaussianBlur(np.float32(0.60) - np.float32(0.24) * dark, (0, 0), 0.6)
                image = imaged(clean, noise, 1.0, np.random.default_rng([seed, 6]))
                biases.append([analyzer.measure(image).value - (dark >= 0.5).mean() for analyzer in methods])
            print(f"  share {share}, noise {noise:.2f}: " + " / ".join(f"{b:+.3f}" for b in np.mean(biases, axis=0)))
    print("bcc-fraction of structureless noise")
    for noise in (0.01, 0.04, 0.10):
        flat = imaged(np.full((400, 400), 0.5, np.float32), noise, 0.0, np.random.default_rng(0))
        print(f"  noise {noise:.2f}: " + " / ".join(f"{analyzer.measure(flat).value:.2f}" for analyzer in methods))


def spacing() -> None:
    """Print the lamella spacing by both methods."""
    methods = ("autocorrelation", "paper")
    over_conditions("lamella-width", {m: LamellaWidth(LamellaWidthSettings(method=m)) for m in methods})


def lamellae() -> None:
    """Print the lamella fraction."""
    over_conditions("lamella-fraction", {"coherency": LamellaFraction()})


def gradient() -> None:
    """Print the share of the Sr-rich phase along gradients."""
    print("\nsr-phase on PbSe-SrSe gradients")
    grid = Grid(2, 20, (600, 6000))
    for start, end in ((0.1, 0.6), (0.01, 0.99)):
        for condition in ("0.02", "0.10"):
            ends = {"sr_start": start, "sr_end": end}
            specimen = make_specimen("pbse-srse", pixel_size_um=PIXEL_UM, extent_px=grid.shape, seed=1, **ends)
            box = Box(0, 0, *grid.shape)
            truth = cell_means(specimen.truth(box).masks["sr"], np.ones(grid.shape, bool), grid)
            image = imaged(specimen.render(box), *CONDITIONS[condition], np.random.default_rng(7))
            found = map_of(SrPhase(), image, grid).value
            error = found - truth
            print(
                f"  {start} to {end}, noise {condition}: r {pearson_r(found.ravel(), truth.ravel()):.3f}, "
                f"bias {error.mean():+.3f}, rms {np.sqrt((error**2).mean()):.3f}"
            )


def relation() -> None:
    """Print how often two independent smooth profiles come out significant."""
    print("\npearson: share of 300 independent pairs with p < 0.05, naive and with the effective size")
    for reach in (0.02, 0.05, 0.10, 0.15):
        naive, effective = [], []
        for points in (15, 22, 60):
            position = np.linspace(0, 1, points)
            for kind in ("exponential", "Gaussian"):
                rng = np.random.default_rng([points, round(100 * reach), len(kind)])
                found = [correlate(position, *(_smooth(position, reach, kind, rng) for _ in "xy")) for _ in range(300)]
                naive.append(np.mean([p_value(each.r, points) < 0.05 for each in found]))
                effective.append(np.mean([each.p_value < 0.05 for each in found]))
        print(
            f"  alike over {reach:.0%}: naive {min(naive):.0%} to {max(naive):.0%}, "
            f"effective {min(effective):.0%} to {max(effective):.0%}",
            flush=True,
        )


def _smooth(position: NDArray[np.float64], reach: float, kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random profile of exponential or Gaussian likeness over ``reach`` of its length."""
    apart = np.abs(position[:, None] - position[None, :]) / reach
    likeness = np.exp(-apart) if kind == "exponential" else np.exp(-0.5 * apart**2)
    return np.linalg.cholesky(likeness + 1e-9 * np.eye(len(position))) @ rng.standard_normal(len(position))


PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part for part in (fraction, texture, spacing, lamellae, gradient, relation)
}


def main() -> None:
    """Print the wanted parts, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
