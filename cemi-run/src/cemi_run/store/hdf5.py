"""Mosaics in one HDF5 file: raw chunks, readable by any HDF5 tool; one process writes at a time.

The file holds, per level ``k``, ``levels/k`` (pixels, raw chunks of 512 x 512 in the source's type) and ``valid/k``
(1 where the specimen was imaged, 0 elsewhere; compressed, since it is almost constant), and the attributes
``pixel_size_um``, ``float_range``, ``format``, ``version`` and ``creator``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

import cemi_core
from cemi_core.errors import InputError, StorageError
from cemi_core.files.atomic import storage_errors
from cemi_core.model.mosaic import Box
from cemi_run.store.encoding import along_chunks, check_inside, check_pixel_type, encode
from cemi_run.store.levels import CHUNK_PX, LeveledMosaic, pyramid_shapes
from cemi_run.store.reserve import DiskReserve

FORMAT = "cemi-mosaic"
VERSION = 1
_CHUNK_CACHE_BYTES = 4 * 2**20  # per dataset: boxes that end inside a chunk are joined here, not on the disk
_RESERVE_BYTES = 32 * 2**20  # more than the chunks that the caches of all levels can hold


class Hdf5Mosaic(LeveledMosaic):
    """A mosaic in an HDF5 file (`MosaicStore`). Make one with `create` or `open`."""

    def __init__(self, path: Path, file: h5py.File, reserve: DiskReserve | None) -> None:
        levels = [file["levels"][str(k)] for k in range(len(file["levels"]))]
        valid = [file["valid"][str(k)] for k in range(len(levels))]
        pixel_size_um = float(file.attrs["pixel_size_um"])
        float_range = tuple(file.attrs["float_range"])
        super().__init__(path, levels, valid, None if np.isnan(pixel_size_um) else pixel_size_um, float_range)
        self._file = file
        self._reserve = reserve

    @classmethod
    def create(
        cls,
        path: Path,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        pixel_size_um: float | None = None,
        float_range: tuple[float, float] = (0.0, 1.0),
    ) -> Self:
        """Make an empty mosaic with all its levels, replacing what was at ``path``.

        Parameters
        ----------
        path : Path
            The file.
        shape : tuple of int
            (height, width) of level 0, px.
        dtype : numpy.dtype
            uint8, uint16 or float32.
        pixel_size_um : float, optional
            Edge of a pixel of level 0, micrometres.
        float_range : tuple of float
            What 0 and 1 are in the stored pixels, if these are floats.

        Raises
        ------
        InputError
            The type is none of those, or the mosaic is empty.
        StorageError
            The file cannot be written.
        """
        dtype = check_pixel_type(dtype)
        if min(shape) < 1:
            raise InputError(f"a mosaic of {shape[0]} x {shape[1]} px has no pixels")
        reserve = DiskReserve(path.parent, _RESERVE_BYTES)
        with storage_errors(path):
            # default library version bounds: HDF5 1.8 and later read the file
            file = h5py.File(path, "w", rdcc_nbytes=_CHUNK_CACHE_BYTES)
            file.attrs.update(
                format=FORMAT,
                version=VERSION,
                creator=f"cemi-core {cemi_core.__version__}",
                pixel_size_um=np.nan if pixel_size_um is None else pixel_size_um,
                float_range=float_range,
            )
            for level, (height, width) in enumerate(pyramid_shapes(shape)):
                chunks = min(height, CHUNK_PX), min(width, CHUNK_PX)
                file.create_dataset(
                    f"levels/{level}",
                    (height, width),
                    dtype,
                    chunks=chunks,
                    fillvalue=float_range[0] if dtype.kind == "f" else 0,
                )
                file.create_dataset(
                    f"valid/{level}", (height, width), np.uint8, chunks=chunks, compression="gzip", compression_opts=1
                )
        return cls(path, file, reserve)

    @classmethod
    def open(cls, path: Path, writable: bool = False) -> Self:
        """Open a mosaic.

        Raises
        ------
        InputError
            The file is missing, truncated, or no mosaic of a known version.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there is no mosaic file {path}")
        try:
            file = h5py.File(path, "r+" if writable else "r", rdcc_nbytes=_CHUNK_CACHE_BYTES)
        except OSError as error:
            raise InputError(f"{path} cannot be opened: {_why_unreadable(path, error)}") from error
        if file.attrs.get("format") != FORMAT or "levels/0" not in file or "valid/0" not in file:
            file.close()
            raise InputError(f"{path} is an HDF5 file, but not a mosaic written by CEMI")
        if file.attrs["version"] != VERSION:
            found = file.attrs["version"]
            file.close()
            raise InputError(f"{path} is a mosaic of format version {found}; this CEMI reads version {VERSION}")
        return cls(path, file, DiskReserve(path.parent, _RESERVE_BYTES) if writable else None)

    @property
    def writer_px(self) -> tuple[int, int]:
        """The whole mosaic: an HDF5 file has one writer."""
        return self.shape

    def write(self, box: Box, image: NDArray[np.float32], level: int = 0) -> None:
        """Store ``image``, float32 (box.height, box.width) in [0, 1], NaN where nothing was imaged.

        Raises
        ------
        StorageError
            The disk is full; the file has been closed.
        """
        check_inside(box, self._level_shapes[level], f"level {level} of {self._path}")
        try:
            with storage_errors(self._path):
                # chunk by chunk: the float temporaries stay in the processor's cache
                for tile in along_chunks(box, *self._levels[level].chunks):
                    part = image[tile.y - box.y :, tile.x - box.x :][: tile.height, : tile.width]
                    pixels, valid = encode(part, self._dtype, self._float_range)
                    self._levels[level][tile.slices] = pixels
                    self._valid[level][tile.slices] = valid
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        """Flush and close."""
        if self._reserve is not None:
            self._reserve.release()
        with storage_errors(self._path):
            self._file.close()


def _why_unreadable(path: Path, error: OSError) -> str:
    text = str(error)
    if "truncated" in text:
        return "the file is truncated; it was not written to its end"
    if "unable to lock" in text:
        return "another process is writing to it"
    if not h5py.is_hdf5(path):
        return "it is not an HDF5 file, or its beginning is damaged"
    return text
