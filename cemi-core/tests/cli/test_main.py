"""Claims about the program: an error that nobody expected still says whose it is."""

import importlib
import sys

import pytest

from cemi_core.cli.main import run
from cemi_core.plugins import DenoiserPlugin
from cemi_core.plugins.manager import Registered, Registry


@pytest.fixture
def fails(tmp_path, monkeypatch, capsys):
    """Let a command fail inside a module of a package and return what the program says."""

    def call(raising, package="cemi_thirdparty"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"def fail(**_):\n    {raising}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, package, raising=False)
        found = Registry([Registered(DenoiserPlugin("x", "X.", "cemi_thirdparty:fail"), "cemi-thirdparty", "2.3")])
        monkeypatch.setattr("cemi_core.cli.main.registry", lambda: found)
        monkeypatch.setattr("cemi_core.cli.main.cli.main", importlib.import_module(package).fail)
        assert run([]) == 1
        return capsys.readouterr().err

    return call


def test_a_failure_inside_a_plugin_names_its_package(fails):
    assert "a defect of cemi-thirdparty 2.3" in fails("raise ZeroDivisionError")


def test_a_failure_elsewhere_is_cemi_s(fails):
    assert "a defect of cemi 0" in fails("raise ZeroDivisionError", package="elsewhere")


def test_what_the_system_refuses_is_no_defect(fails):
    said = fails("open('/none/of/these')")
    assert "'/none/of/these' cannot be used: No such file or directory" in said
    assert "defect" not in said


def test_want_of_memory_is_no_defect(fails):
    assert "defect" not in fails("raise MemoryError")
