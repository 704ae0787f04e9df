"""Objects that consist of several shapes."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.model.annotation import AnnotatedShape


def grouped(shapes: Iterable[AnnotatedShape]) -> list[list[AnnotatedShape]]:
    """Return the shapes of each object, in the order of their first shape.

    Shapes of one group, class and kind are one object; a shape without a group is one of its own.
    """
    objects: dict[tuple[object, ...], list[AnnotatedShape]] = {}
    for number, shape in enumerate(shapes):
        key = ("alone", number) if shape.group is None else (shape.group, shape.class_index, shape.kind)
        objects.setdefault(key, []).append(shape)
    return list(objects.values())
