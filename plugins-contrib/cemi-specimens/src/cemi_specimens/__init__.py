"""Made specimens with their exact truth, for CEMI: grains, phases, particles, atoms, diffraction patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cemi_core.plugins.lazy import lazy_names

if TYPE_CHECKING:
    from cemi_specimens.folder import write_specimen
    from cemi_specimens.make import make_specimen, specimen_names
    from cemi_specimens.plane import Plane

__version__ = "0.2.0"
__all__ = ["Plane", "make_specimen", "specimen_names", "write_specimen"]
_HOMES = {
    "Plane": "plane",
    "make_specimen": "make",
    "specimen_names": "make",
    "write_specimen": "folder",
}
__getattr__ = lazy_names(__name__, _HOMES)
