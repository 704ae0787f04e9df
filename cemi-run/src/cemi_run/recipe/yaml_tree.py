"""YAML 1.2 with the place of every key and value, so that a message can name file, line and column."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cemi_core.errors import InputError, UsageError

#: Where something stands in a recipe: ("stitch", "with", "matcher"), ("denoise", 0, "use").
KeyPath = tuple[str | int, ...]

_MAX_NODES = 100_000
_CORE_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file (line and column from 1), or an option of the command line."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Tree:
    """Plain data (dict, list, scalars) and the place where each part of it was written."""

    data: Any
    marks: Mapping[KeyPath, Mark]

    def mark(self, path: KeyPath) -> Mark:
        """Return the place of ``path`` or of the nearest part around it that was written."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark("recipe"))


class _Yaml12Loader(yaml.SafeLoader):
    """Resolves plain scalars as the core schema of YAML 1.2 does: ``1e-3`` is a number, ``on`` and ``no`` are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - pyyaml's own attribute


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
):
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read_yaml(path: Path) -> Tree:
    """Read a YAML file.

    Raises
    ------
    InputError
        The file is missing, empty or cannot be read.
    UsageError
        It is not YAML; the message names line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no recipe at {path}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a recipe") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8, so it is not a recipe") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> Tree:
    """Parse YAML text; ``file`` names it in messages."""
    marks: dict[KeyPath, Mark] = {}
    try:
        node = yaml.compose(text, Loader=_Yaml12Loader)
        if node is None:
            raise InputError(f"{file} is empty")
        data = _Converter(file, marks).convert(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        hint = "; inside { } put a path with ${NAME} in quotes" if "${" in line else ""
        raise UsageError(f"{where}: this is not valid YAML: {error.problem or error.context}{hint}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: this is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UsageError(f"{file}: nested too deeply for a recipe") from None
    return Tree(data, marks)


def parse_scalar(text: str) -> Any:
    """Return the value of one ``--set`` option, read as a recipe would read it."""
    return parse_yaml(text, "--set").data if text.strip() else ""


class _Yaml12Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 would read as something else than the text that it is."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    resolve: Any = _Yaml12Loader("").resolve
    plain = resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "'")


_Yaml12Dumper.add_representer(str, _represent_text)


def to_yaml(data: Any) -> str:
    """Return plain data as YAML that `parse_yaml` reads back as the same data."""
    return yaml.dump(data, Dumper=_Yaml12Dumper, sort_keys=False, allow_unicode=True)


class _Converter:
    """Turns YAML nodes into plain data and remembers where each came from."""

    def __init__(self, file: str, marks: dict[KeyPath, Mark]) -> None:
        self.file = file
        self.marks = marks
        self.nodes = 0

    def convert(self, node: yaml.Node, path: KeyPath) -> Any:
        # Aliases share nodes, so a small file could unfold without end.
        self.nodes += 1
        mark = self._mark(node)
        if self.nodes > _MAX_NODES:
            raise UsageError(f"{mark}: this recipe unfolds into more than {_MAX_NODES} parts")
        self.marks.setdefault(path, mark)
        if node.tag not in _CORE_TAGS:
            raise UsageError(f"{mark}: the tag '{node.tag}' is not allowed in a recipe")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise UsageError(f"{mark}: a key must be a word")
            key = str(key_node.value)
            if key in data:
                raise UsageError(f"{mark}: '{key}' stands here a second time")
            self.marks[(*path, key)] = mark
            data[key] = self.convert(value_node, (*path, key))
        return data

    def _scalar(self, node: yaml.Node) -> Any:
        kind, text = node.tag.rpartition(":")[2], str(node.value)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            try:
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            except ValueError:  # Python reads no more than 4300 digits
                raise UsageError(f"{self._mark(node)}: a number of {len(text)} digits is too long") from None
        if kind == "float":
            plain = text.lower().replace(".inf", "inf").replace(".nan", "nan")
            value = float(plain)
            if not math.isfinite(value):
                raise UsageError(f"{self._mark(node)}: '{text}' is not a finite number")
            return value
        return text

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self.file, node.start_mark.line + 1, node.start_mark.column + 1)
