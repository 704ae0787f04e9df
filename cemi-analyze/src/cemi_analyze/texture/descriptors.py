"""Texture descriptors of each cell: numbers for what no model of phases or lamellae describes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cemi_analyze.cell_analyzer import UNKNOWN, CellAnalyzer, grid_map, measured_cells
from cemi_analyze.picture.cell import Cell, cell_of
from cemi_analyze.picture.orientation import structure_tensor
from cemi_analyze.picture.spectrum import spectrum_of
from cemi_analyze.picture.texture import texture_length_px
from cemi_analyze.uncertainty.blocks import block_edges, blocks_along
from cemi_analyze.uncertainty.intervals import Interval, spatial_mean_interval
from cemi_core.model.result import Result
from cemi_core.model.settings import Settings
from cemi_core.model.stages import BlockInfo, Runtime

#: Smallest edge of a block whose descriptors are computed, px.
_BLOCK_PX = 48
#: Share of the pixels at either end of the grey scale that may be cut when it is divided.
_TAIL = 0.01
#: Points and radius of the local binary pattern.
_POINTS, _RADIUS_PX = 8, 1
_OF_PAIRS = ("contrast", "homogeneity", "energy", "correlation")
#: Periods between which the slope of the spectrum is fitted, px.
_SLOPE_PX = (4.0, 32.0)

#: Name, words and unit of each map; lengths are in px until the pixel size is known.
_NAMES: dict[str, tuple[str, str]] = {
    "entropy": ("Entropy of neighbouring grey levels", "bit"),
    "contrast": ("Contrast of neighbouring grey levels", "1"),
    "homogeneity": ("Homogeneity of neighbouring grey levels", "1"),
    "energy": ("Energy of neighbouring grey levels", "1"),
    "correlation": ("Correlation of neighbouring grey levels", "1"),
    "pattern_entropy": ("Entropy of local binary patterns", "bit"),
    "spectral_slope": ("Slope of the power spectrum", "1"),
    "wave_length": ("Wave length of the texture", "px"),
    "anisotropy": ("Anisotropy of the texture", "1"),
}

NO_TEXTURE = "one grey level: no texture"


class DescriptorsSettings(Settings):
    """How neighbouring grey levels are compared."""

    levels: int = Field(
        default=16, ge=4, le=64, description="Steps into which the grey levels of a cell are divided for their pairs."
    )
    distance_px: int = Field(default=2, ge=1, le=32, description="Distance of the two pixels of a pair, px.")


@dataclass(frozen=True)
class DescribedCell:
    """Descriptors of one cell: value and interval of each, or why there are none."""

    values: dict[str, Interval]
    reason: str
    pixel_size_um: float | None


class Descriptors(CellAnalyzer):
    """Describes the texture of each cell.

    Parameters
    ----------
    settings : DescriptorsSettings, optional
    """

    name: ClassVar[str] = "descriptors"

    def __init__(self, settings: DescriptorsSettings | None = None) -> None:
        self.settings = settings or DescriptorsSettings()

    @property
    def halo(self) -> int:
        """Nothing outside a cell is looked at, px."""
        return 0

    def process(self, block: NDArray[np.float32], info: BlockInfo) -> DescribedCell | None:
        """Describe one cell."""
        cell = cell_of(block, info)
        if cell is None:
            return None
        values = self._of_blocks(cell)
        return DescribedCell(values, "" if values else NO_TEXTURE, info.pixel_size_um)

    def _of_blocks(self, cell: Cell) -> dict[str, Interval]:
        image, valid = np.ascontiguousarray(cell.image[cell.core]), cell.valid[cell.core]
        low, high = (float(level) for level in np.quantile(image[valid], [_TAIL, 1 - _TAIL]))
        if high - low < 1e-6:
            return {}
        scaled = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
        blocks = blocks_along(image.shape, _BLOCK_PX)
        edges_y, edges_x = (block_edges(size, number) for size, number in zip(image.shape, blocks, strict=True))
        found = {name: np.full(blocks, np.nan) for name in _NAMES}
        for i, j in np.ndindex(*blocks):
            part = slice(edges_y[i], edges_y[i + 1]), slice(edges_x[j], edges_x[j + 1])
            if valid[part].mean() < 0.9:
                continue
            for name, value in describe(scaled[part], self.settings).items():
                found[name][i, j] = value
        return {name: spatial_mean_interval(values) for name, values in found.items()}

    def merge(self, partials: Iterable[tuple[int, int, DescribedCell | None]], grid_shape: tuple[int, int]) -> Result:
        """Join the cells into a map of each descriptor, ``texture_entropy`` first."""
        cells = list(measured_cells(partials))
        sizes = {cell.pixel_size_um for _, _, cell in cells}
        scale, unit = (sizes.pop(), "um") if len(sizes) == 1 and None not in sizes else (1.0, "px")
        reasons = {(row, column): cell.reason for row, column, cell in cells}
        maps = []
        for name, (label, of) in _NAMES.items():
            by = (scale or 1.0) if of == "px" else 1.0
            intervals = [(row, column, _scaled(cell.values.get(name, UNKNOWN), by)) for row, column, cell in cells]
            maps.append(
                grid_map(f"texture_{name}", label, unit if of == "px" else of, intervals, grid_shape, None, reasons)
            )
        pairs = (
            f"pairs of pixels {self.settings.distance_px} px apart in {self.settings.levels} grey levels of each cell"
        )
        return Result(
            self.name,
            tuple(maps),
            notes=(
                f"texture: {pairs} (Haralick et al. 1973), patterns of {_POINTS} neighbours, spectrum and structure "
                "tensor; noise raises entropy and contrast and lowers correlation, energy and anisotropy: compare "
                "cells of one scan only",
            ),
        )


def describe(image: NDArray[np.float32], settings: DescriptorsSettings | None = None) -> dict[str, float]:
    """Return the texture descriptors of an image.

    Parameters
    ----------
    image : ndarray of float32, shape (h, w)
        In [0, 1], over the range that is divided into grey levels; at least 32 x 32 px.
    settings : DescriptorsSettings, optional

    Returns
    -------
    dict of str to float
        ``entropy`` (bit), ``contrast``, ``homogeneity``, ``energy`` and ``correlation`` of the co-occurrence matrix,
        mean over four directions (R. M. Haralick, K. Shanmugam, I. Dinstein, IEEE Trans. SMC 1973, 3, 610);
        ``pattern_entropy`` (bit) of rotation invariant local binary patterns (T. Ojala et al., IEEE TPAMI 2002, 24,
        971); ``spectral_slope``, the exponent of the power spectrum between periods of 4 and 32 px, noise taken off;
        ``wave_length`` (px, `texture_length_px`); ``anisotropy``, 0 to 1, of the structure tensor of the whole image.

    Examples
    --------
    >>> stripes = np.tile((np.arange(64) % 8 < 4).astype(np.float32), (64, 1))
    >>> round(describe(stripes)["anisotropy"], 2)
    1.0
    """
    from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

    given = settings or DescriptorsSettings()
    levels = np.clip((image * given.levels).astype(np.int64), 0, given.levels - 1).astype(np.uint8)
    angles = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]
    step = [given.distance_px]
    pairs = graycomatrix(levels, step, angles, given.levels, True, True)  # type: ignore[no-untyped-call]
    share = pairs.mean(axis=(2, 3))
    of_pairs = {
        name: float(np.mean(graycoprops(pairs, name)))  # type: ignore[no-untyped-call]
        for name in _OF_PAIRS
    }
    bytes_of = (255 * image).astype(np.uint8)
    pattern = local_binary_pattern(bytes_of, _POINTS, _RADIUS_PX, "uniform")  # type: ignore[no-untyped-call]
    number = np.bincount(pattern.astype(np.int64).ravel(), minlength=_POINTS + 2) / pattern.size
    tensor = structure_tensor(image, 1.0)
    along = math.hypot(float(tensor.difference.mean()), float(tensor.product.mean()))
    energy = float(tensor.energy.mean())
    length = texture_length_px(image)
    return {
        "entropy": _entropy(share),
        **of_pairs,
        "pattern_entropy": _entropy(number),
        "spectral_slope": _slope(image),
        "wave_length": length if math.isfinite(length) else math.nan,
        "anisotropy": along / energy if energy > 0 else math.nan,
    }


def _entropy(share: NDArray[np.float64]) -> float:
    some = share[share > 0]
    return float(-(some * np.log2(some)).sum())


def _slope(image: NDArray[np.float32]) -> float:
    """Return the exponent of the power over the frequency, by least squares on logarithms; NaN without such power."""
    spectrum = spectrum_of(image)
    signal = spectrum.power - spectrum.noise[None, :]
    frequency = np.hypot(spectrum.across, spectrum.along)
    used = (frequency >= 1 / _SLOPE_PX[1]) & (frequency <= 1 / _SLOPE_PX[0])
    rings = np.round(np.log2(frequency[used]) * 3).astype(int)
    points = [
        (float(np.log(frequency[used][rings == ring]).mean()), float(signal[used][rings == ring].mean()))
        for ring in np.unique(rings)
    ]
    kept = [(at, math.log(power)) for at, power in points if power > 0]
    if len(kept) < 3:
        return math.nan
    at, power = np.array(kept).T
    return float(np.polyfit(at, power, 1)[0])


def _scaled(interval: Interval, scale: float) -> Interval:
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)


def make(settings: DescriptorsSettings, runtime: Runtime) -> Descriptors:
    """Make the analyzer for a recipe."""
    return Descriptors(settings)
