"""ASHLAR's alignment imported without Java, which only its reader of microscope files needs."""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from cemi_core.errors import MissingDependencyError

_LOCK = Lock()


class _NoJava:
    """Stands for every Java class that ``ashlar.reg`` looks up while it is imported; none of them is used after."""

    def __getattr__(self, name: str) -> _NoJava:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *values: Any) -> _NoJava:
        return self


def ashlar_alignment() -> ModuleType:
    """Return the module ``ashlar.reg``.

    While it is imported, ``jnius`` and ``jnius_config`` are stood in for, so that no Java machine is started or even
    needed; the frames come from CEMI.

    Raises
    ------
    MissingDependencyError
        ASHLAR is not installed.
    """
    with _LOCK:
        if "ashlar.reg" in sys.modules:
            return sys.modules["ashlar.reg"]
        lent = [name for name in ("jnius", "jnius_config") if name not in sys.modules]
        for name in lent:
            module = ModuleType(name)
            module.__dict__.update(vm_running=True, autoclass=_NoJava(), cast=_NoJava())
            sys.modules[name] = module
        try:
            return import_module("ashlar.reg")
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"the stitcher 'ashlar' needs the package '{error.name}', which is not installed; "
                "run: pip install 'cemi-stitch-ashlar[ashlar]'"
            ) from error
        finally:
            for name in lent:
                del sys.modules[name]
