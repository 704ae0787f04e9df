"""What a mosaic store must offer, and how one is made and opened."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cemi_core.model.mosaic import Box, Mosaic


class MosaicStore(Mosaic, Protocol):
    """A mosaic that can be written, box by box; a context manager.

    Pixels enter as float32 in [0, 1] with NaN where nothing was imaged, and are stored in ``dtype``. Boxes of
    different writers must not share a chunk (`writer_px` tells the edge of the region that one writer owns). A store
    pickles as its path and is opened for reading where it arrives.

    Attributes
    ----------
    path : Path
        The file or folder.
    float_range : tuple of float
        What 0 and 1 of the pipeline are in the stored pixels, if these are floats.
    """

    @property
    def path(self) -> Path: ...

    @property
    def float_range(self) -> tuple[float, float]: ...

    @property
    def writer_px(self) -> tuple[int, int]:
        """(height, width) of the aligned region that only one writer may touch at a time; the whole mosaic for HDF5."""
        ...

    def write(self, box: Box, image: NDArray[np.float32], level: int = 0) -> None:
        """Store ``image`` (box.height, box.width); NaN marks pixels that were not imaged."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def create_mosaic(
    path: Path,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    pixel_size_um: float | None = None,
    float_range: tuple[float, float] = (0.0, 1.0),
) -> MosaicStore:
    """Make an empty mosaic with all its levels; the suffix picks the format (``.h5`` or ``.ome.zarr``).

    Raises
    ------
    UsageError
        The suffix names no format.
    """
    if path.name.endswith(".zarr"):
        from cemi_run.store.ome_zarr import OmeZarrMosaic

        return OmeZarrMosaic.create(path, shape, dtype, pixel_size_um, float_range)
    from cemi_run.store.hdf5 import Hdf5Mosaic

    return Hdf5Mosaic.create(path, shape, dtype, pixel_size_um, float_range)


def open_mosaic(path: Path, writable: bool = False) -> MosaicStore:
    """Open a mosaic for reading, or for writing into it.

    Raises
    ------
    InputError
        The file is missing, truncated or no mosaic.
    """
    if path.name.endswith(".zarr"):
        from cemi_run.store.ome_zarr import OmeZarrMosaic

        return OmeZarrMosaic.open(path, writable)
    from cemi_run.store.hdf5 import Hdf5Mosaic

    return Hdf5Mosaic.open(path, writable)
