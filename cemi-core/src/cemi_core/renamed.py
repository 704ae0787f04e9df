"""Old import paths: they go on working for one release, with a `DeprecationWarning` that names the new one."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

#: Old package, new package, and the modules that went from one to the other (``old>new`` where the name changed).
Moves = Iterable[tuple[str, str, str]]

CORE_MOVES: Moves = (
    ("cemi_core.store", "cemi_core.files", "atomic"),
    ("cemi_core.sources", "cemi_core.files", "files>find"),
    ("cemi_core.sources", "cemi_core.images", "read_image tiff_tags vendor"),
    ("cemi_core.sources", "cemi_core.model", "float_range>pixels"),
    ("cemi_core.model", "cemi_core.model", "flat_field>corrections"),
    ("cemi_core.export", "cemi_core.images", "write_image"),
    ("cemi_core.run", "cemi_core.numeric", "tiles"),
    ("cemi_core.run", "cemi_run.engine", "executors fingerprint folder plan progress provenance"),
    (
        "cemi_core.run",
        "cemi_run.steps",
        "adapted denoise_quality finish frames measure place quality render twins>duplicates",
    ),
    ("cemi_core.run", "cemi_run", "flow"),
    ("cemi_core.run", "cemi_run.jobs", "against>compare denoise_files live>follow"),
    (
        "cemi_core.sources",
        "cemi_run.sources.video",
        "decode deskew motion pick scan_front screen video>source video_pass>one_pass whole_scans",
    ),
    ("cemi_core.sources", "cemi_run.sources", "array data_bar images plugin positions stills"),
    (
        "cemi_core.cli",
        "cemi_run.cli",
        "__main__ analyze choices denoise doctor export extract follow main new_plugin options plugin plugins "
        "recipe relate report schema stitch",
    ),
    ("cemi_core.recipe", "cemi_run.recipe", "check json_schema load schema settings_file settings_table yaml_tree"),
    (
        "cemi_core.store",
        "cemi_run.store",
        "encoding frames hdf5 hdf5_table levels map_csv ome_zarr protocol pyramid reserve run_file",
    ),
    ("cemi_core.export", "cemi_run.export", "deep_zoom ome_tiff ome_zarr pixels plugin png"),
    (
        "cemi_core.report",
        "cemi_report",
        "blocks denoising_section figures map_figures numbers page pair_tables picture picture_figures "
        "placement_figures quality_section reasons relation_figures sections summary",
    ),
    ("cemi_core.report", "cemi_core.model", "data>finished_run"),
    ("cemi_core.testing", "cemi_run.testing", "recipe_kits"),
    ("cemi_core", "cemi_run", "cli export recipe sources store"),
    ("cemi_core", "", "report>cemi_report run>cemi_run"),
)
#: Names that are elsewhere, or called otherwise: old module -> old name -> (module, name).
Names = Mapping[str, Mapping[str, tuple[str, str]]]
CORE_NAMES: Names = {
    "cemi_core.testing": {
        "ExporterTests": ("cemi_run.testing", "ExporterTests"),
        "StitcherRecipeTests": ("cemi_run.testing", "StitcherRecipeTests"),
    },
    "cemi_core.model.finished_run": {"ReportData": ("cemi_core.model.finished_run", "FinishedRun")},
    "cemi_run.steps.measure": {
        name: ("cemi_run.steps.relate", name) for name in ("read_property_table", "relate_profiles", "write_related")
    },
    "cemi_report.page": {"ReportData": ("cemi_core.model.finished_run", "FinishedRun")},
}

_NAMES: dict[str, Mapping[str, tuple[str, str]]] = dict(CORE_NAMES)


class _NewModule:
    """Gives the new module under its old name: one module, two names."""

    def __init__(self, new: str) -> None:
        self._new = new

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the import machinery."""

    def exec_module(self, module: ModuleType) -> None:
        new = import_module(self._new)
        if self._new in _NAMES and not hasattr(new, "__getattr__"):  # no plugin
            new.__getattr__ = partial(old_name, self._new)  # type: ignore[method-assign]
        sys.modules[module.__name__] = new

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of the new module, for ``python -m OLD``."""
        from importlib.util import find_spec

        spec = find_spec(self._new)
        loader: Any = spec.loader if spec is not None else None
        code: CodeType | None = None if loader is None else loader.get_code(self._new)
        return code


class _Finder:
    """Finds modules by the names that they had."""

    def __init__(self) -> None:
        self._moves: list[Moves] = []
        self._moved: dict[str, str] = {}

    def add(self, moves: Moves) -> None:
        """Remember moves; they are looked at when a module of that name is asked for and not before."""
        self._moves.append(moves)

    @property
    def moved(self) -> Mapping[str, str]:
        """New name of every module by its old one."""
        while self._moves:
            for old_package, new_package, modules in self._moves.pop():
                for entry in modules.split():
                    old, _, new = entry.partition(">")
                    name = f"{new_package}.{new or old}" if new_package else new or old
                    self._moved[f"{old_package}.{old}"] = name
        return self._moved

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, and say the new one."""
        if not fullname.startswith("cemi_"):
            return None
        new = self.moved.get(fullname)
        if new is None:
            return None
        warnings.warn(f"{fullname} is {new} now", DeprecationWarning, stacklevel=2)
        is_package = hasattr(sys.modules.get(new), "__path__")  # no plugin
        loader: Any = _NewModule(new)
        return ModuleSpec(fullname, loader, is_package=is_package)


_FINDER = _Finder()


def keep_old_modules(moves: Moves, names: Names | None = None) -> None:
    """Let modules be imported by their old names for a release.

    Parameters
    ----------
    moves : iterable of (str, str, str)
        See `Moves`.
    names : mapping, optional
        What such a module no longer holds, or holds under another name; see `Names`.
    """
    _NAMES.update(names or {})
    _FINDER.add(moves)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def old_name(module: str, name: str) -> Any:
    """Return what a module once had under a name; call it in its ``__getattr__`` (PEP 562).

    Raises
    ------
    AttributeError
        It never had such a name.
    """
    if name not in _NAMES.get(module, {}):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    new_module, new_name = _NAMES[module][name]
    warnings.warn(f"{module}.{name} is {new_module}.{new_name} now", DeprecationWarning, stacklevel=3)
    return getattr(import_module(new_module), new_name)


def old_contents(package: str, module: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that was a module of the same name, whose contents are in ``module``."""

    def load(name: str) -> Any:
        try:
            found = getattr(import_module(module), name) if not name.startswith("__") else None
        except AttributeError:
            found = None
        if found is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(f"{package}.{name} is {module}.{name} now", DeprecationWarning, stacklevel=2)
        return found

    return load
