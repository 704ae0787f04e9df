"""The scale of a mosaic checked by a length of the specimen that is known."""

from __future__ import annotations

from pydantic import Field

from cemi_core.model.measured_maps import MeasuredMaps
from cemi_core.model.settings import PositiveLengthUm, Settings
from cemi_core.model.units import format_length


class KnownLength(Settings):
    """A length of the specimen that is known, to check the scale by."""

    value: PositiveLengthUm = Field(description="Length of the specimen along the longer side of the mosaic.")
    tolerance: PositiveLengthUm = Field(description="How far the mosaic may differ from it.")


def note_on_length(measured: MeasuredMaps, known: KnownLength) -> str:
    """Return a sentence on whether the scale of a mosaic agrees with a known length of the specimen."""
    extent = max(measured.extent_um)
    off = extent - known.value
    says = (
        f"the longer side of the mosaic is {format_length(extent)}, {100 * abs(off) / known.value:.2g} % "
        f"{'more' if off > 0 else 'less'} than the known {format_length(known.value)}"
    )
    if abs(off) <= known.tolerance:
        return f"{says}: within the tolerance of {format_length(known.tolerance)}, the scale agrees"
    return (
        f"{says}: beyond the tolerance of {format_length(known.tolerance)}; check the pixel size, and that the mosaic "
        "covers all of that length"
    )
