"""Claim: what plugins may lean on changes on purpose only.

The public names stand in ``public_names.txt``, a line per module; `make public-names` writes it anew.
"""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Packages that plugins may lean on.
PACKAGES = ("cemi_core", "cemi_learn")
LIST = Path(__file__).with_name("public_names.txt")
#: What a module has for itself: type variables and its logger.
OWN = ("TypeVar", "ParamSpec", "getLogger", "hookspec")


def modules_of(package):
    """Yield name and file of every public module of a package."""
    root = Path(find_spec(package).origin).parent
    for path in sorted(root.rglob("*.py")):
        parts = [package, *path.relative_to(root).with_suffix("").parts]
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts), path


def names_of(source):
    """Return the public names of a module: those in ``__all__``, or else those that it defines."""
    defined = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            defined.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            if names == ["__all__"]:
                return sorted(ast.literal_eval(statement.value))
            made_by = statement.value.func if isinstance(statement.value, ast.Call) else None
            if made_by is None or ast.unparse(made_by).rpartition(".")[2] not in OWN:
                defined.update(names)
    return sorted(name for name in defined if not name.startswith("_"))


def public_names(package):
    """Return the names of each module of a package that has some."""
    found = {module: names_of(path.read_text(encoding="utf-8")) for module, path in modules_of(package)}
    return {module: names for module, names in sorted(found.items()) if names}


def written(package):
    lines = [line.partition(":") for line in LIST.read_text(encoding="utf-8").splitlines()]
    return {name: rest.split() for name, _, rest in lines if name.partition(".")[0] == package}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_are_those_that_are_written_down(package):
    now, before = public_names(package), written(package)
    changes = []
    for module in sorted(now.keys() | before.keys()):
        new = set(now.get(module, ())) - set(before.get(module, ()))
        gone = set(before.get(module, ())) - set(now.get(module, ()))
        changes += [f"{module}: {name} is new" for name in sorted(new)]
        changes += [f"{module}: {name} is gone" for name in sorted(gone)]
    assert not changes, (
        "\n".join(changes) + "\nPlugins may lean on these names. If you mean it, run: make public-names; what is gone "
        "needs a new PLUGIN_API or a line in cemi_core/renamed.py"
    )


def test_names_are_those_of_all_or_else_those_that_are_defined():
    assert names_of("__all__ = ['b', 'a']\nc = 1") == ["a", "b"]
    source = "import x\nT = TypeVar('T')\nlog = logging.getLogger('l')\n_y = 1\nZ: int = 2\ndef f(): ...\nclass C: ..."
    assert names_of(source) == ["C", "Z", "f"]


if __name__ == "__main__":
    for package in PACKAGES:
        sys.stdout.writelines(f"{module}: {' '.join(names)}\n" for module, names in public_names(package).items())
