"""Tables and texts in HDF5: a table is one compound dataset, so that HDFView, MATLAB and pandas show it as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.files.atomic import atomic_path

_TEXT = h5py.string_dtype()


@contextmanager
def new_hdf5_file(path: Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file in memory and write it to ``path`` in one step at the end; for tables and maps, not pictures.

    On a full disk the HDF5 library itself would crash when the program ends; here it never writes.

    Raises
    ------
    StorageError
        The disk is full.
    """
    with h5py.File(path, "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def opened_hdf5_file(path: Path) -> Iterator[h5py.File]:
    """Yield a file that `new_hdf5_file` wrote, open for reading.

    Raises
    ------
    InputError
        It is missing or damaged, or something in it is not where it was written.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; run the recipe again") from None
    except (OSError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it and run the recipe again") from error


def write_columns(group: h5py.Group, name: str, columns: Mapping[str, NDArray[Any] | Sequence[Any]]) -> h5py.Dataset:
    """Store columns of equal length as the table ``name``: numbers in their own type, everything else as text."""
    arrays = {head: _column(values) for head, values in columns.items()}
    length = len(next(iter(arrays.values()))) if arrays else 0
    table = np.empty(length, dtype=[(head, array.dtype) for head, array in arrays.items()])
    for head, array in arrays.items():
        table[head] = array
    return group.create_dataset(name, data=table)


def read_columns(group: h5py.Group, name: str) -> dict[str, NDArray[Any]]:
    """Return the columns of the table ``name``; texts as an array of str objects."""
    table = group[name][:]
    columns: dict[str, NDArray[Any]] = {}
    for head in table.dtype.names:
        column = table[head]
        if column.dtype == object:
            column = np.array([_decoded(text) for text in column], dtype=object)
        columns[head] = column
    return columns


def write_rows(group: h5py.Group, name: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Store a table of plain values; a column that mixes types (or holds None) is kept as JSON texts."""
    columns: dict[str, NDArray[Any] | list[Any]] = {}
    mixed = []
    for number, head in enumerate(heads):
        values = [row[number].item() if isinstance(row[number], np.generic) else row[number] for row in rows]
        kinds = {type(value) for value in values}
        if len(kinds) > 1 or not kinds <= {int, float, str, bool}:
            values = [json.dumps(value, ensure_ascii=False, default=str) for value in values]
            mixed.append(number)
        columns[head] = values
    dataset = write_columns(group, name, columns)
    dataset.attrs["json_columns"] = np.array(mixed, dtype=np.int64)
    dataset.attrs["rows"] = len(rows)


def read_rows(group: h5py.Group, name: str) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    """Return the heads and rows that `write_rows` stored, with the types that they had."""
    columns = read_columns(group, name)
    mixed = set(group[name].attrs["json_columns"].tolist())
    lists = [column.tolist() for column in columns.values()]
    for number in mixed:
        lists[number] = [json.loads(text) for text in lists[number]]
    return tuple(columns), tuple(zip(*lists, strict=True))


def write_texts(group: h5py.Group, name: str, texts: Iterable[str]) -> None:
    """Store a list of sentences."""
    group.create_dataset(name, data=np.array([_encoded(text) for text in texts], dtype=object), dtype=_TEXT)


def read_texts(group: h5py.Group, name: str) -> tuple[str, ...]:
    """Return the sentences that `write_texts` stored."""
    return tuple(_decoded(text) for text in group[name][:])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # the name of a file may be no UTF-8


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _column(values: NDArray[Any] | Sequence[Any]) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return array
    return np.array([_encoded(str(value)) for value in values], dtype=_TEXT)
