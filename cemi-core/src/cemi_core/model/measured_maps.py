"""Maps with the places of their cells: what a relation gets that looks under each point of a property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cemi_core.model.grid import Grid
from cemi_core.model.result import GridMap, Profile


@dataclass(frozen=True)
class MeasuredMaps:
    """Everything that was measured on a mosaic, and where.

    Attributes
    ----------
    maps : sequence of GridMap
    profiles : sequence of Profile
        The profile along x of each map, in the same order.
    grid : Grid
        The cells of the maps.
    pixel_size_um : float
        Edge of a pixel of the mosaic, micrometres.
    """

    maps: Sequence[GridMap]
    profiles: Sequence[Profile]
    grid: Grid
    pixel_size_um: float

    @property
    def extent_um(self) -> tuple[float, float]:
        """(height, width) of the mosaic, micrometres."""
        height, width = self.grid.shape
        return height * self.pixel_size_um, width * self.pixel_size_um
