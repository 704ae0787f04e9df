"""Tensors from files that ``torch.save`` wrote, without unpickling: no class is imported, nothing is called.

Such a file is a pickle, a small program that says where each tensor lies in the bytes behind it. `torch.load` runs that
program, with ``weights_only=True`` in a restricted machine, which up to torch 2.5 could still be made to run code
(CVE-2025-32434). Here its instructions are only read (`pickletools`): dictionaries, lists, numbers, texts, and the one
call that means "a tensor". Anything else is refused.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.errors import InputError

_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
#: The first number of a file written before torch 1.6, which is not a zip file.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_DAMAGED = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, RecursionError,
    zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True)
class _Name:
    """What the pickle would import; here it stays a name."""

    module: str
    name: str


@dataclass(frozen=True)
class _Storage:
    """The bytes of one or several tensors."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True)
class _TensorAt:
    """A tensor as the pickle describes it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    pass


def read_torch_file(path: str | Path) -> Any:
    """Return what ``torch.save`` wrote: tensors in dictionaries, lists and tuples.

    Tensors are mapped from the file and read when they are used, so that a part of a large file costs no memory.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, or holds more than tensors, numbers and texts.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _read(stream, np.memmap(path, np.uint8, mode="c"), str(path))
    except (OSError, ValueError) as error:  # one of no bytes cannot be mapped
        raise InputError(f"{path} cannot be read as weights: {error}") from error


def read_torch_bytes(data: bytes, name: str) -> Any:
    """Return what ``torch.save`` wrote, from memory; see `read_torch_file`.

    Parameters
    ----------
    data : bytes
    name : str
        Where they come from, for messages.
    """
    return _read(io.BytesIO(data), np.frombuffer(bytearray(data), np.uint8), name)


def _read(stream: IO[bytes], whole: NDArray[np.uint8], name: str) -> Any:
    try:
        is_zip = zipfile.is_zipfile(stream)
        stream.seek(0)
        return _read_zip(stream, whole, name) if is_zip else _read_old(stream, whole, name)
    except _DAMAGED as error:
        raise InputError(f"{name} cannot be read as weights: {error}") from error


def _read_zip(stream: IO[bytes], whole: NDArray[np.uint8], name: str) -> Any:
    with zipfile.ZipFile(stream) as archive:
        names = {entry.partition("/")[2]: entry for entry in archive.namelist()}
        told = archive.read(names["data.pkl"])
        places = {key: archive.getinfo(entry) for key, entry in names.items() if key.startswith("data/")}

    def stored(storage: _Storage) -> Tensor:
        entry = places[f"data/{storage.key}"]
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError("its tensors are compressed")
        head = whole[entry.header_offset : entry.header_offset + 30].tobytes()
        lengths = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
        return _of_bytes(whole, entry.header_offset + 30 + sum(lengths), storage)

    return _filled(_evaluated(io.BytesIO(told), name), stored)


def _read_old(stream: IO[bytes], whole: NDArray[np.uint8], name: str) -> Any:
    """Read a file of a torch before 1.6: five pickles, then each storage after its length."""
    if _evaluated(stream, name) != _OLD_MAGIC:
        raise ValueError("it is not a file of torch")
    for _ in range(2):  # the version of the format, and the byte order of the machine
        _evaluated(stream, name)
    content, keys = _evaluated(stream, name), _evaluated(stream, name)
    start, sizes, places = stream.tell(), {storage.key: storage for storage in _storages(content)}, {}
    for key in keys:
        storage = sizes[key]
        if int.from_bytes(whole[start : start + 8].tobytes(), "little") != storage.count:
            raise ValueError("it is cut short, or damaged")
        places[key] = start + 8
        start += 8 + storage.count * storage.dtype.itemsize
    return _filled(content, lambda storage: _of_bytes(whole, places[storage.key], storage))


def _of_bytes(whole: NDArray[np.uint8], start: int, storage: _Storage) -> Tensor:
    end = start + storage.count * storage.dtype.itemsize
    if end > len(whole):
        raise ValueError("it is cut short")
    if not storage.count:
        return torch.empty(0, dtype=storage.dtype)
    return torch.frombuffer(whole.data, dtype=storage.dtype, count=storage.count, offset=start)


def _filled(content: Any, stored: Callable[[_Storage], Tensor]) -> Any:
    """Return plain data with tensors in the places of their descriptions."""
    if isinstance(content, _TensorAt):
        values = stored(content.storage)
        last = content.offset + sum((n - 1) * step for n, step in zip(content.shape, content.strides, strict=True))
        if 0 in content.shape:
            return torch.empty(content.shape, dtype=content.storage.dtype)
        if min((content.offset, *content.strides)) < 0 or last >= values.numel():
            raise ValueError("a tensor lies outside of its bytes")
        return values.as_strided(content.shape, content.strides, content.offset)
    if isinstance(content, dict):
        return {key: _filled(value, stored) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_filled(value, stored) for value in content)
    return content


def _storages(content: Any) -> list[_Storage]:
    if isinstance(content, _TensorAt):
        return [content.storage]
    parts = content.values() if isinstance(content, Mapping) else content if isinstance(content, list | tuple) else ()
    return [storage for part in parts for storage in _storages(part)]


def _evaluated(stream: IO[bytes], name: str) -> Any:
    """Return what one pickle describes, from its instructions alone."""
    machine = _Reader(name)
    for instruction, argument, _ in pickletools.genops(stream):
        machine.take(instruction.name, argument)
    return machine.stack.pop()


class _Reader:
    """Follows the instructions that plain data and tensors need, and refuses all others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _NOTHING:
            return
        if name in _PUSHES:
            self.stack.append(_PUSHES[name]())
        elif name in _VALUES:
            self.stack.append(argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[int(argument)])
        elif name == "GLOBAL":
            self.stack.append(_Name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            word = self.stack.pop()
            self.stack.append(_Name(self.stack.pop(), word))
        elif name in _BUILDS:
            _BUILDS[name](self)
        else:
            raise self.refused(f"the instruction {name}")

    def refused(self, what: str) -> InputError:
        """Return what is said of a file that holds more than tensors."""
        return InputError(
            f"{self.name} holds more than tensors ({what}), and code from files is not run; save its state_dict as "
            ".safetensors with the program that it came from"
        )

    def since_mark(self) -> list[Any]:
        """Take all that was put on the stack after the last mark."""
        at = max(index for index, value in enumerate(self.stack) if isinstance(value, _Mark))
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def tuple_of(self, count: int) -> None:
        """Put the last values together."""
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(values)

    def set_items(self, pairs: list[Any]) -> None:
        """Put keys and values into the dictionary below them."""
        self.stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))

    def append(self, values: list[Any]) -> None:
        """Put values at the end of the list below them."""
        self.stack[-1].extend(values)

    def storage(self) -> None:
        """Take the description of a storage."""
        told = self.stack.pop()
        if told[0] != "storage" or not isinstance(told[1], _Name) or told[1].name not in _TYPES:
            raise self.refused(f"a {told[0]}")
        _, typename, key, _, count, *_ = told
        self.stack.append(_Storage(_TYPES[typename.name], str(key), int(count)))

    def call(self) -> None:
        """Take the one call that means a tensor, or an empty ordered dictionary."""
        arguments = self.stack.pop()
        function = self.stack.pop()
        if function == _Name("torch._utils", "_rebuild_tensor_v2"):
            storage, offset, shape, strides, *_ = arguments
            self.stack.append(_TensorAt(storage, int(offset), tuple(shape), tuple(strides)))
        elif function == _Name("torch._utils", "_rebuild_parameter"):
            self.stack.append(arguments[0])
        elif function == _Name("collections", "OrderedDict") and not arguments:
            self.stack.append(OrderedDict())
        else:
            raise self.refused(f"a call of {function.module}.{function.name}" if isinstance(function, _Name) else "?")

    def state(self) -> None:
        """Leave out what is set on a dictionary beside its items: the version of each layer."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise self.refused("the state of an object")


_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_PUSHES: Mapping[str, Callable[[], Any]] = {
    "MARK": _Mark,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_VALUES = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
    ]
)
_BUILDS: Mapping[str, Callable[[_Reader], None]] = {
    "POP": lambda reader: reader.stack.__delitem__(-1),
    "TUPLE": lambda reader: reader.stack.append(tuple(reader.since_mark())),
    "TUPLE1": lambda reader: reader.tuple_of(1),
    "TUPLE2": lambda reader: reader.tuple_of(2),
    "TUPLE3": lambda reader: reader.tuple_of(3),
    "LIST": lambda reader: reader.stack.append(reader.since_mark()),
    "APPEND": lambda reader: reader.append([reader.stack.pop()]),
    "APPENDS": lambda reader: reader.append(reader.since_mark()),
    "SETITEM": lambda reader: reader.set_items([reader.stack.pop(-2), reader.stack.pop()]),
    "SETITEMS": lambda reader: reader.set_items(reader.since_mark()),
    "BINPERSID": _Reader.storage,
    "REDUCE": _Reader.call,
    "BUILD": _Reader.state,
}
