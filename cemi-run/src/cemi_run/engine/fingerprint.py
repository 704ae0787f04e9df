"""Fingerprints: what a step was made from, so that a second run redoes only what changed."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cemi_core.files.atomic import write_json_atomically
from cemi_run.recipe.check import Choice, names_of_files, path_fields

#: Raised whenever a step of this package computes something else from the same settings.
STEP_FORMAT = 1
_READ_BYTES = 1 << 22


def digest(*parts: Any) -> str:
    """Return a short hash of plain data (anything that JSON can hold)."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def input_paths(choice: Choice[Any]) -> Iterator[Path]:
    """Yield every file that the path settings of a plugin name: files, folders (what lies in them) and globs."""
    for name in sorted(path_fields(type(choice.settings))):
        value = getattr(choice.settings, name)
        for text in _texts(value):
            yield from _files(text)


def _texts(value: Any) -> Iterator[str]:
    """Yield every path in a setting: a text, a list of them, or names with either."""
    if isinstance(value, dict):
        for of_one in value.values():
            yield from _texts(of_one)
    elif isinstance(value, list | tuple):
        for of_one in value:
            yield from _texts(of_one)
    elif value is not None:
        yield str(value)


def weights_paths(choice: Choice[Any], weights_dir: str | None) -> Iterator[Path]:
    """Yield the files in the folder of weights that a plugin's settings mean by their name without its ending."""
    names = set(names_of_files(choice.settings))
    if weights_dir is not None and names:
        yield from (path for path in _files(weights_dir) if names & {path.name, path.stem})


def _files(text: str) -> Iterator[Path]:
    path = Path(text)
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(p for p in path.iterdir() if p.is_file())
    else:
        yield from sorted(p for p in map(Path, glob.glob(text)) if p.is_file())  # noqa: PTH207 - absolute patterns


@cache
def code_of(package: str, module: str) -> str:
    """Return what stands for the code of a plugin in the key of a step.

    Its version; for an editable install, whose code changes without one, a hash of the files of the package that holds
    the plugin.

    Parameters
    ----------
    package : str
        Name of the distribution: ``"cemi-stitch"``.
    module : str
        Module that makes the plugin: ``"cemi_stitch.stitcher"``.
    """
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return ""
    told = json.loads(found.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable", False):
        return found.version
    spec = find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None:
        return found.version
    root = Path(spec.origin)
    files = sorted(root.parent.rglob("*.py")) if root.name == "__init__.py" else [root]
    return digest([(path.relative_to(root.parent).as_posix(), hash_file(path)) for path in files])


class InputFingerprints:
    """Hashes of input files, remembered by size and time of change so that a large video is read once.

    Parameters
    ----------
    memory : Path
        JSON file that keeps the hashes between runs.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, list[Any]] = _read_memory(memory)

    @property
    def paths(self) -> frozenset[Path]:
        """Absolute paths of the files whose hashes are known."""
        return frozenset(map(Path, self._known))

    def of(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return the hash of the content of each file, by absolute path."""
        found: dict[str, str] = {}
        for path in paths:
            status = path.stat()
            key, stamp = str(path), [status.st_size, status.st_mtime_ns]
            known = self._known.get(key)
            if known is None or known[:2] != stamp:
                known = [*stamp, hash_file(path)]
                self._known[key] = known
            found[key] = str(known[2])
        return found

    def save(self) -> None:
        """Keep what was learnt for the next run."""
        write_json_atomically(self._memory, self._known)


def hash_file(path: Path) -> str:
    """Return a hash of the whole content of a file, read in pieces."""
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            state.update(piece)
    return state.hexdigest()


def _read_memory(path: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
