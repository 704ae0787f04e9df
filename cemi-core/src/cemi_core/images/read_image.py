"""The one place that opens an image file: TIFF, PNG, JPEG as grey (h, w) in the file's own type."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cemi_core.errors import InputError
from cemi_core.images.vendor import VendorData, fei_data, zeiss_data
from cemi_core.model.pixels import is_grey, to_grey

#: Suffixes that a folder or pattern is searched for.
IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})
#: Largest picture that is decoded; larger headers are damaged files (a 100 Mpx still is ordinary).
MAX_PIXELS = 4_000_000_000
# What tifffile logs about odd tags is either harmless or told in our own words.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
#: What the samples of a pixel mean: one grey level, red/green/blue, printing colours, or signals without a colour.
ColourModel = Literal["grey", "rgb", "cmyk", "signals"]
_NO_VENDOR = VendorData()
_GUARD = Lock()
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What is known of one picture in a file before its pixels are read.

    Attributes
    ----------
    shape : tuple of int
        (height, width), px.
    dtype : numpy.dtype
        Type that `read_pixels` returns: uint8, uint16 or float32.
    stored : numpy.dtype
        Type in the file, such as int16 or float64.
    page : int
        Page of a TIFF; 0 in other files.
    pages : int
        Pictures in the file.
    colour : bool
        Stored with three or more channels (which may all be equal).
    model : {"grey", "rgb", "cmyk", "signals"}
        What the samples of a pixel mean; "signals" are samples of which the file says no colour.
    samples : int
        Samples of a pixel as `read_samples` returns them, without alpha.
    alpha : bool
        Stored with a transparency besides.
    indexed : bool
        Stored as numbers of colours in a palette; read as red, green and blue of 8 bits.
    vendor : VendorData
        What the microscope says.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    page: int = 0
    pages: int = 1
    colour: bool = False
    model: ColourModel = "grey"
    samples: int = 1
    alpha: bool = False
    indexed: bool = False
    vendor: VendorData = _NO_VENDOR


def read_headers(path: Path) -> list[ImageHeader]:
    """Return one header per picture in the file, without decoding pixels.

    A file that is cut short is found here as well: in a TIFF by the places of its strips, in a PNG or JPEG whose end
    marker is missing by decoding it once. Damage in the middle of the pixels is found by `read_pixels` only.

    Raises
    ------
    InputError
        The file is missing, empty, truncated or not an image; the message names it.
    """
    with named_errors(path):
        if is_tiff(path):
            return _tiff_headers(path)
        header = _pillow_header(path)
        if not _has_end_marker(path):
            read_pixels(path)
        return [header]


def read_pixels(path: Path, page: int = 0) -> NDArray[Any]:
    """Return one picture as (h, w) in uint8, uint16 or float32.

    Grey saved as RGB(A) gives its grey values, alpha is dropped, true colour gives its BT.601 luminance. 1-bit pictures
    become uint8 of 0 and 255; other integers and float64 become float32 unscaled.

    Raises
    ------
    InputError
        The file is missing, empty, truncated, damaged or not an image; the message names it.
    """
    with named_errors(path):
        return as_read(to_grey(_stored_pixels(path, page)))


def read_samples(path: Path, page: int = 0) -> NDArray[Any]:
    """Return one picture as it is stored: (h, w), or (h, w, samples) with alpha last where it has any.

    Raises
    ------
    InputError
        As `read_pixels`.
    """
    with named_errors(path):
        return _stored_pixels(path, page)


def as_read(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return stored pixels in the type that `read_pixels` gives: 1-bit ones become 0 and 255, others stay unscaled."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(_read_dtype(pixels.dtype), copy=False)


def has_colour(path: Path, page: int = 0) -> bool:
    """Return whether a picture has true colour, and not grey in three equal channels.

    Raises
    ------
    InputError
        As `read_pixels`.
    """
    with named_errors(path):
        return not is_grey(_stored_pixels(path, page))


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one sentence that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise their own kinds: struct.error, TiffFileError, PngError ...
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"'{path}' is damaged or not a TIFF, PNG or JPEG image ({detail})") from error


def _stored_pixels(path: Path, page: int) -> NDArray[Any]:
    """Return (h, w) or (h, w, channels) as stored."""
    if is_tiff(path):
        return _tiff_pixels(path, page)
    magic = _magic(path)
    if magic.startswith(_PNG_MAGIC) and magic[24] == 16:  # Pillow would cut 16-bit colour to 8 bits
        pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
        return pixels
    if magic.startswith(
        _PNG_MAGIC
    ):  # Pillow fills what a copy has lost with anything, unless the checksums are asked for
        with opened_by_pillow(path) as image:
            image.verify()
    with opened_by_pillow(path) as image:
        return np.asarray(image.convert("RGB") if image.mode in ("P", "CMYK", "YCbCr") else image)


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as a TIFF does."""
    return _magic(path)[:4] in _TIFF_MAGIC


def _magic(path: Path) -> bytes:
    with path.open("rb") as stream:
        start = stream.read(32)
    if not start:
        raise InputError(f"'{path}' is empty (0 bytes)")
    return start.ljust(32, b"\0")


def picture_pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return full pictures only: thumbnails, reduced levels and masks carry a flag in NewSubfileType."""
    pages = [page.aspage() for page in tiff.pages]
    return [page for page in pages if not page.subfiletype & 0b101] or pages[:1]


def _require_all_headers(path: Path, tiff: tifffile.TiffFile) -> None:
    """Refuse a stack of which only the first picture has a header, so that the others are not lost without a word."""
    if len(tiff.pages) > 1 or not (tiff.is_imagej or tiff.is_shaped):
        return
    pictures = int(np.prod(tiff.series[0].shape)) // max(1, int(np.prod(tiff.pages.first.shape)))
    if pictures > 1:
        raise InputError(
            f"'{path}' holds {pictures} pictures behind one header, as ImageJ saves stacks above 4 GB; save it as "
            "BigTIFF, or as single images"
        )


def _tiff_headers(path: Path) -> list[ImageHeader]:
    size = path.stat().st_size
    with tifffile.TiffFile(path) as tiff:
        pages = picture_pages(tiff)
        if not pages:
            raise InputError(f"'{path}' is a TIFF without a picture: it is damaged or was not finished")
        _require_all_headers(path, tiff)
        headers = []
        for number, page in enumerate(pages):
            shape = int(page.imagelength), int(page.imagewidth)
            _check_size(path, shape)
            ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts)]
            if not ends or max(ends) > size:
                raise InputError(f"'{path}' is truncated: its pixels end beyond the end of the file")
            vendor = _NO_VENDOR
            if tiff.fei_metadata:
                vendor = fei_data(tiff.fei_metadata, shape)
            elif tiff.sem_metadata:
                vendor = zeiss_data(tiff.sem_metadata, shape)
            colour = page.samplesperpixel >= 3 or page.photometric == tifffile.PHOTOMETRIC.PALETTE
            stored = np.dtype(page.dtype).newbyteorder("=")
            indexed = page.photometric == tifffile.PHOTOMETRIC.PALETTE
            about = (number, len(pages), colour, *_tiff_samples(path, page), indexed)
            headers.append(ImageHeader(shape, _read_dtype(stored), stored, *about, vendor))
    return headers


def _tiff_samples(path: Path, page: tifffile.TiffPage) -> tuple[ColourModel, int, bool]:
    """Return what the samples of a page mean, how many there are without alpha, and whether there is alpha."""
    photometric = tifffile.PHOTOMETRIC
    if page.photometric == photometric.PALETTE:
        return "rgb", 3, False
    alpha = any(extra in (1, 2) for extra in page.extrasamples[-1:])
    samples = int(page.samplesperpixel) - alpha
    if page.photometric == photometric.SEPARATED:
        raise InputError(f"'{path}' is stored in printing colours (CMYK); save it as RGB or as grey")
    if samples == 1:
        return "grey", 1, alpha
    colours = (photometric.RGB, photometric.YCBCR, photometric.CIELAB, photometric.ICCLAB)
    return ("rgb" if samples == 3 and page.photometric in colours else "signals"), samples, alpha


def _tiff_pixels(path: Path, number: int) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        page = picture_pages(tiff)[number]
        pixels: NDArray[Any] = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            return (np.moveaxis(np.asarray(page.colormap)[:, pixels], 0, -1) >> 8).astype(np.uint8)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ub":
            pixels = ~pixels
        if page.axes[0] == "S":
            pixels = np.moveaxis(pixels, 0, -1)
    return pixels


@contextmanager
def opened_by_pillow(path: Path) -> Iterator[Image.Image]:
    """Open with Pillow; its guard against huge pictures is replaced by `MAX_PIXELS`, which SEM stills do not reach."""
    with _GUARD:  # the guard is a global of Pillow's, and frames are read by several threads
        previous, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        try:
            image = Image.open(path, formats=("PNG", "JPEG"))
        except UnidentifiedImageError:
            raise InputError(f"'{path}' is not a TIFF, PNG or JPEG image, or its start is damaged") from None
        finally:
            Image.MAX_IMAGE_PIXELS = previous
    with image:
        yield image


def _pillow_header(path: Path) -> ImageHeader:
    with opened_by_pillow(path) as image:
        shape = image.height, image.width
        _check_size(path, shape)
        colour = image.mode not in ("1", "L", "LA", "I;16", "I;16B", "I", "F")
        one_bit = image.mode == "1"
        model: ColourModel = "cmyk" if image.mode == "CMYK" else "rgb" if colour else "grey"
        alpha, indexed = image.mode in ("LA", "RGBA"), image.mode == "P"
    magic = _magic(path)
    deep = magic.startswith(_PNG_MAGIC) and magic[24] == 16
    if deep and magic[25] == 4:  # grey with alpha, which Pillow takes for colour
        colour, model = False, "grey"
    stored = np.dtype(np.uint16 if deep else np.bool_ if one_bit else np.uint8)
    samples = 3 if colour else 1
    about = (0, 1, colour, model, samples, alpha, indexed)
    return ImageHeader(shape, _read_dtype(stored), stored, *about)


def _has_end_marker(path: Path) -> bool:
    """Return whether a PNG or JPEG has its end marker near the end of the file (some writers append bytes)."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4096))
        tail = stream.read()
    return (b"IEND" if _magic(path).startswith(_PNG_MAGIC) else b"\xff\xd9") in tail


def _check_size(path: Path, shape: tuple[int, int]) -> None:
    if not 0 < shape[0] * shape[1] <= MAX_PIXELS:
        raise InputError(f"'{path}' claims to be {shape[1]} x {shape[0]} px, which no micrograph is: it is damaged")


def _read_dtype(stored: Any) -> np.dtype[Any]:
    """Return the type in which `read_pixels` gives pixels that are stored as ``stored``."""
    dtype: np.dtype[Any] = np.dtype(stored).newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype in (np.uint8, np.uint16):
        return dtype
    if dtype.kind in "uif":
        return np.dtype(np.float32)
    raise InputError(f"pixels of type {dtype} are not supported; save the image as 8 or 16 bit or as float")
