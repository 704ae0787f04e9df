"""Objects from labelled pixels: each once, whatever the tiles; and maps of their number and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import chi2
from scipy.stats import t as student_t

from cemi_core.model.classes import ClassLabel
from cemi_core.model.grid import Cells, FrameGrid
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.result import GridMap
from cemi_core.model.stages import BlockInfo

_ONE_CLASS = (ClassLabel("object", "object", "#0072b2"),)
_UM2_PER_MM2 = 1e6


def objects_in_block(
    labels: NDArray[np.integer],
    info: BlockInfo,
    name: str,
    label: str,
    *,
    classes: tuple[ClassLabel, ...] = _ONE_CLASS,
    class_of: NDArray[np.integer] | None = None,
    score_of: NDArray[np.floating] | None = None,
) -> Objects:
    """Return the objects of a block that belong to its cell, in coordinates of the whole image.

    An object belongs to the cell that holds its first pixel: the topmost one, and of several the leftmost. Blocks whose
    cells cover an image without overlap thus give each object once, and give its size exactly as the whole image
    would, if it ends within the halo of its cell. One that reaches the edge of the block, where that is no edge of the
    image, is cut: it is marked in ``cut``, its size is a lower bound, and its remains may be counted again by a
    neighbour. One that touches the edge of the image is marked too.

    Parameters
    ----------
    labels : ndarray of int, shape (h, w)
        Number of the object in each pixel of the block (with halo), 0 for none; any numbers.
    info : BlockInfo
        Where the block lies: ``core`` and ``box``, and ``image_shape`` to tell edges of the image.
    name, label : str
        See `Objects`.
    classes : tuple of ClassLabel
    class_of, score_of : ndarray, shape (n,), optional
        Class and score of the object of each number in ascending order of the numbers that occur.

    Returns
    -------
    Objects
        With the columns ``diameter_px`` (of the circle of equal area, 2 sqrt(A / pi)), ``diameter_um`` where the pixel
        size is known, ``major_px``, ``minor_px`` (axes of the ellipse of equal second moments) and ``angle_deg`` (of
        the major axis against x, counter-clockwise as seen, 0 to 180), and outlines along the edges of pixels.
    """
    numbers, first, compact = _numbered(labels)
    origin_y, origin_x = info.origin_px
    height, width = labels.shape
    rows, columns = info.core if info.core is not None else (slice(0, height), slice(0, width))
    y0, y1, _ = rows.indices(height)
    x0, x1, _ = columns.indices(width)
    first_y, first_x = np.divmod(first, width)
    own = np.flatnonzero((first_y >= y0) & (first_y < y1) & (first_x >= x0) & (first_x < x1))
    if not len(own):
        return no_objects(name, label, classes=classes, with_um=info.pixel_size_um is not None)
    boxes = ndimage.find_objects(compact, max_label=len(numbers))
    moments = _moments(compact, first_y, first_x)[:, own]
    area, mean_y, mean_x = moments[0], moments[1], moments[2]
    outlines = [_outline(compact[boxes[n]] == n + 1, boxes[n]) for n in own]
    edges = np.array([[s[0].start, height - s[0].stop, s[1].start, width - s[1].stop] for s in (boxes[n] for n in own)])
    start = np.concatenate([[0], np.cumsum([len(outline) for outline in outlines])]).astype(np.int64)
    return Objects(
        name=name,
        label=label,
        y_px=first_y[own] + origin_y + mean_y,
        x_px=first_x[own] + origin_x + mean_x,
        area_px=area,
        class_index=np.zeros(len(own), np.int32) if class_of is None else class_of[own].astype(np.int32),
        score=np.full(len(own), np.nan, np.float32) if score_of is None else score_of[own].astype(np.float32),
        classes=classes,
        columns=shape_columns(area, moments[3:], info.pixel_size_um),
        outline_px=(np.concatenate(outlines) + np.array([origin_y, origin_x])).astype(np.float32),
        outline_start=start,
        cut=(edges == 0).any(axis=1),
    )


def no_objects(
    name: str, label: str, *, classes: tuple[ClassLabel, ...] = _ONE_CLASS, with_um: bool = False
) -> Objects:
    """Return an empty table with the columns that `objects_in_block` gives."""
    nothing = np.empty(0)
    columns = shape_columns(nothing, np.empty((3, 0)), 1.0 if with_um else None)
    return Objects(name, label, nothing, nothing, nothing, classes=classes, columns=columns)


def _numbered(labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64], NDArray[np.int32]]:
    """Return the numbers that occur, the flat index of the first pixel of each, and labels counted from 1 in order."""
    flat = labels.ravel()
    where = np.flatnonzero(flat)
    numbers, first, inverse = np.unique(flat[where], return_index=True, return_inverse=True)
    compact = np.zeros(flat.size, np.int32)
    compact[where] = inverse + 1
    return numbers, where[first].astype(np.int64), compact.reshape(labels.shape)


def _moments(compact: NDArray[np.int32], first_y: NDArray[np.int64], first_x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return area, mean y, mean x, variance of y, of x, and covariance of every object, shape (6, n), px.

    Counted from the first pixel of each object, so that all digits are the same wherever the block lies.
    """
    y, x = np.nonzero(compact)
    which = compact[y, x] - 1
    dy, dx = (y - first_y[which]).astype(np.float64), (x - first_x[which]).astype(np.float64)
    area = np.bincount(which).astype(np.float64)
    sums = [np.bincount(which, weights=weight) / area for weight in (dy, dx, dy * dy, dx * dx, dy * dx)]
    return np.array(
        [area, sums[0], sums[1], sums[2] - sums[0] ** 2, sums[3] - sums[1] ** 2, sums[4] - sums[0] * sums[1]]
    )


def shape_columns(
    area: NDArray[np.float64], spread: NDArray[np.float64], pixel_size_um: float | None
) -> tuple[ObjectColumn, ...]:
    """Return diameter, axes and direction of each object.

    Axes as in scikit-image's ``regionprops``: pixels are points, so that a line one pixel wide has no minor axis.

    Parameters
    ----------
    area : ndarray of float, shape (n,)
        Pixels.
    spread : ndarray of float, shape (3, n)
        Central second moments yy, xx and yx, px^2.
    pixel_size_um : float or None
        Edge of a pixel; with it the diameter is given in micrometres too.
    """
    yy, xx, yx = spread
    half, away = (yy + xx) / 2, np.hypot((xx - yy) / 2, yx)
    diameter = 2 * np.sqrt(area / np.pi)
    columns = [
        ObjectColumn("diameter_px", "Diameter", "px", diameter),
        ObjectColumn("major_px", "Major axis", "px", 4 * np.sqrt(half + away)),
        ObjectColumn("minor_px", "Minor axis", "px", 4 * np.sqrt(np.maximum(half - away, 0))),
        ObjectColumn("angle_deg", "Direction", "deg", np.degrees(0.5 * np.arctan2(-2 * yx, xx - yy)) % 180),
    ]
    if pixel_size_um is not None:
        columns.insert(0, ObjectColumn("diameter_um", "Diameter", "um", diameter * pixel_size_um))
    return tuple(columns)


def _outline(mask: NDArray[np.bool_], place: tuple[slice, slice]) -> NDArray[np.float64]:
    """Return the outer outline of an object along the edges of its pixels, vertices (y, x), shape (k, 2), block px.

    Walks from corner to corner of the pixels, clockwise from its first pixel, the object on the right; pixels that
    touch at a corner belong together. Holes are left out.
    """
    padded = np.pad(mask, 1)
    width = padded.shape[1]
    inside = padded.tobytes()
    # a corner has the number of the pixel at its lower right; of the two pixels ahead, the left one and the right one
    steps = (1, width, -1, -width)
    left, right = (-width, 0, -1, -width - 1), (0, -1, -width - 1, -width)
    start = corner = width + inside[width : 2 * width].index(1)
    direction = 0
    found = [corner]
    while True:
        corner += steps[direction]
        if inside[corner + left[direction]]:
            direction = (direction - 1) % 4
        elif inside[corner + right[direction]]:
            continue
        else:
            direction = (direction + 1) % 4
        if corner == start and direction == 0:
            break
        found.append(corner)
    y, x = np.divmod(np.array(found), width)
    return np.column_stack([y - 1.5 + place[0].start, x - 1.5 + place[1].start])


def object_maps(objects: Objects, grid: Cells, pixel_size_um: float | None = None) -> tuple[GridMap, GridMap]:
    """Return how many objects there are in each cell, per area, and their mean diameter, each with a 95 % interval.

    An object counts in the cell that holds its centroid. The interval of the number is that of a Poisson count
    (Garwood, Biometrika 28 (1936) 437), of the mean that of Student; both take objects as independent. The area is
    that of the whole cell, whether all of it was imaged or not.

    Parameters
    ----------
    objects : Objects
    grid : Grid or FrameGrid
    pixel_size_um : float, optional
        Edge of a pixel; without it areas are in megapixels and diameters in px.

    Returns
    -------
    number, diameter : GridMap
        Named after the objects: ``grains_per_mm2`` and ``grains_diameter``.
    """
    shape = (grid.rows, grid.columns)
    row, column = _cells_of(objects, grid)
    cell = row * grid.columns + column
    count = np.bincount(cell, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)
    per_px = 1e6 if pixel_size_um is None else _UM2_PER_MM2 / pixel_size_um**2
    area = np.array([[(b := grid.box(r, c)).height * b.width for c in range(shape[1])] for r in range(shape[0])])
    low, high = chi2.ppf(0.025, 2 * count) / 2, chi2.ppf(0.975, 2 * count + 2) / 2
    scale = per_px / area
    unit = "1/mm2" if pixel_size_um is not None else "1/Mpx"
    number = GridMap(
        f"{objects.name}_per_{'mm2' if pixel_size_um is not None else 'mpx'}",
        f"{objects.label} per {'mm²' if pixel_size_um is not None else 'Mpx'}",
        unit,
        count * scale,
        np.nan_to_num(low) * scale,
        high * scale,
    )
    size = 2 * np.sqrt(objects.area_px / np.pi) * (pixel_size_um or 1.0)
    sums = [np.bincount(cell, weights=w, minlength=count.size).reshape(shape) for w in (size, size**2)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[0] / count
        error = np.sqrt(np.maximum(sums[1] / count - mean**2, 0) / (count - 1))
        half = np.where(count > 1, student_t.ppf(0.975, np.maximum(count - 1, 1)) * error, np.nan)
    label, unit = f"Mean diameter of {objects.label.lower()}", "um" if pixel_size_um is not None else "px"
    return number, GridMap(f"{objects.name}_diameter", label, unit, mean, mean - half, mean + half)


def placed_in_images(objects: Objects, grid: FrameGrid) -> Objects:
    """Return objects that also say in which image they lie, and where in it.

    Parameters
    ----------
    objects : Objects
        In coordinates of the sheet on which images that stand alone lie side by side.
    grid : FrameGrid

    Returns
    -------
    Objects
        With the columns ``image`` (1 for the first), ``image_y_px`` and ``image_x_px`` before the others; the centre of
        the first pixel of an image is (0, 0).
    """
    image = _cells_of(objects, grid)[1]
    y, x = np.array([(box.y, box.x) for box in grid.boxes], np.float64).T
    places = (
        ObjectColumn("image", "Image", "1", (image + 1).astype(np.float64)),
        ObjectColumn("image_y_px", "y in the image", "px", objects.y_px - y[image]),
        ObjectColumn("image_x_px", "x in the image", "px", objects.x_px - x[image]),
    )
    return replace(objects, columns=(*places, *objects.columns))


def _cells_of(objects: Objects, grid: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the cell that holds the centroid of each object."""
    if isinstance(grid, FrameGrid):
        image = _images_of(objects, grid)
        return np.zeros_like(image), image
    rows = np.array([grid.box(row, 0).y for row in range(grid.rows)])
    columns = np.array([grid.box(0, column).x for column in range(grid.columns)])
    row = np.searchsorted(rows, np.rint(objects.y_px), side="right") - 1
    column = np.searchsorted(columns, np.rint(objects.x_px), side="right") - 1
    return np.clip(row, 0, grid.rows - 1), np.clip(column, 0, grid.columns - 1)


def _images_of(objects: Objects, grid: FrameGrid) -> NDArray[np.int64]:
    """Return the number of the image that holds the centroid of each object, 0 where none does.

    Images that begin in the same row of pixels are searched together, so that the work grows as that of sorting does,
    however many images and objects there are.
    """
    image = np.zeros(len(objects), np.int64)
    y, x = np.rint(objects.y_px), np.rint(objects.x_px)
    order = np.argsort(y, kind="stable")
    top, left, height, width = np.array([(b.y, b.x, b.height, b.width) for b in grid.boxes], np.int64).T
    numbers = np.lexsort((left, top))
    for row in np.split(numbers, np.flatnonzero(np.diff(top[numbers])) + 1):
        ends = top[row[0]], top[row[0]] + height[row].max()
        beside = order[slice(*np.searchsorted(y, ends, sorter=order))]
        found = row[np.maximum(np.searchsorted(left[row], x[beside], side="right") - 1, 0)]
        right, down = x[beside] - left[found], y[beside] - top[found]
        inside = (right >= 0) & (right < width[found]) & (down < height[found])
        image[beside[inside]] = found[inside]
    return image


def notes_on_cut(parts: Sequence[Objects], shape: tuple[int, int] | None, halo: int) -> list[str]:
    """Return a sentence if objects are larger than the halo of the tiles, so that they were cut.

    Parameters
    ----------
    parts : sequence of Objects
        What the cells gave, in image coordinates.
    shape : tuple of int or None
        (height, width) of the image: an object that touches its edge is cut by it, and not by a tile.
    halo : int
        Of the analyzer, px.
    """
    cut = 0
    for part in parts:
        for index in np.flatnonzero(part.cut):
            outline = part.outline(int(index))
            if not len(outline):
                continue  # joined over the cells already: only the edge of the image cuts it
            low, high = outline.min(axis=0) + 0.5, outline.max(axis=0) + 0.5
            at_image_edge = shape is None or bool((low <= 0).any() or high[0] >= shape[0] or high[1] >= shape[1])
            cut += not at_image_edge
    if not cut:
        return []
    name, total = parts[0].label.lower(), sum(map(len, parts))
    return [
        f"{cut} of {total:,} {name} are larger than the {halo} px that are looked at around a cell: their sizes are "
        "lower bounds, and parts of them may be counted twice. Make the cells of the grid larger, or raise the halo."
    ]
