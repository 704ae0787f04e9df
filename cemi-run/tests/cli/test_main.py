"""Claims about the program: an error that nobody expected still says whose it is."""

import importlib
import sys

import click
import pytest

from cemi_core.plugins import CommandPlugin, DenoiserPlugin
from cemi_core.plugins.manager import Plugins, Registered
from cemi_run.cli.main import run


@pytest.fixture
def fails(tmp_path, monkeypatch, capsys):
    """Let a command fail inside a module of a package and return what the program says."""

    def call(raising, package="cemi_thirdparty"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"def fail(**_):\n    {raising}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, package, raising=False)
        found = Plugins([Registered(DenoiserPlugin("x", "X.", "cemi_thirdparty:fail"), "cemi-thirdparty", "2.3")])
        monkeypatch.setattr("cemi_run.cli.main.registry", lambda: found)
        monkeypatch.setattr("cemi_run.cli.main.cli.main", importlib.import_module(package).fail)
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


@pytest.fixture
def two_trainers(monkeypatch):
    """Two packages offer commands that share their first word."""

    def command(name):
        return click.Command(name, callback=lambda: click.echo(f"trains a {name}"))

    found = Plugins(
        [
            Registered(CommandPlugin("train denoiser", "Train a denoiser.", command("denoiser")), "one", "1"),
            Registered(CommandPlugin("train segmenter", "Train a segmenter.", command("segmenter")), "two", "1"),
        ]
    )
    monkeypatch.setattr("cemi_run.cli.main.registry", lambda: found)


def test_packages_share_the_first_word_of_a_command(two_trainers, capsys):
    assert run(["train", "denoiser"]) == 0
    assert run(["train", "segmenter"]) == 0
    assert capsys.readouterr().out == "trains a denoiser\ntrains a segmenter\n"


def test_help_lists_commands_of_two_words(two_trainers, capsys):
    run(["--help"])
    assert "train denoiser" in capsys.readouterr().out
    run(["train", "--help"])
    told = capsys.readouterr().out
    assert "segmenter  Train a segmenter." in told


def test_a_second_word_that_does_not_exist_says_which_was_meant(two_trainers, capsys):
    assert run(["train", "denoisr"]) == 2
    assert "No such command 'train denoisr'. Did you mean 'denoiser'?" in capsys.readouterr().err
