"""What a page of a TIFF says beside its pixels, to be handed on to a copy: its scale, description, microscope data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from cemi_core.images.read_image import is_tiff, named_errors, picture_pages

_DESCRIPTION, _RESOLUTION, _UNIT = 270, (282, 283), 296
#: What Zeiss and FEI/Thermo write.
_VENDOR = (34118, 34680, 34682)


@dataclass(frozen=True, slots=True)
class PageTags:
    """Tags of a TIFF page as they are stored.

    Attributes
    ----------
    resolution : tuple or None
        Pixels per unit along x and y, each a fraction (number, number).
    unit : int
        1 for none, 2 for inches, 3 for centimetres.
    description : bytes
        Such as ImageJ's, with its scale and the meaning of the pages.
    vendor : tuple of (int, int, int, bytes)
        Code, type, count and value of what the microscope wrote.
    colour : bool
        The first three samples of a pixel are red, green and blue.
    alpha : bool
        The last sample of a pixel is its transparency.
    """

    resolution: tuple[Any, Any] | None = None
    unit: int = 1
    description: bytes = b""
    vendor: tuple[tuple[int, int, int, bytes], ...] = ()
    colour: bool = False
    alpha: bool = False

    @classmethod
    def of_scale(cls, pixel_size_um: float | None) -> PageTags:
        """Return the tags of a picture of which nothing but the pixel size (or not even that) is known."""
        return cls() if not pixel_size_um else cls((1e4 / pixel_size_um,) * 2, 3)


def read_page_tags(path: Path, page: int) -> PageTags:
    """Return what one page says; nothing for a file that is not a TIFF.

    Raises
    ------
    InputError
        The file has gone or is damaged.
    """
    with named_errors(path):
        if not is_tiff(path):
            return PageTags()
        with tifffile.TiffFile(path) as tiff:
            tags = picture_pages(tiff)[page].tags
            raw = {code: _stored(tiff, tags[code]) for code in (_DESCRIPTION, *_VENDOR) if code in tags}
            known = all(code in tags for code in _RESOLUTION)
            return PageTags(
                (tags[_RESOLUTION[0]].value, tags[_RESOLUTION[1]].value) if known else None,
                int(tags[_UNIT].value) if _UNIT in tags else 2,  # what the standard takes for granted
                raw.pop(_DESCRIPTION, b"").rstrip(b"\0"),
                tuple((code, int(tags[code].dtype), tags[code].count, value) for code, value in raw.items()),
            )


def _stored(tiff: tifffile.TiffFile, tag: tifffile.TiffTag) -> bytes:
    tiff.filehandle.seek(tag.valueoffset)
    content: bytes = tiff.filehandle.read(tag.valuebytecount)
    return content
