"""Claims about plans: they need no plugin, and what cannot work is told before any work."""

import json

import pytest

from cemi_core.errors import InputError, PluginError
from cemi_core.model.abilities import AnalyzerAbilities, DenoiserAbilities, StitcherAbilities
from cemi_core.model.layers import LayerSpec
from cemi_core.plugins.types import Plugin
from cemi_run.engine.fingerprint import code_of
from cemi_run.engine.folder import RunFolder
from cemi_run.flow import dry_run
from cemi_run.recipe.check import check_recipe


def refuse(*args, **kwargs):
    raise AssertionError("a plugin is made")


@pytest.fixture
def verdicts(run, recipe_file, tiny_registry, machine):
    """Return why each step would run."""

    def verdicts(*overrides):
        recipe = check_recipe(recipe_file, tiny_registry, overrides)
        return {verdict.step.name: verdict.reason for verdict in dry_run(recipe, RunFolder(run.out), machine)}

    return verdicts


def test_neither_a_plan_nor_a_run_that_is_up_to_date_makes_a_plugin(run, verdicts, monkeypatch, declare):
    declare("box", DenoiserAbilities(wants_peak=True))
    run()
    monkeypatch.setattr(Plugin, "load_factory", refuse)
    assert run() == set()
    assert set(verdicts().values()) == {""}
    assert "changed: with.radius_px" in verdicts("denoise.0.radius_px=2")["denoise-0-box"]
    with pytest.raises(AssertionError, match="a plugin is made"):
        run("denoise.0.radius_px=2")


@pytest.mark.parametrize(
    ("name", "abilities", "said"),
    [
        ("box", DenoiserAbilities(learns=True), "'box' of tiny 1.0 declares the ability 'learns', .* has no adapt"),
        ("box", DenoiserAbilities(judges=True), "'box' of tiny 1.0 declares the ability 'judges', .* has no judge"),
        (
            "box",
            DenoiserAbilities(prepares=True),
            "'box' of tiny 1.0 .* 'prepares', and Box of cemi_box has no prepare",
        ),
        ("trusting", StitcherAbilities(judges=True), "'trusting' of tiny 1.0 .* 'judges', .* has no judge"),
        ("trusting", StitcherAbilities(counts_frames=True), "'counts_frames', and Trusting .* has no blend_and_count"),
        ("grey", AnalyzerAbilities(explains=True), "'grey' of tiny 1.0 .* 'explains', .* has no explain"),
        ("grey", AnalyzerAbilities(layers=(LayerSpec("m", "mask"),)), "'layers', .* has no process_with_layers"),
    ],
)
def test_a_plugin_that_lacks_what_it_declares_is_named_before_any_work(run, declare, name, abilities, said):
    declare(name, abilities)
    with pytest.raises(PluginError, match=said):
        run()
    assert not (run.out / "frames.zarr").exists()


def test_only_plugins_whose_steps_run_try_what_they_need(run, declare, monkeypatch):
    import cemi_box.denoiser
    import cemi_trusting.stitcher

    tried = []
    monkeypatch.setattr(cemi_box.denoiser.Box, "prepare", lambda self: tried.append(self.radius_px), raising=False)
    monkeypatch.setattr(cemi_trusting.stitcher.Trusting, "prepare", lambda self: tried.append("t"), raising=False)
    declare("box", DenoiserAbilities(prepares=True))
    declare("trusting", StitcherAbilities(prepares=True))
    run()
    assert tried == [1, "t", 1]
    tried.clear()
    assert run() == set()
    assert not tried
    run("denoise.1.radius_px=2")
    assert tried == [2]


def test_what_a_later_step_cannot_use_ends_the_run_before_the_first(run, declare, monkeypatch):
    import cemi_grey.analyzer

    def missing(self):
        raise InputError("there are no weights")

    monkeypatch.setattr(cemi_grey.analyzer.Grey, "prepare", missing, raising=False)
    declare("grey", AnalyzerAbilities(prepares=True))
    with pytest.raises(InputError, match="there are no weights"):
        run()
    assert not (run.out / "frames.zarr").exists()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make the package of the tiny plugins one that is installed: editable, or not."""
    folder = tmp_path / "site"

    def installed(editable):
        information = folder / "tiny-1.0.dist-info"
        information.mkdir(parents=True, exist_ok=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        told = {"url": "file:///somewhere", "dir_info": {"editable": editable}}
        (information / "direct_url.json").write_text(json.dumps(told))
        code_of.cache_clear()

    monkeypatch.syspath_prepend(folder)
    yield installed
    code_of.cache_clear()


def test_a_step_runs_again_when_the_code_of_its_editable_package_has_changed(run, verdicts, tiny_plugins, installed):
    installed(editable=True)
    run()
    added = tiny_plugins / "cemi-grey" / "src" / "cemi_grey" / "added.py"
    added.write_text("CONSTANT = 1\n")
    try:
        code_of.cache_clear()
        reasons = verdicts()
        assert reasons["analyze-0-grey"].startswith("changed: code '")
        assert {name for name, reason in reasons.items() if reason} == {"analyze-0-grey", "relate", "report"}
    finally:
        added.unlink()
    code_of.cache_clear()
    assert run() == set()


def test_the_version_stands_for_the_code_of_a_package_that_is_not_editable(run, tiny_plugins, installed):
    installed(editable=False)
    assert code_of("tiny", "cemi_grey.analyzer") == "1.0"
    assert code_of("no-such-package", "cemi_grey.analyzer") == ""
