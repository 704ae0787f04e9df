"""Which file of weights a setting means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cemi_core.errors import InputError


def find_weights_file(
    name: str, shipped: Mapping[str, Path], weights_dir: str | Path | None = None, made_by: str = "", hint: str = ""
) -> Path:
    """Return the file of weights that a setting means: a path, a name in ``weights_dir``, or one that is shipped.

    Parameters
    ----------
    name : str
        As in a recipe.
    shipped : mapping of str to Path
        The weights that come with a package, by name.
    weights_dir : str or Path, optional
        A folder of the user's.
    made_by, hint : str
        The command that writes such files, and what reads others, for the message.

    Raises
    ------
    InputError
        There is no such file, or it is one of another kind.
    """
    folders = [Path(weights_dir)] if weights_dir else []
    candidates = [Path(name), *(folder / file for folder in folders for file in (name, f"{name}.safetensors"))]
    there = [path for path in candidates if path.is_file()]
    found = next((path for path in there if path.suffix == ".safetensors"), None) or shipped.get(name)
    if found is None and there:
        raise InputError(f"{there[0]} is not a .safetensors file, such as '{made_by}' writes{hint}")
    if found is None:
        where = f" in {weights_dir}" if weights_dir else ""
        known = ", ".join(shipped) or "(none are shipped)"
        raise InputError(
            f"there are no weights {name!r}{where}; give the path of a .safetensors file, or one of: {known}"
        )
    return found
