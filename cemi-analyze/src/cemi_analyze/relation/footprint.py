"""The mean of a map under each indent: cells weighted by how much of them the indent covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap
from cemi_core.numeric.significance import NORMAL_975

#: At least this share of an indent must lie on measured cells.
MIN_MEASURED = 0.5


def disc_below(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area of the unit disc that lies left of ``x`` and above ``y`` (towards smaller y).

    Parameters
    ----------
    x, y : ndarray of float, broadcastable
        In radii from the centre of the disc.
    """
    x, y = np.broadcast_arrays(np.clip(x, -1.0, 1.0), np.clip(y, -1.0, 1.0))
    inside = x**2 + y**2 < 1
    corner_inside = np.pi / 4 + _strip(x) + _strip(y) + x * y
    left, above = np.pi / 2 + 2 * _strip(x), np.pi / 2 + 2 * _strip(y)
    # Outside the disc the lines do not cross in it: what both leave is one cap, or all but two.
    corner_outside = np.where(
        (x >= 0) & (y >= 0),
        left + above - np.pi,
        np.where((x < 0) & (y < 0), 0.0, np.where(x < 0, left, above)),
    )
    return np.asarray(np.where(inside, corner_inside, corner_outside))


def _strip(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral of sqrt(1 - t^2) from 0 to ``x``."""
    return np.asarray((x * np.sqrt(np.maximum(1 - x * x, 0)) + np.arcsin(x)) / 2)


def cells_under(
    grid: Grid,
    pixel_size_um: float,
    x_um: NDArray[np.float64],
    y_um: NDArray[np.float64],
    diameter_um: NDArray[np.float64],
) -> csr_array:
    """Return which share of each indent's area lies in each cell of a grid.

    Parameters
    ----------
    grid : Grid
    pixel_size_um : float
    x_um, y_um : ndarray of float, shape (n,)
        Centres of the indents, from the centre of the mosaic's first pixel.
    diameter_um : ndarray of float, shape (n,)

    Returns
    -------
    scipy.sparse.csr_array of float, shape (n, rows * columns)
        Rows sum to 1, or to less where an indent reaches beyond the mosaic.
    """
    height, width = grid.cell_shape
    edges_y = (np.append(np.arange(grid.rows) * height, grid.shape[0]) - 0.5) * pixel_size_um
    edges_x = (np.append(np.arange(grid.columns) * width, grid.shape[1]) - 0.5) * pixel_size_um
    indents, cells, shares = [], [], []
    for number, (x, y, radius) in enumerate(zip(x_um, y_um, diameter_um / 2, strict=True)):
        rows = _reached(edges_y, y, radius)
        columns = _reached(edges_x, x, radius)
        if not len(rows) or not len(columns):
            continue
        to_y = (edges_y[rows[0] : rows[-1] + 2] - y) / radius
        to_x = (edges_x[columns[0] : columns[-1] + 2] - x) / radius
        area = np.diff(np.diff(disc_below(to_x[None, :], to_y[:, None]), axis=0), axis=1) / np.pi
        cells.append((rows[:, None] * grid.columns + columns[None, :]).ravel())
        shares.append(np.maximum(area, 0.0).ravel())
        indents.append(np.full(area.size, number))
    if not cells:
        return csr_array((len(x_um), grid.rows * grid.columns))
    places = np.concatenate(indents), np.concatenate(cells)
    return csr_array((np.concatenate(shares), places), shape=(len(x_um), grid.rows * grid.columns))


def _reached(edges: NDArray[np.float64], centre: float, radius: float) -> NDArray[np.int64]:
    """Return the cells between ``edges`` that a disc touches."""
    return np.flatnonzero((edges[:-1] < centre + radius) & (edges[1:] > centre - radius))


def without_shared(half: NDArray[np.float64], shared: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return half-widths of intervals without that part, added in quadrature, which all cells share."""
    if shared is None:
        return half
    return np.asarray(np.sqrt(np.maximum(half**2 - np.nan_to_num(shared) ** 2, 0.0)))


def mean_under(grid_map: GridMap, shares: csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of a map under each indent, and its standard error.

    The error is that of the map's own intervals, those of different cells being independent; what is wrong in all cells
    alike is no part of it, since it lowers no correlation.

    Parameters
    ----------
    grid_map : GridMap
    shares : csr_array, shape (n, cells)
        From `cells_under`, or means of its rows.

    Returns
    -------
    value, error : ndarray of float, shape (n,)
        NaN where less than half of the indent lies on measured cells; the error also where an interval is unknown.
    """
    value, half = (
        grid_map.value.ravel(),
        without_shared((grid_map.high - grid_map.low) / 2, grid_map.systematic).ravel(),
    )
    measured = np.isfinite(value)
    covered = np.asarray(shares @ measured.astype(np.float64))
    enough = covered >= MIN_MEASURED
    total = np.where(enough, covered, np.nan)
    mean = np.asarray(shares @ np.where(measured, value, 0.0)) / total
    known = measured & np.isfinite(half)
    variance = np.asarray(shares.power(2) @ np.where(known, (half / NORMAL_975) ** 2, 0.0)) / total**2
    unknown = np.asarray(shares @ (measured & ~known).astype(np.float64)) > 0
    return mean, np.where(unknown, np.nan, np.sqrt(variance))
