"""Finds probes: code that looks whether an object has something, instead of asking what its description declares.

    python tools/no_probes.py cemi-*/src plugins-contrib/*/src

Found are ``getattr``, ``hasattr`` and their kin with a constant name, and ``inspect.signature``. A line that looks at
something else than a plugin (a function of the operating system, a module) says so with the comment ``# no plugin``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ALLOWED = "# no plugin"
_OF_A_NAME = {"getattr", "hasattr", "getattr_static", "attrgetter"}
_OF_A_CALL = {"signature", "getfullargspec"}


def probes(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every probe in a module that is not allowed by a comment on one of its lines."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_probe(node):
            own = lines[node.lineno - 1 : node.end_lineno]
            if not any(ALLOWED in line for line in own):
                yield node.lineno, ast.unparse(node)


def _is_probe(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")  # no plugin
    constant = any(isinstance(argument, ast.Constant) and isinstance(argument.value, str) for argument in call.args)
    return name in _OF_A_CALL or (name in _OF_A_NAME and constant)


def main(folders: list[str]) -> int:
    """Print every probe in the modules below some folders; return 1 if there is one."""
    found = 0
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*.py")):
        for line, text in probes(path.read_text(encoding="utf-8")):
            found = 1
            print(
                f"{path}:{line}: {text}: declare an ability and ask the description, or, of what is no plugin, "
                f"end the line with '{ALLOWED}'"
            )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
