"""Mosaics as OME-Zarr 0.5 folders (Zarr v3): several processes write at once, each its own shards.

Levels are the arrays ``0``, ``1``, ... with raw chunks of 512 x 512 px, gathered in shards of 2048 x 2048 px, one file
each (raw, because the noise of a micrograph does not compress: zstd gains less than 1 %). Where the specimen was
imaged is the label image ``labels/valid``. Metadata: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import zarr
from numpy.typing import NDArray

import cemi_core
from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, storage_errors
from cemi_core.model.mosaic import Box
from cemi_run.store.encoding import along_chunks, check_inside, check_pixel_type, encode
from cemi_run.store.levels import CHUNK_PX, LeveledMosaic, pyramid_shapes

FORMAT = "cemi-mosaic"
VERSION = 1
#: Edge of a shard, px: a region that takes a worker some tenths of a second to render.
SHARD_PX = 4 * CHUNK_PX
_VALID = "labels/valid"


class OmeZarrMosaic(LeveledMosaic):
    """A mosaic in an OME-Zarr folder (`MosaicStore`). Make one with `create` or `open`."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        about = cast("dict[str, Any]", group.attrs["cemi"])
        levels = [_array(group, str(level)) for level in range(about["levels"])]
        valid = [_array(group, f"{_VALID}/{level}") for level in range(about["levels"])]
        super().__init__(path, levels, valid, about["pixel_size_um"], tuple(about["float_range"]))

    @classmethod
    def create(
        cls,
        path: Path,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        pixel_size_um: float | None = None,
        float_range: tuple[float, float] = (0.0, 1.0),
    ) -> Self:
        """Make an empty mosaic with all its levels, replacing an older mosaic at ``path``.

        Parameters
        ----------
        path : Path
            The folder, by convention ``NAME.ome.zarr``.
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
            The type is none of those, the mosaic is empty, or ``path`` is something else than a mosaic.
        StorageError
            The folder cannot be written.
        """
        dtype = check_pixel_type(dtype)
        if min(shape) < 1:
            raise InputError(f"a mosaic of {shape[0]} x {shape[1]} px has no pixels")
        if path.exists():
            cls.open(path)  # refuses to throw away anything else
            shutil.rmtree(path)
        shapes = pyramid_shapes(shape)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "creator": f"cemi-core {cemi_core.__version__}",
            "levels": len(shapes),
            "pixel_size_um": pixel_size_um,
            "float_range": list(float_range),
        }
        empty_pixel = float_range[0] if dtype.kind == "f" else 0
        with atomic_path(path) as folder:
            ome = multiscales("mosaic", len(shapes), pixel_size_um)
            group = zarr.create_group(folder, attributes={"ome": ome, "cemi": about})
            group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["valid"]}})
            label = {
                **multiscales("valid", len(shapes), pixel_size_um),
                "image-label": {"source": {"image": "../../"}},
            }
            valid = group.create_group(_VALID, attributes={"ome": label})
            for level, level_shape in enumerate(shapes):
                create_level(group, level, level_shape, dtype, empty_pixel, compressors=None)
                create_level(valid, level, level_shape, np.dtype(np.uint8), 0, compressors="auto")
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: Path, writable: bool = False) -> Self:
        """Open a mosaic.

        Raises
        ------
        InputError
            The folder is missing, damaged, or no mosaic of a known version.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"there is no mosaic folder {path}")
        try:
            group = zarr.open_group(path, mode="r+" if writable else "r", zarr_format=3)
            about = group.attrs.get("cemi")
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is not a Zarr folder, or its metadata are damaged") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise InputError(f"{path} is a Zarr folder, but not a mosaic written by CEMI")
        if about.get("version") != VERSION:
            found = about.get("version")
            raise InputError(f"{path} is a mosaic of format version {found}; this CEMI reads version {VERSION}")
        try:
            return cls(path, group)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is damaged: a level is missing or unreadable ({error})") from error

    @property
    def writer_px(self) -> tuple[int, int]:
        """(height, width) of a shard; different processes may write different shards at the same time."""
        return SHARD_PX, SHARD_PX

    def write(self, box: Box, image: NDArray[np.float32], level: int = 0) -> None:
        """Store ``image``, float32 (box.height, box.width) in [0, 1], NaN where nothing was imaged.

        Boxes that cover whole shards are written at once; a shard that is covered in part is read and rewritten.
        """
        check_inside(box, self._level_shapes[level], f"level {level} of {self._path}")
        with storage_errors(self._path):
            for tile in along_chunks(box, *self.writer_px):
                part = image[tile.y - box.y :, tile.x - box.x :][: tile.height, : tile.width]
                pixels, valid = encode(part, self._dtype, self._float_range)
                self._levels[level][tile.slices] = pixels
                self._valid[level][tile.slices] = valid

    def close(self) -> None:
        """Do nothing: every write is on the disk already."""


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(f"{name} is not an array")
    return array


def create_level(
    group: zarr.Group, level: int, shape: tuple[int, int], dtype: np.dtype[Any], fill: float, compressors: Any
) -> None:
    """Add the array of one level to a group: chunks of 512 px in shards of 2048 px."""
    chunks = min(shape[0], CHUNK_PX), min(shape[1], CHUNK_PX)
    needed = [-(-extent // chunk) * chunk for extent, chunk in zip(shape, chunks, strict=True)]
    group.create_array(
        str(level),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=(min(needed[0], SHARD_PX), min(needed[1], SHARD_PX)),
        compressors=compressors,
        fill_value=fill,
        dimension_names=("y", "x"),
    )


def multiscales(name: str, levels: int, pixel_size_um: float | None, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the OME metadata of an image; without a pixel size, lengths are px of level 0 and have no unit.

    ``before`` names axes before y and x: ``("c",)`` for channels.
    """
    unit = {} if pixel_size_um is None else {"unit": "micrometer"}
    edge = pixel_size_um or 1.0
    datasets = []
    for level in range(levels):
        factor = 2**level
        # the centre of the first pixel of a level lies between the pixels of level 0 whose mean it is
        shift = (factor - 1) / 2 * edge
        transforms = [
            {"type": "scale", "scale": [*(1.0 for _ in before), factor * edge, factor * edge]},
            {"type": "translation", "translation": [*(0.0 for _ in before), shift, shift]},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    axes: list[dict[str, str]] = [{"name": axis, "type": "channel"} for axis in before]
    axes += [{"name": axis, "type": "space", **unit} for axis in ("y", "x")]
    return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets, "type": "mean"}]}
