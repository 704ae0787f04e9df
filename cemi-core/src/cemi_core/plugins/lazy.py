"""Names that a package imports only on first use, because its registration module is imported at every start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` (PEP 562) that imports a name from its home module when it is asked for.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : mapping
        Public name -> module of the package that defines it.
    """

    def load(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
