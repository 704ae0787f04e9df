"""What Zeiss and FEI/Thermo microscopes write into their TIFF files: pixel size and height of the data bar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cemi_core.errors import UsageError
from cemi_core.model.units import parse_length_um


@dataclass(frozen=True, slots=True)
class VendorData:
    """What the microscope says about its picture.

    Attributes
    ----------
    maker : str
        ``"zeiss"``, ``"fei"`` or, if the file does not say, empty.
    pixel_size_um : float or None
        Edge of a pixel, micrometres.
    bar_height_px : int
        Rows of the data bar below the picture, 0 if there is none.
    """

    maker: str = ""
    pixel_size_um: float | None = None
    bar_height_px: int = 0


def fei_data(metadata: Mapping[str, Any], shape: tuple[int, int]) -> VendorData:
    """Read FEI/Thermo metadata (tags 34680 and 34682, sections as a mapping of mappings).

    The pixel size is ``[Scan] PixelWidth`` in metres. The data bar is what the file has below ``[Image] ResolutionY``
    rows; where that is not given, ``[PrivateFei] DatabarHeight``.
    """
    width_m = metadata.get("Scan", {}).get("PixelWidth")
    rows = metadata.get("Image", {}).get("ResolutionY")
    if isinstance(rows, int) and rows > 0:
        bar = shape[0] - rows
    else:
        bar = metadata.get("PrivateFei", {}).get("DatabarHeight", 0)
    return VendorData("fei", _positive(width_m, 1e6), _bar(bar, shape))


def zeiss_data(metadata: Mapping[str, Any], shape: tuple[int, int]) -> VendorData:
    """Read Zeiss SmartSEM metadata (tag 34118 as tifffile gives it: key -> (label, value, unit)).

    ``AP_IMAGE_PIXEL_SIZE`` is that of the stored picture and goes before ``AP_PIXEL_SIZE``, that of the screen.
    SmartSEM gives no bar height; a bar is what the file has below the rows of ``DP_IMAGE_STORE`` (store resolution).
    """
    pixel_size = None
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = metadata.get(key)
        if entry is not None and len(entry) == 3 and pixel_size is None:
            unit = re.sub(r"^[^a-zA-Z]+m$", "um", entry[2])  # the micro sign comes in several encodings
            try:
                pixel_size = _positive(parse_length_um(f"{entry[1]} {unit}"), 1.0)
            except UsageError:
                pixel_size = None
    store = re.fullmatch(r"(\d+)\s*[*x]\s*(\d+)", str(metadata.get("dp_image_store", ("", ""))[1]).strip())
    bar = shape[0] - int(store[2]) if store is not None and int(store[1]) == shape[1] else 0
    return VendorData("zeiss", pixel_size, _bar(bar, shape))


def _positive(value: Any, factor: float) -> float | None:
    return float(value) * factor if isinstance(value, int | float) and value > 0 else None


def _bar(rows: Any, shape: tuple[int, int]) -> int:
    """Accept a bar only below half of the picture: else the metadata is that of another picture."""
    return int(rows) if isinstance(rows, int) and 0 < rows < shape[0] / 2 else 0
