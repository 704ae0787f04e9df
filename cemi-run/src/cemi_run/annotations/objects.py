"""From annotations to tables of objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.annotation import Annotation
from cemi_core.model.objects import Objects
from cemi_run.annotations.bridges import bridged
from cemi_run.annotations.geometry import Outline, area_and_centroid
from cemi_run.annotations.grouping import grouped
from cemi_run.annotations.outlines import shapes_of


def objects_of(annotation: Annotation, name: str = "objects", label: str = "Objects") -> Objects:
    """Return one row for each area and each point that was drawn; open lines have no area and are left out.

    Parameters
    ----------
    annotation : Annotation
        Areas of one group are one object. Where only a mask is known, its connected areas are the objects.
    name, label : str
        As in `Objects`.

    Returns
    -------
    Objects
        The area of an object is that inside its outline less its holes; its outline walks to holes and further parts
        over bridges of no width. An object is ``cut`` if it reaches the centre of an outermost pixel.
    """
    rows: list[tuple[float, float, float, int, bool, NDArray[np.float64]]] = []
    for shapes in grouped(shapes_of(annotation)):
        if shapes[0].kind == "points":
            points = np.concatenate([shape.outline_px for shape in shapes])
            rows += [(y, x, 0.0, shapes[0].class_index, False, np.empty((0, 2))) for y, x in points]
        if shapes[0].kind != "area":
            continue
        parts = [Outline(shape.outline_px, shape.holes_px) for shape in shapes]
        area, y, x = area_and_centroid(parts)
        if area > 0:
            outline = bridged(parts)
            cut = bool((outline.min(0) <= 0).any() or (outline.max(0) >= np.array(annotation.shape) - 1).any())
            rows.append((y, x, area, shapes[0].class_index, cut, outline))
    outlines = [row[5] for row in rows]
    return Objects(
        name=name,
        label=label,
        y_px=np.array([row[0] for row in rows], np.float64),
        x_px=np.array([row[1] for row in rows], np.float64),
        area_px=np.array([row[2] for row in rows], np.float64),
        class_index=np.array([row[3] for row in rows], np.int32),
        classes=annotation.classes,
        outline_px=np.concatenate([np.empty((0, 2)), *outlines]).astype(np.float32),
        outline_start=np.concatenate([[0], np.cumsum([len(outline) for outline in outlines])]).astype(np.int64),
        cut=np.array([row[4] for row in rows], np.bool_),
    )
