"""The mosaics of further channels: a folder beside the main mosaic, with a list of what lies in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cemi_core.errors import InputError, StorageError
from cemi_core.files.atomic import write_json_atomically
from cemi_core.model.channels import channel_file_names, require_channel
from cemi_core.model.mosaic import Mosaic
from cemi_run.store.protocol import open_mosaic

_LIST = "channels.json"


@dataclass(frozen=True)
class ChannelPaths:
    """Where the mosaic of each channel lies.

    Attributes
    ----------
    main : str
        The channel in the main mosaic; empty where that is a mixture of them, or plain grey.
    paths : mapping of str to Path
        The mosaic of each channel, in the order of the channels; empty for plain grey.
    """

    main: str = ""
    paths: Mapping[str, Path] = field(default_factory=dict)

    @property
    def further(self) -> dict[str, Path]:
        """The mosaics of all channels but the one in the main mosaic."""
        return {name: path for name, path in self.paths.items() if name != self.main}


def channels_beside(mosaic: Path) -> Path:
    """Return the folder of the further channels of a mosaic: ``channels`` for ``mosaic.h5``, else ``NAME-channels``."""
    stem = mosaic.name.partition(".")[0]
    return mosaic.with_name("channels" if stem == "mosaic" else f"{stem}-channels")


def planned_channels(mosaic: Path, names: Sequence[str], main: str) -> ChannelPaths:
    """Return where the channels of a mosaic that is to be made will lie, in its own format."""
    folder, suffix = channels_beside(mosaic), mosaic.name[len(mosaic.name.partition(".")[0]) :]
    files = channel_file_names(names)
    return ChannelPaths(main, {n: mosaic if n == main else folder / f"{files[n]}{suffix}" for n in names})


def require_room_for_channels(mosaic: Path, names: Sequence[str]) -> None:
    """Raise StorageError if there are channels and a file is in the way of the folder for them beside a mosaic."""
    folder = channels_beside(mosaic)
    if names and folder.exists() and not folder.is_dir():
        raise StorageError(f"a file is in the way of {folder}, the folder for further channels: choose another name")


def prepare_channels(mosaic: Path, channels: ChannelPaths) -> None:
    """Make the folder for further channels, and remove mosaics that another run has left in it."""
    folder = channels_beside(mosaic)
    known = _read_list(folder)
    for file in known["files"].values() if known else ():
        for suffix in (".h5", ".ome.zarr"):
            old = folder / f"{Path(file).name.partition('.')[0]}{suffix}"
            if old not in channels.further.values():
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    if known is not None:
        (folder / _LIST).unlink()
    if channels.further:
        folder.mkdir(exist_ok=True)
    elif known and not any(folder.iterdir()):
        folder.rmdir()


def write_channel_list(mosaic: Path, channels: ChannelPaths) -> Path | None:
    """Write which channels there are, once their mosaics are complete; return the list, or None without channels."""
    if not channels.further:
        return None
    path = channels_beside(mosaic) / _LIST
    files = {name: of_one.name if name != channels.main else "" for name, of_one in channels.paths.items()}
    write_json_atomically(path, {"main": channels.main, "files": files})
    return path


def channel_paths(mosaic: Path) -> ChannelPaths:
    """Return the channels of a mosaic that is complete."""
    folder = channels_beside(mosaic)
    known = _read_list(folder)
    if known is None:
        return ChannelPaths()
    return ChannelPaths(known["main"], {n: folder / file if file else mosaic for n, file in known["files"].items()})


def path_of_channel(mosaic: Path, name: str, where: str) -> Path:
    """Return the mosaic of a channel; the main one for an empty name.

    Raises
    ------
    InputError
        There is no such channel; the sentence begins with ``where`` and lists those that there are.
    """
    if not name:
        return mosaic
    paths = channel_paths(mosaic).paths
    return paths[require_channel(name, tuple(paths), where)]


def _read_list(folder: Path) -> dict[str, Any] | None:
    try:
        known = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(f"{folder / _LIST} is damaged: {error}; run again") from None
    if not isinstance(known, dict) or not {"main", "files"} <= set(known):
        raise InputError(f"{folder / _LIST} is not a list of channels written by CEMI")
    return known


class ChannelMosaics(Mapping[str, Mosaic]):
    """The mosaics of channels by name, each opened when it is first asked for; a context manager."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(paths)
        self._opened: dict[str, Mosaic] = {}
        self._stack = ExitStack()

    def __getitem__(self, name: str) -> Mosaic:
        if name not in self._opened:
            self._opened[name] = self._stack.enter_context(open_mosaic(self._paths[name]))
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
