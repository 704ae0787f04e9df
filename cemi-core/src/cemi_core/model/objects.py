"""Objects: grains, particles, atoms, indents. One row each, with position, size, class, score and outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import PluginError
from cemi_core.model.classes import ClassLabel


@dataclass(frozen=True)
class ObjectColumn:
    """One measured quantity of every object.

    Attributes
    ----------
    name : str
        Lower case with underscores; a length carries its unit: ``"diameter_um"``.
    label : str
        Words for a figure: ``"Diameter"``.
    unit : str
        ``"um"``, ``"px"``, ``"deg"``; ``"1"`` for a ratio or a count.
    values : ndarray of float64, shape (n,)
        NaN where it could not be measured.
    """

    name: str
    label: str
    unit: str
    values: NDArray[np.float64]


def _no_outline() -> NDArray[np.float32]:
    return np.empty((0, 2), np.float32)


@dataclass(frozen=True)
class Objects:
    """A table of objects, column by column, so that a million of them fit into a few hundred MB.

    Attributes
    ----------
    name : str
        Short plural identifier, lower case with underscores: ``"grains"``.
    label : str
        Words for a figure: ``"Grains"``.
    y_px, x_px : ndarray of float64, shape (n,)
        Centroid in image coordinates, px; the centre of the first pixel is (0, 0).
    area_px : ndarray of float64, shape (n,)
        Area, px^2 (the number of pixels for an object that came from a mask).
    class_index : ndarray of int32, shape (n,)
        Index into ``classes``; 0 for all where there is only one class.
    score : ndarray of float32, shape (n,)
        How sure the detector is, 0 to 1; NaN where it does not say.
    classes : tuple of ClassLabel
        At least one.
    columns : tuple of ObjectColumn
        Further quantities.
    outline_px : ndarray of float32, shape (m, 2)
        Vertices (y, x) of all outlines, one object after the other, closed implicitly; empty if there are none.
    outline_start : ndarray of int64, shape (n + 1,)
        The outline of object i is ``outline_px[outline_start[i] : outline_start[i + 1]]``.
    cut : ndarray of bool, shape (n,)
        True for an object that reached beyond the pixels that were looked at (the image's edge, or the halo of a
        tile): its size is a lower bound.
    """

    name: str
    label: str
    y_px: NDArray[np.float64]
    x_px: NDArray[np.float64]
    area_px: NDArray[np.float64]
    class_index: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    score: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    classes: tuple[ClassLabel, ...] = (ClassLabel("object", "object", "#0072b2"),)
    columns: tuple[ObjectColumn, ...] = ()
    outline_px: NDArray[np.float32] = field(default_factory=_no_outline)
    outline_start: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    cut: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def __post_init__(self) -> None:
        count = len(self.y_px)
        for name, filled in (
            ("class_index", np.zeros(count, np.int32)),
            ("score", np.full(count, np.nan, np.float32)),
            ("cut", np.zeros(count, np.bool_)),
            ("outline_start", np.zeros(count + 1, np.int64)),
        ):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, filled)
        lengths = {
            "x_px": len(self.x_px),
            "area_px": len(self.area_px),
            "class_index": len(self.class_index),
            "score": len(self.score),
            "cut": len(self.cut),
            "outline_start": len(self.outline_start) - 1,
            **{column.name: len(column.values) for column in self.columns},
        }
        wrong = {name: length for name, length in lengths.items() if length != count}
        if wrong:
            raise PluginError(f"objects '{self.name}' have {count} positions, but {wrong} entries in other columns")
        if count and not 0 <= int(self.class_index.min()) <= int(self.class_index.max()) < len(self.classes):
            raise PluginError(f"objects '{self.name}' name a class beyond the {len(self.classes)} of their legend")

    def __len__(self) -> int:
        return len(self.y_px)

    def outline(self, index: int) -> NDArray[np.float32]:
        """Return the vertices (y, x) of the outline of one object, shape (k, 2), px; empty if it has none."""
        return self.outline_px[self.outline_start[index] : self.outline_start[index + 1]]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return the values of a further quantity.

        Raises
        ------
        KeyError
            There is none of that name.
        """
        for column in self.columns:
            if column.name == name:
                return column.values
        raise KeyError(name)

    def selected(self, keep: NDArray[Any]) -> Objects:
        """Return some of the objects, in the order of ``keep``: a mask of shape (n,) or an array of indices."""
        indices = np.flatnonzero(keep) if keep.dtype == np.bool_ else np.asarray(keep, np.int64)
        lengths = np.diff(self.outline_start)[indices]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # the k-th vertex of the new list comes from where its outline began, plus how far into that outline it is
        source = np.repeat(self.outline_start[:-1][indices] - start[:-1], lengths) + np.arange(start[-1])
        return replace(
            self,
            y_px=self.y_px[indices],
            x_px=self.x_px[indices],
            area_px=self.area_px[indices],
            class_index=self.class_index[indices],
            score=self.score[indices],
            columns=tuple(replace(column, values=column.values[indices]) for column in self.columns),
            outline_px=self.outline_px[source],
            outline_start=start,
            cut=self.cut[indices],
        )


def joined_objects(parts: Sequence[Objects]) -> Objects:
    """Return the objects of several parts of an image as one table, in the order of the parts.

    Parameters
    ----------
    parts : sequence of Objects
        At least one; all with the same classes and columns, in image coordinates.
    """
    first = parts[0]
    offsets = np.concatenate([[0], np.cumsum([len(part.outline_px) for part in parts])])
    starts = [part.outline_start[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]
    return Objects(
        name=first.name,
        label=first.label,
        y_px=np.concatenate([part.y_px for part in parts]),
        x_px=np.concatenate([part.x_px for part in parts]),
        area_px=np.concatenate([part.area_px for part in parts]),
        class_index=np.concatenate([part.class_index for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        classes=first.classes,
        columns=tuple(
            replace(column, values=np.concatenate([part.columns[number].values for part in parts]))
            for number, column in enumerate(first.columns)
        ),
        outline_px=np.concatenate([part.outline_px for part in parts]),
        outline_start=np.concatenate([*starts, offsets[-1:]]).astype(np.int64),
        cut=np.concatenate([part.cut for part in parts]),
    )
