"""Nanowires or fibres on a substrate, with a preferred direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from cemi_core.errors import UsageError
from cemi_core.model.classes import class_labels
from cemi_core.model.mosaic import Box
from cemi_core.model.objects import ObjectColumn, Objects
from cemi_core.model.specimen import SpecimenSettings, SpecimenTruth
from cemi_core.model.stages import Runtime
from cemi_specimens.label_objects import lies_in, number_column
from cemi_specimens.object_numbers import object_numbers
from cemi_specimens.painted import windows
from cemi_specimens.plane import TILE_PX, Plane
from cemi_specimens.random_field import lattice_uniform, number_uniform, smooth_noise

_PER_NODE = 4
_MAX_WIRES = 50000


class WireSettings(SpecimenSettings):
    """What wires look like and how they lie."""

    length_um: float = Field(12.0, gt=0, description="Mean length of a wire, um.")
    length_spread: float = Field(0.2, ge=0, le=0.3, description="Relative standard deviation of the length.")
    width_um: float = Field(0.5, gt=0, description="Mean diameter of a wire, um.")
    width_spread: float = Field(0.15, ge=0, le=0.3, description="Relative standard deviation of the diameter.")
    direction_deg: float = Field(20.0, ge=0, lt=180, description="Mean direction against x, towards +y, degrees.")
    direction_spread_deg: float = Field(25.0, ge=0, description="Standard deviation of the direction, degrees.")
    wires_per_um2: float = Field(0.03, gt=0, description="Number of wires per um2.")
    wire_grey: float = Field(0.5, ge=0, le=1, description="Grey level along the middle of a wire.")
    edge_grey: float = Field(0.92, ge=0, le=1, description="Grey level along its edges.")
    substrate_grey: float = Field(0.15, ge=0, le=1, description="Grey level of the substrate.")


@dataclass(frozen=True)
class _Wires:
    """Wires near a box, in the order in which they are painted; all arrays (n,), lengths in px."""

    number: NDArray[np.int64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    length: NDArray[np.float64]  # with the round ends
    width: NDArray[np.float64]
    angle: NDArray[np.float64]  # radians


class Wires(Plane):
    """Straight wires with round ends, lying on each other.

    Middles are uniform within the squares of a lattice, four in each, so that their density is exact; directions
    follow a normal law (wrapped, the von Mises law's near twin); lengths and diameters a uniform one of the stated
    deviation. A wire's edges are bright, as the secondary yield of a cylinder is 1 / cos of its slope (Reimer 1998).

    Parameters
    ----------
    settings : WireSettings
        Sizes, directions, density, grey levels.
    seed : int
        Draws the wires.
    """

    mask_names: ClassVar[tuple[str, ...]] = ("wire",)
    has_labels: ClassVar[bool] = True
    settings: WireSettings

    def __init__(self, settings: WireSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.require_px("width_um", 1, 2000)
        self.require_px("length_um", 2, 5000)
        near = settings.wires_per_um2 * ((TILE_PX + self.px(settings.length_um)) * self.pixel_size_um) ** 2
        if near > _MAX_WIRES:
            raise UsageError(
                f"wires_per_um2 of {settings.wires_per_um2:g} puts {near:.3g} wires around a tile of {TILE_PX} px; the "
                f"most is {_MAX_WIRES}: lower it or set a smaller pixel_size"
            )

    def properties(self) -> Mapping[str, float]:
        """Return density, mean sizes and directions."""
        s = self.settings
        return {
            "wires_per_um2": s.wires_per_um2,
            "mean_length_um": s.length_um,
            "mean_width_um": s.width_um,
            "mean_direction_deg": s.direction_deg,
            "direction_deviation_deg": s.direction_spread_deg,
        }

    def sharp(self, box: Box) -> NDArray[np.float32]:
        """Return the grey levels before the beam blurs them."""
        s = self.settings
        grey = np.full((box.height, box.width), s.substrate_grey, np.float32)
        grey += np.float32(0.01) * smooth_noise(self.key(127) + 20, box, 1.5)
        wires = self._near(box)
        for index, window in windows(box, wires.y, wires.x, wires.angle, wires.length / 2 + 2):
            radius = wires.width[index] / 2
            away = _from_axis(wires, index, window.u, window.v)
            steep = np.minimum(1 / np.sqrt(np.maximum(1 - (away / radius) ** 2, 1e-9)), 3)
            shade = s.wire_grey + (s.edge_grey - s.wire_grey) * (steep - 1) / 2
            under = grey[window.slices]
            under += (np.clip(radius - away + 0.5, 0, 1) * (shade - under)).astype(np.float32)
        return grey

    def truth_of(self, box: Box) -> SpecimenTruth:
        """Return the mask of the wires and the number of the one on top."""
        labels = np.zeros((box.height, box.width), np.int64)
        wires = self._near(box)
        for index, window in windows(box, wires.y, wires.x, wires.angle, wires.length / 2 + 2):
            inside = _from_axis(wires, index, window.u, window.v) <= wires.width[index] / 2
            labels[window.slices][inside] = wires.number[index]
        return SpecimenTruth(masks={"wire": labels != 0}, labels=labels)

    def objects(self, box: Box) -> Objects:
        """Return the wires whose middle lies in a box, with their full length also where others cover them."""
        near = self._near(box)
        keep = np.flatnonzero(lies_in(box, near.y, near.x))
        w = _Wires(*(getattr(near, name)[keep] for name in _Wires.__dataclass_fields__))
        area = (w.length - w.width) * w.width + math.pi / 4 * w.width**2
        along, across = w.length / 2, w.width / 2
        corners = [(along, across), (along, -across), (-along, -across), (-along, across)]
        cos, sin = np.cos(w.angle), np.sin(w.angle)
        outline = [np.stack([w.y + u * sin + v * cos, w.x + u * cos - v * sin], axis=-1) for u, v in corners]
        return Objects(
            "wires",
            "Wires",
            w.y,
            w.x,
            area,
            classes=class_labels(["wire"]),
            columns=(
                number_column(w.number),
                ObjectColumn("length_um", "Length", "um", w.length * self.pixel_size_um),
                ObjectColumn("width_um", "Diameter", "um", w.width * self.pixel_size_um),
                ObjectColumn("orientation_deg", "Direction", "deg", np.rad2deg(w.angle) % 180),
            ),
            outline_px=np.stack(outline, axis=1).reshape(-1, 2).astype(np.float32),
            outline_start=np.arange(len(keep) + 1, dtype=np.int64) * 4,
        )

    def _near(self, box: Box) -> _Wires:
        s, key = self.settings, self.key(127)
        size = math.sqrt(_PER_NODE / s.wires_per_um2) / self.pixel_size_um
        margin = self.px(s.length_um) * (1 + math.sqrt(3) * s.length_spread) / 2 + 3
        nodes_y = np.arange(math.floor((box.y - margin) / size), math.floor((box.y + box.height + margin) / size) + 1)
        nodes_x = np.arange(math.floor((box.x - margin) / size), math.floor((box.x + box.width + margin) / size) + 1)
        parts = []
        for k in range(_PER_NODE):
            y = (nodes_y[:, None] + lattice_uniform(key + 2 * k, nodes_y, nodes_x).astype(np.float64)) * size
            x = (nodes_x[None, :] + lattice_uniform(key + 2 * k + 1, nodes_y, nodes_x).astype(np.float64)) * size
            parts.append((object_numbers(nodes_y[:, None], nodes_x[None, :], k).ravel(), y.ravel(), x.ravel()))
        number, y, x = (np.concatenate(part) for part in zip(*parts, strict=True))
        length, width, direction, height = (number_uniform(key + 30 + i, number).astype(np.float64) for i in range(4))
        wide = self.px(s.width_um) * (1 + s.width_spread * math.sqrt(12) * (width - 0.5))
        long = self.px(s.length_um) * (1 + s.length_spread * math.sqrt(12) * (length - 0.5))
        turn = np.deg2rad(s.direction_deg + s.direction_spread_deg * ndtri(np.clip(direction, 1e-7, 1 - 1e-7)))
        order = np.lexsort((number, height))
        order = order[(np.abs(y - box.y - box.height / 2) < box.height / 2 + margin)[order]]
        order = order[(np.abs(x - box.x - box.width / 2) < box.width / 2 + margin)[order]]
        return _Wires(*(a[order] for a in (number, y, x, np.maximum(long, wide), wide, turn)))


def _from_axis(wires: _Wires, index: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from the line between the middles of a wire's round ends, px."""
    half = (wires.length[index] - wires.width[index]) / 2
    return np.asarray(np.hypot(np.maximum(np.abs(u) - half, 0), v), np.float64)


def make_wires(settings: WireSettings, runtime: Runtime) -> Wires:
    """Return the specimen; the seed is that of the runtime."""
    return Wires(settings, runtime.seed)
