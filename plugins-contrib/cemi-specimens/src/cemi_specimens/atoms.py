"""What the atomic specimens share: columns of atoms as a dark-field probe sees them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import cKDTree

from cemi_core.errors import UsageError
from cemi_core.model.classes import ClassLabel
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.settings import PositiveLengthUm
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_specimens.label_objects import lies_in, number_column
from cemi_specimens.plane import Plane

#: Dark-field intensity of an atom grows as Z to this power (Pennycook, Ultramicroscopy 30 (1989) 58, gives 1.7).
Z_POWER = 1.7
ATOMIC_NUMBER = {
    "C": 6, "Si": 14, "Cr": 24, "Mn": 25, "Fe": 26, "Co": 27, "Ni": 28, "Se": 34, "Te": 52, "W": 74, "Au": 79,
}  # fmt: skip
_MIN_PX = 4.0
_REACH = 4.5  # deviations of the probe after which it is cut off


class AtomSettings(SpecimenSettings):
    """What every image of atoms can be told."""

    pixel_size: PositiveLengthUm = Field(1e-5, description="Edge of a pixel, such as '10 pm'.")
    blur_px: float = Field(0.0, ge=0, le=8, description="Standard deviation of a further blur, px.")
    probe_nm: float = Field(0.08, gt=0, le=1, description="Full width of the probe at half its maximum, nm.")
    rotation_deg: float = Field(7.0, description="Rotation of the lattice against x, towards +y, degrees.")
    background_grey: float = Field(0.06, ge=0, le=0.5, description="Grey level of vacuum or support.")
    peak_grey: float = Field(0.9, gt=0, le=1, description="Grey level over the brightest possible column.")


@dataclass(frozen=True)
class Columns:
    """Columns of atoms near a box; all arrays have shape (n,).

    Attributes
    ----------
    number : ndarray of int64
        The value of each column in the labels.
    y_px, x_px : ndarray of float64
        Position.
    strength : ndarray of float64
        Sum of ``Z**1.7`` over its atoms.
    kind : ndarray of int32
        Index into the classes of the specimen.
    extra : mapping of str to ndarray of float64
        Further quantities, by the names in `AtomPlane.extra_columns`.
    """

    number: NDArray[np.int64]
    y_px: NDArray[np.float64]
    x_px: NDArray[np.float64]
    strength: NDArray[np.float64]
    kind: NDArray[np.int32]
    extra: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def selected(self, keep: NDArray[np.bool_]) -> Columns:
        """Return some of the columns."""
        return Columns(
            self.number[keep],
            self.y_px[keep],
            self.x_px[keep],
            self.strength[keep],
            self.kind[keep],
            {name: values[keep] for name, values in self.extra.items()},
        )


class AtomPlane(Plane):
    """An annular dark-field image of columns of atoms: each adds a Gaussian probe of its strength.

    A specimen derives from it and says where columns are (`columns`), what kinds there are, how far neighbours are
    apart and how strong a column can be.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("atom",)
    has_labels: ClassVar[bool] = True
    #: Name, words and unit of the further quantities of `Columns.extra`.
    extra_columns: ClassVar[tuple[tuple[str, str, str], ...]] = (("height_nm", "Height", "nm"),)
    classes: ClassVar[tuple[ClassLabel, ...]]
    settings: AtomSettings

    def __init__(self, settings: AtomSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        if self.neighbour_px < _MIN_PX:
            most_pm = 1000 * self.neighbour_nm / _MIN_PX
            raise UsageError(
                f"a pixel of {settings.pixel_size * 1e6:.4g} pm is too coarse for columns {self.neighbour_nm:.3f} nm "
                f"apart: set pixel_size to at most '{math.floor(most_pm)} pm'"
            )
        if settings.probe_nm / 1000 / settings.pixel_size < 1:
            raise UsageError(f"a probe of {settings.probe_nm} nm is narrower than a pixel: set probe_nm or pixel_size")

    @property
    @abstractmethod
    def neighbour_nm(self) -> float:
        """Distance of neighbouring columns in projection, nm."""

    @property
    @abstractmethod
    def brightest(self) -> float:
        """Sum of ``Z**1.7`` over the strongest possible column."""

    @abstractmethod
    def columns(self, box: Box) -> Columns:
        """Return at least all columns that lie in a box."""

    @property
    def neighbour_px(self) -> float:
        """Distance of neighbouring columns in projection, px."""
        return self.px(self.neighbour_nm / 1000)

    @property
    def probe_px(self) -> float:
        """Standard deviation of the probe, px."""
        return self.px(self.settings.probe_nm / 1000) / (2 * math.sqrt(2 * math.log(2)))

    def support(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels under the atoms."""
        return np.full((box.height, box.width), self.settings.background_grey, np.float32)

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels that the probe gives."""
        s, sigma = self.settings, self.probe_px
        grey = self.support(box)
        reach = math.ceil(_REACH * sigma)
        found = self.columns(box.grown(reach + 1))
        # in an order that does not depend on the box: sums of floats do
        order = np.argsort(found.number)
        rows = np.arange(box.y, box.y + box.height, dtype=np.float64)
        columns = np.arange(box.x, box.x + box.width, dtype=np.float64)
        scale = (s.peak_grey - s.background_grey) / self.brightest / self._crowding()
        for y, x, strength in zip(found.y_px[order], found.x_px[order], scale * found.strength[order], strict=True):
            top, left = max(round(y) - reach - box.y, 0), max(round(x) - reach - box.x, 0)
            bottom, right = round(y) + reach + 1 - box.y, round(x) + reach + 1 - box.x
            if bottom <= 0 or right <= 0 or top >= box.height or left >= box.width:
                continue
            along_y = np.exp(-((rows[top:bottom] - y) ** 2) / (2 * sigma**2))
            along_x = np.exp(-((columns[left:right] - x) ** 2) / (2 * sigma**2))
            grey[top:bottom, left:right] += (strength * along_y[:, None] * along_x[None, :]).astype(np.float32)
        return grey

    def _crowding(self) -> float:
        """Return how much of its neighbours a wide probe adds to a column, at most: the area it covers over theirs."""
        return max(1.0, 1.05 * 2 * math.pi * self.probe_px**2 / (math.sqrt(3) / 2 * self.neighbour_px**2))

    @property
    def radius_px(self) -> float:
        """Radius of the disc that stands for a column in mask and labels, px: 0.4 of the neighbours' distance."""
        return 0.4 * self.neighbour_px

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of discs around the columns and the number of each."""
        labels = np.zeros((box.height, box.width), np.int64)
        found = self.columns(box.grown(math.ceil(self.radius_px) + 1))
        if len(found.number):
            rows, columns = np.mgrid[box.y : box.y + box.height, box.x : box.x + box.width].astype(np.float64)
            tree = cKDTree(np.column_stack([found.y_px, found.x_px]))
            away, nearest = tree.query(np.stack([rows, columns], axis=-1), distance_upper_bound=self.radius_px)
            inside = np.isfinite(away)
            labels[inside] = found.number[nearest[inside]]
        return SpecimenTruth(masks={"atom": labels != 0}, labels=labels)

    def objects(self, box: Box) -> Objects:
        """Return the columns in a box: exact position, kind, strength and further quantities."""
        near = self.columns(box.grown(1))
        found = near.selected(lies_in(box, near.y_px, near.x_px))
        columns = [number_column(found.number), ObjectColumn("z_power_sum", "Sum of Z^1.7", "1", found.strength)]
        columns += [ObjectColumn(name, label, unit, found.extra[name]) for name, label, unit in self.extra_columns]
        return Objects(
            "atoms",
            "Columns of atoms",
            found.y_px,
            found.x_px,
            np.full(len(found.number), math.pi * self.radius_px**2),
            class_index=found.kind,
            classes=self.classes,
            columns=tuple(columns),
        )


def lattice_indices(
    box: Box, a_px: tuple[float, float], b_px: tuple[float, float], margin_px: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return i, j and y, x (px) of the lattice points ``i a + j b`` within a margin of a box.

    Parameters
    ----------
    box : Box
        Pixels wanted.
    a_px, b_px : (float, float)
        Lattice vectors (y, x), px.
    margin_px : float
        How far outside the box points are kept.
    """
    basis = np.array([[a_px[0], b_px[0]], [a_px[1], b_px[1]]])
    low = np.array([box.y, box.x]) - margin_px
    high = np.array([box.y + box.height, box.x + box.width]) + margin_px
    corners = np.array([[low[0], low[0], high[0], high[0]], [low[1], high[1], low[1], high[1]]])
    turned = np.linalg.solve(basis, corners)
    first, last = np.floor(turned.min(axis=1)).astype(int), np.ceil(turned.max(axis=1)).astype(int)
    i, j = (grid.ravel() for grid in np.mgrid[first[0] : last[0] + 1, first[1] : last[1] + 1])
    y, x = i * a_px[0] + j * b_px[0], i * a_px[1] + j * b_px[1]
    near = (y >= low[0]) & (y <= high[0]) & (x >= low[1]) & (x <= high[1])
    return i[near].astype(np.int64), j[near].astype(np.int64), y[near], x[near]


def turned(vector: tuple[float, float], angle_deg: float) -> tuple[float, float]:
    """Return a vector (y, x) turned from x towards y by an angle."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    y, x = vector
    return y * cos + x * sin, x * cos - y * sin
