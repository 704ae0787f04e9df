"""Claims about finding plugins: broken ones are named and passed over, names are looked up with suggestions."""

import subprocess
import sys
import types
from importlib.metadata import entry_points

import pytest

from cemi_core.errors import MissingDependencyError, PluginError, UsageError
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.plugins import DenoiserPlugin, hookimpl, hookspecs
from cemi_core.plugins.manager import HOOK_OF_STAGE, Registered, build_registry, make, registry
from cemi_core.plugins.types import PLUGIN_API


class _Dist:
    def __init__(self, name):
        self.name, self.version = name, "1.2"


class _Point:
    """Stands for an entry point of an installed package."""

    def __init__(self, package, load):
        self.name, self.value, self.dist, self._load = "p", f"{package}.plugin", _Dist(package), load

    def load(self):
        return self._load()


def _module(**functions):
    module = types.ModuleType("registration")
    module.PLUGIN_API = PLUGIN_API
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    return module


def _denoiser(name="box"):
    def cemi_denoisers():
        yield DenoiserPlugin(name, "A box.", factory="nowhere:make")

    return cemi_denoisers


def _point(package, **functions):
    return _Point(package, lambda: _module(**functions))


def test_a_plugin_that_cannot_be_imported_is_named_and_the_others_go_on():
    def fail():
        raise ImportError("no such thing")

    found = build_registry([_Point("broken", fail), _point("good", cemi_denoisers=_denoiser())])
    assert [p.name for p in found.plugins] == ["box"]
    assert [(p.package, p.version) for p in found.problems] == [("broken", "1.2")]
    assert "no such thing" in found.problems[0].reason


def test_a_hook_that_raises_half_way_keeps_what_it_gave_and_is_reported():
    def cemi_denoisers():
        yield DenoiserPlugin("first", "One.", factory="x:y")
        raise RuntimeError("half way")

    found = build_registry([_point("half", cemi_denoisers=cemi_denoisers), _point("good", cemi_denoisers=_denoiser())])
    assert {p.name for p in found.plugins} == {"first", "box"}
    assert "half way" in found.problems[0].reason


def test_a_hook_that_does_not_exist_is_reported_with_a_suggestion():
    found = build_registry([_point("typo", cemi_denoiser=_denoiser())])
    assert "did you mean 'cemi_denoisers'" in found.problems[0].reason


def test_a_description_of_another_stage_is_reported():
    def cemi_stitchers():
        yield DenoiserPlugin("box", "A box.", factory="x:y")

    found = build_registry([_point("wrong", cemi_stitchers=cemi_stitchers)])
    assert not found.plugins
    assert "no stitcher" in found.problems[0].reason


def test_two_plugins_of_one_name_are_an_error_that_names_both_packages():
    found = build_registry([_point("one", cemi_denoisers=_denoiser()), _point("two", cemi_denoisers=_denoiser())])
    with pytest.raises(UsageError, match=r"one 1\.2 and two 1\.2"):
        found.denoisers.get("box")
    assert [(stage, name) for stage, name, _ in found.conflicts()] == [("denoise", "box")]


def test_an_unknown_name_suggests_the_nearest_and_lists_what_is_installed():
    found = build_registry([_point("good", cemi_denoisers=_denoiser("nlm"))])
    with pytest.raises(UsageError, match=r"unknown denoiser 'nml'; did you mean 'nlm'\? installed: nlm"):
        found.denoisers.get("nml")


def test_a_missing_package_says_what_to_install():
    description = DenoiserPlugin("box", "A box.", factory="a_package_that_is_not_there.x:make")
    with pytest.raises(MissingDependencyError, match="pip install a_package_that_is_not_there"):
        make(Registered(description, "good", "1"), None, None)


@pytest.mark.parametrize("hook", sorted(HOOK_OF_STAGE.values()))
def test_every_hook_is_documented_with_an_example(hook):
    doc = getattr(hookspecs, hook).__doc__
    assert "Examples" in doc
    assert f"def {hook}():" in doc


def test_every_entry_point_of_this_installation_loads():
    assert registry().problems == []
    assert {point.dist.name for point in entry_points(group="cemi")} >= {"cemi-run", "cemi-report"}


@pytest.mark.parametrize("command", ["--help", "plugins"])
def test_help_and_plugins_import_nothing_heavy(command):
    code = (
        "import sys; from cemi_run.cli.main import run; run(sys.argv[1:]); "
        "heavy = {'numpy', 'torch', 'pydantic', 'scipy', 'h5py', 'yaml', 'cv2', 'zarr'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (None, "written for plugin API 1, and this CEMI has 2: declare what it can do with abilities"),
        (1, "state PLUGIN_API = 2 in its registration module registration"),
        ((3, 4), "written for plugin API 3 to 4, and this CEMI has 2: install a newer CEMI"),
        ((1, 2), ""),
        (2, ""),
    ],
)
def test_a_package_for_another_plugin_api_is_named_with_what_to_change(stated, says):
    module = _module(cemi_denoisers=_denoiser())
    del module.PLUGIN_API
    if stated is not None:
        module.PLUGIN_API = stated
    found = build_registry([_Point("old", lambda: module), _point("good", cemi_denoisers=_denoiser("other"))])
    assert [p.name for p in found.plugins] == (["other"] if says else ["box", "other"])
    assert says in (found.problems[0].reason if says else "")
    assert len(found.problems) == bool(says)


def test_a_plugin_that_exits_prints_or_lacks_a_module_harms_nobody(capsys):
    def leave():
        raise SystemExit(3)

    def shout():
        print("here I am")
        return _module(cemi_denoisers=_denoiser("loud"))

    def lack():
        raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere")

    points = [_Point("exits", leave), _Point("prints", shout), _Point("lacks", lack)]
    found = build_registry([*points, _point("good", cemi_denoisers=_denoiser())])
    assert {p.name for p in found.plugins} == {"box", "loud"}
    reasons = {p.package: p.reason for p in found.problems}
    assert "ends the program when it is imported (exit code 3)" in reasons["exits"]
    assert "pip install nowhere" in reasons["lacks"]
    assert capsys.readouterr().out == "", "stdout belongs to answers"


def test_abilities_are_a_function_of_the_settings_and_checked():
    plain = DenoiserPlugin("a", "A.", factory="x:y")
    assert plain.abilities_of(None) == DenoiserAbilities()
    told = DenoiserPlugin("a", "A.", factory="x:y", abilities=lambda settings: DenoiserAbilities(learns=settings))
    assert told.abilities_of(True).learns and not told.abilities_of(False).learns
    wrong = DenoiserPlugin("a", "A.", factory="x:y", abilities=lambda settings: {"learns": True})
    with pytest.raises(PluginError, match="'a' declares its abilities as dict, not as DenoiserAbilities"):
        wrong.abilities_of(None)
