"""Frames on disk: one Zarr v3 array (frame, y, x) with one raw chunk per frame, and a table of what is known of each.

The folder is a Zarr group, so that any Zarr reader opens ``frames.zarr/pixels``. Since the chunks are raw, a frame is
one plain file ``pixels/c.INDEX.0.0``; CEMI reads and writes it directly (a fifth of the time that zarr takes, and no
import of zarr in every worker) and creates it under a temporary name first. So a frame either exists
whole or not at all, whenever the process is killed, and any number of processes may write different frames at once.

Frames with channels have further stores beside their own, ``NAME.channels/CHANNEL``: one for each channel but the one
that is matched, each with its own type of pixels.

Layout and metadata: Zarr core specification 3.0, https://zarr-specs.readthedocs.io/en/latest/v3/core/.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path, write_json_atomically
from cemi_core.model.channels import channel_file_names, require_channel
from cemi_core.model.frame import DroppedFrame, Frame, to_unit_range
from cemi_run.store.encoding import check_pixel_type
from cemi_run.store.frame_cache import FRAMES_READ_LAST

FORMAT = "cemi-frames"
VERSION = 1
_PIXELS = "pixels"
_TABLE = "frames.json"
_OWN_PAGES_BYTES = 2**17


class FrameStore:
    """Frames in a Zarr folder; make one with `create` or `open`. Pickles as its path.

    Frames smaller than the array are padded at the bottom and the right; the table holds their true shape.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        metadata = _read_json(path / _PIXELS / "zarr.json", path)
        about = metadata.get("attributes", {}).get("cemi", {})
        if about.get("format") != FORMAT:
            raise InputError(f"{path} is a Zarr folder, but holds no frames written by CEMI")
        if about.get("version") != VERSION:
            raise InputError(f"{path} holds frames of version {about.get('version')}; this CEMI reads {VERSION}")
        self._shape: tuple[int, int] = (metadata["shape"][1], metadata["shape"][2])
        self._dtype: np.dtype[Any] = np.dtype(metadata["data_type"])
        self._bytes_per_frame: int = self._shape[0] * self._shape[1] * self._dtype.itemsize
        low, high = about["float_range"]
        self._float_range = float(low), float(high)

    @classmethod
    def create(
        cls, path: Path, frame_shape: tuple[int, int], dtype: Any, float_range: tuple[float, float] = (0.0, 1.0)
    ) -> Self:
        """Make an empty store, replacing an older one at ``path``.

        Parameters
        ----------
        path : Path
            The folder, by convention ``frames.zarr``.
        frame_shape : tuple of int
            (height, width) of the largest frame, px.
        dtype : numpy.dtype
            uint8, uint16 or float32.
        float_range : tuple of float
            What 0 and 1 of the pipeline are in the stored pixels, if these are floats.

        Raises
        ------
        InputError
            The type cannot be stored, or ``path`` is something else than a store of frames.
        StorageError
            The folder cannot be written.
        """
        dtype = check_pixel_type(dtype)
        if path.exists():
            cls.open(path)  # refuses to throw away anything else
            shutil.rmtree(path)
        about = {"format": FORMAT, "version": VERSION, "float_range": list(float_range)}
        with atomic_path(path) as folder:
            (folder / _PIXELS).mkdir(parents=True)
            write_json_atomically(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})
            array = _array_metadata((0, *frame_shape), dtype, {"cemi": about})
            write_json_atomically(folder / _PIXELS / "zarr.json", array)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store for reading and writing.

        Raises
        ------
        InputError
            It is missing, damaged, or no store of frames.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"there is no folder of frames {path}")
        return cls(path)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(height, width) of the largest frame, px."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels: uint8, uint16 or float32."""
        return self._dtype

    @property
    def float_range(self) -> tuple[float, float]:
        """What 0 and 1 of the pipeline are in the stored pixels, if these are floats."""
        return self._float_range

    def done(self, index: int) -> bool:
        """Tell whether frame ``index`` is stored; its file's size is looked at, too, for disks that lost power."""
        try:
            size: int = self._file(index).stat().st_size
        except FileNotFoundError:
            return False
        return size == self._bytes_per_frame

    def write(self, index: int, pixels: NDArray[Any]) -> None:
        """Store frame ``index``: ``pixels`` (h, w) of the store's own type. It is there whole or not at all.

        Raises
        ------
        InputError
            The type differs or the frame is larger than ``frame_shape``.
        StorageError
            The disk is full.
        """
        if pixels.dtype != self._dtype:
            raise InputError(f"frame {index} is {pixels.dtype}, but {self._path} holds {self._dtype}")
        height, width = pixels.shape
        if height > self._shape[0] or width > self._shape[1]:
            raise InputError(
                f"frame {index} of {height} x {width} px does not fit {self._path}, made for frames of at most "
                f"{self._shape[0]} x {self._shape[1]} px"
            )
        if pixels.shape != self._shape:
            pixels = np.pad(pixels, ((0, self._shape[0] - height), (0, self._shape[1] - width)))
        FRAMES_READ_LAST.forget(self._file(index))
        # not durable: frames that a power failure takes are missing, not wrong, and are made again
        with atomic_path(self._file(index), durable=False) as temporary:
            # not ndarray.tofile, which hides why it fails
            temporary.write_bytes(np.ascontiguousarray(pixels, dtype=_little_endian(self._dtype)).data)

    def adopt(self, index: int, other: FrameStore, other_index: int) -> None:
        """Move a frame of another store of the same type on the same disk here; nothing happens if it is here already.

        Raises
        ------
        InputError
            The other store has no such frame, or it does not fit.
        """
        if self.done(index):
            return
        if other.frame_shape == self._shape and other.dtype == self._dtype:
            if not other.done(other_index):
                raise InputError(f"{other.path} has no frame {other_index}")
            other._file(other_index).replace(self._file(index))
        else:
            self.write(index, other.read(other_index))

    def read(self, index: int) -> NDArray[Any]:
        """Return frame ``index`` (h, w) in its stored type, read-only; from memory if this process has just read it.

        Raises
        ------
        InputError
            The frame is not there or its file is damaged.
        """
        try:
            flat = FRAMES_READ_LAST.get(self._file(index), self._read_file)
        except FileNotFoundError:
            raise InputError(f"{self._path} has no frame {index}") from None
        if flat.nbytes != self._bytes_per_frame:
            raise InputError(f"frame {index} in {self._path} is damaged; remove {self._file(index)} and run again")
        height, width = self._true_shape(index)
        frame: NDArray[Any] = flat.reshape(self._shape)[:height, :width]
        return frame

    def _read_file(self, path: Path) -> NDArray[Any]:
        """Return what the file of a frame holds, padding and all, in one row."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # pages of its own: among temporaries in the heap, frames hold on to a third more memory than they fill
            room = mmap.mmap(-1, size) if size >= _OWN_PAGES_BYTES else bytearray(size)
            read = file.readinto(memoryview(room))
        little = _little_endian(self._dtype)
        return np.frombuffer(memoryview(room)[: read - read % little.itemsize], little).astype(self._dtype, copy=False)

    def write_table(self, frames: Sequence[Frame], dropped: Sequence[DroppedFrame] = ()) -> None:
        """Store what is known of the frames, in one step, and set the length of the array to their number.

        Raises
        ------
        StorageError
            The disk is full.
        """
        table = {"frames": [asdict(frame) for frame in frames], "dropped": [asdict(frame) for frame in dropped]}
        metadata_path = self._path / _PIXELS / "zarr.json"
        metadata = _read_json(metadata_path, self._path)
        metadata["shape"][0] = len(frames)
        write_json_atomically(metadata_path, metadata)
        write_json_atomically(self._path / _TABLE, table)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Every frame of the table; empty before `write_table`."""
        return self._table().frames

    @property
    def dropped(self) -> tuple[DroppedFrame, ...]:
        """What the source left out."""
        return self._table().dropped

    def as_source(self) -> StoredFrames:
        """Return the stored frames as a source for the next stage.

        Raises
        ------
        InputError
            The table has not been written, or frames of it are missing.
        """
        frames = self.frames
        if not (self._path / _TABLE).exists():
            raise InputError(f"{self._path} has no table of frames; it was not written to its end")
        missing = [frame.index for frame in frames if not self.done(frame.index)]
        if missing:
            raise InputError(f"{self._path} lacks {len(missing)} of its {len(frames)} frames, first frame {missing[0]}")
        return StoredFrames(self._path)

    def _file(self, index: int) -> Path:
        return self._path / _PIXELS / f"c.{index}.0.0"

    def _true_shape(self, index: int) -> tuple[int, int]:
        frames = self.frames
        return frames[index].shape if index < len(frames) else self._shape

    def _table(self) -> _FrameTable:
        path = self._path / _TABLE
        return _read_table(path, path.stat().st_mtime_ns) if path.exists() else _FrameTable((), ())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path,)


def channel_stores(path: Path, channels: Sequence[str], main: str) -> dict[str, Path]:
    """Return where the store of each channel lies, in their order.

    Parameters
    ----------
    path : Path
        The store of the frames.
    channels : sequence of str
        Names of all channels.
    main : str
        The one that the store of the frames holds itself; empty where that is a mixture of them.
    """
    folder = channels_folder(path)
    files = channel_file_names(channels)
    return {name: path if name == main else folder / files[name] for name in channels}


def channels_folder(path: Path) -> Path:
    """Return the folder of the further channels of a store of frames."""
    return path.with_name(f"{path.name}.channels")


class StoredFrames:
    """The frames of a `FrameStore` as a `FrameSource`; pickles as its path.

    Parameters
    ----------
    path : Path
        The store.
    channel : str
        What `read` gives: the channel of this name; by default the one that was matched, or the mixture.

    Raises
    ------
    InputError
        There is no such store, or no such channel.
    """

    def __init__(self, path: Path, channel: str = "") -> None:
        self._path, self._channel = path, channel
        own = FrameStore.open(path)
        first = own.frames[0] if own.frames else None
        self.channels: tuple[str, ...] = first.channels if first else ()
        self.main_channel: str = first.main_channel if first else ""
        stores = channel_stores(path, self.channels, self.main_channel)
        if channel:
            require_channel(channel, self.channels, "match_channel")
        self._store = FrameStore.open(stores[channel]) if channel else own
        self._paths = tuple(stores.values())
        self._named: tuple[tuple[Frame, ...], tuple[Frame, ...]] | None = None

    @property
    def frames(self) -> Sequence[Frame]:
        """Every frame in order of acquisition."""
        frames = self._store.frames
        if self._channel in ("", self.main_channel):
            return frames
        if self._named is None or self._named[0] is not frames:
            self._named = frames, tuple(replace(frame, main_channel=self._channel) for frame in frames)
        return self._named[1]

    @property
    def dropped(self) -> Sequence[DroppedFrame]:
        """What was left out."""
        return self._store.dropped

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored pixels that `read` gives."""
        return self._store.dtype

    @property
    def float_range(self) -> tuple[float, float]:
        """What 0 and 1 of the pipeline are in the stored pixels, if these are floats."""
        return self._store.float_range

    @property
    def notes(self) -> Sequence[str]:
        """What is odd about the frames was said when they were kept."""
        return ()

    def of_channel(self, name: str) -> StoredFrames:
        """Return the frames of which `read` gives one channel; with an empty name the one that was matched.

        Raises
        ------
        InputError
            There is no such channel.
        """
        return StoredFrames(self._path, name)

    def read(self, index: int) -> NDArray[np.float32]:
        """Return frame ``index`` as float32 (h, w) in [0, 1]."""
        return to_unit_range(self._store.read(index), self._store.float_range)

    def read_channels(self, index: int) -> NDArray[np.float32]:
        """Return all channels of frame ``index``, float32 (channels, h, w); plain grey is one."""
        if not self.channels:
            return self.read(index)[np.newaxis]
        return np.stack([to_unit_range(store.read(index), store.float_range) for store in self._channel_stores])

    @cached_property
    def _channel_stores(self) -> tuple[FrameStore, ...]:
        """The stores of all channels, opened once, when the first frame is read with all of them."""
        return tuple(FrameStore.open(path) for path in self._paths)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredFrames, (self._path, self._channel)


@dataclass(frozen=True)
class _FrameTable:
    frames: tuple[Frame, ...]
    dropped: tuple[DroppedFrame, ...]


@lru_cache(maxsize=64)  # one for each channel
def _read_table(path: Path, changed_ns: int) -> _FrameTable:
    """Read the table once per process and change of the file, not once per task."""
    table = _read_json(path, path)
    frames = tuple(Frame.from_json(entry) for entry in table["frames"])
    return _FrameTable(frames, tuple(DroppedFrame(**entry) for entry in table["dropped"]))


def _array_metadata(shape: tuple[int, ...], dtype: np.dtype[Any], attributes: dict[str, Any]) -> dict[str, Any]:
    endian = {} if dtype.itemsize == 1 else {"configuration": {"endian": "little"}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", **endian}],
        "dimension_names": ["frame", "y", "x"],
        "attributes": attributes,
    }


def _little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def _read_json(path: Path, store: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{store} holds no frames written by CEMI ({path.name} is missing)") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it holds no table")
    return content
