"""What is wrong with annotations: shapes outside, crossing themselves, drawn twice; inverted masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.annotation import AnnotatedShape, Annotation
from cemi_run.annotations.clipping import clipped_area, clipped_line
from cemi_run.annotations.geometry import Vertices, crosses_itself, opened, signed_area
from cemi_run.annotations.raster import background_index, rasterize

#: Shapes may reach this far beyond the image without a word, px: people draw up to the edge and a little further.
_MARGIN_PX = 1.0
#: A mask looks inverted if a class has this share of it, less than this of the others' median, and fits turned round.
_MUCH, _LITTLE = 0.6, 0.4
#: Of a single mask, the objects cover so much that background and object are probably swapped.
_ALMOST_ALL = 0.9


def repaired(shapes: Sequence[AnnotatedShape], size: tuple[int, int]) -> tuple[list[AnnotatedShape], list[str]]:
    """Return shapes that fit an image, and sentences on what was changed or is odd.

    Parameters
    ----------
    shapes : sequence of AnnotatedShape
    size : tuple of int
        (height, width) of the image, px.
    """
    kept: list[AnnotatedShape] = []
    told = {"flat": 0, "outside": 0, "clipped": 0, "crossing": 0, "twice": 0}
    seen: set[tuple[object, ...]] = set()
    for shape in shapes:
        shape = _without_repeats(shape)
        if _is_flat(shape):
            told["flat"] += 1
            continue
        key = (shape.kind, shape.class_index, *(ring.tobytes() for ring in (shape.outline_px, *shape.holes_px)))
        if key in seen:
            told["twice"] += 1
            continue
        seen.add(key)
        told["crossing"] += shape.kind == "area" and crosses_itself(shape.outline_px)
        inside = [shape] if _fits(shape.outline_px, size) else _clipped(shape, size)
        told["outside"] += not inside
        told["clipped"] += bool(inside) and inside[0] is not shape
        kept += inside
    return kept, _sentences(told)


def _sentences(told: dict[str, int]) -> list[str]:
    words = {
        "flat": "shapes have no area or length and were left out",
        "outside": "shapes lie outside the image and were left out",
        "clipped": "shapes reach beyond the image and were clipped to it",
        "crossing": "outlines cross themselves; where they cover a place twice it counts as outside",
        "twice": "shapes were drawn twice and were read once",
    }
    return [f"{count} {words[key]}" for key, count in told.items() if count]


def _without_repeats(shape: AnnotatedShape) -> AnnotatedShape:
    if shape.kind != "area":
        return shape
    return replace(shape, outline_px=opened(shape.outline_px), holes_px=tuple(opened(hole) for hole in shape.holes_px))


def _is_flat(shape: AnnotatedShape) -> bool:
    if shape.kind == "area":
        return len(shape.outline_px) < 3 or (
            abs(signed_area(shape.outline_px)) < 1e-9 and not crosses_itself(shape.outline_px)
        )
    if shape.kind == "line":
        return len(shape.outline_px) < 2 or bool((shape.outline_px == shape.outline_px[:1]).all())
    return not len(shape.outline_px)


def _fits(points: Vertices, size: tuple[int, int]) -> bool:
    return bool((points >= -0.5 - _MARGIN_PX).all() and (points <= np.array(size) - 0.5 + _MARGIN_PX).all())


def _clipped(shape: AnnotatedShape, size: tuple[int, int]) -> list[AnnotatedShape]:
    if shape.kind == "points":
        inside = ((shape.outline_px >= -0.5) & (shape.outline_px <= np.array(size) - 0.5)).all(1)
        return [replace(shape, outline_px=shape.outline_px[inside])] if inside.any() else []
    if shape.kind == "line":
        return [replace(shape, outline_px=piece) for piece in clipped_line(shape.outline_px, size)]
    outline = clipped_area(shape.outline_px, size)
    if len(outline) < 3 or abs(signed_area(outline)) < 1e-9:
        return []
    holes = (clipped_area(hole, size) for hole in shape.holes_px)
    return [replace(shape, outline_px=outline, holes_px=tuple(hole for hole in holes if len(hole) >= 3))]


def class_shares(annotation: Annotation) -> NDArray[np.float64]:
    """Return the share of the pixels that each class of an annotation has, shape (number of classes,)."""
    mask = rasterize(annotation)
    counts = np.bincount(mask[mask >= 0], minlength=len(annotation.classes)) if annotation.classes else np.zeros(0)
    return np.asarray(counts, np.float64) / mask.size


def inverted_notes(annotations: Sequence[Annotation]) -> list[str]:
    """Return for each annotation a sentence if its mask looks inverted, else an empty text.

    Compared with the other masks of the set if there are three or more; else told from a background that covers hardly
    anything. Only masks of two classes are looked at.
    """
    told = [""] * len(annotations)
    looked = [
        number
        for number, annotation in enumerate(annotations)
        if annotation.mask is not None and len(annotation.classes) == 2
    ]
    shares = np.array([class_shares(annotations[number])[1] for number in looked])
    for place, number in enumerate(looked):
        share, others = float(shares[place]), np.delete(shares, place)
        background, name = background_index(annotations[number].classes), annotations[number].classes[1].name
        if len(others) >= 2:
            typical = float(np.median(others))
            apart, turned = abs(share - typical), abs(1 - share - typical)
            crossed = (share > _MUCH and typical < _LITTLE) or (share < _LITTLE and typical > _MUCH)
            if crossed and turned < apart / 2:
                told[number] = (
                    f"the mask looks inverted: '{name}' covers {share:.0%} of it, and {typical:.0%} of the other masks"
                )
        elif background == 0 and share > _ALMOST_ALL:
            told[number] = f"'{name}' covers {share:.0%} of the mask: check that it is not inverted"
    return told
