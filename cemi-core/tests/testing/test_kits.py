"""Claims about the test kits: a plugin that says something else than it can do, or is costly to make, does not pass."""

import numpy as np
import pytest

from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.settings import Settings
from cemi_core.plugins import DenoiserPlugin
from cemi_core.testing import DenoiserTests
from cemi_core.testing.factories import costs_of_making


class CopySettings(Settings):
    judge: bool = False


class Copy:
    halo = 0

    def __call__(self, block, info=None):
        return np.array(block)


class JudgingCopy(Copy):
    def judge(self, raw, denoised, layout, executor): ...


def kit(made, abilities, more=()):
    """Return a kit of a plugin that makes objects of a class and declares abilities."""

    class Kit(DenoiserTests):
        more_settings = more

        def plugin(self):
            return DenoiserPlugin("copy", "Copies.", lambda settings, runtime: made(), CopySettings, abilities)

    return Kit()


def test_a_declared_ability_without_its_method_is_named():
    with pytest.raises(
        AssertionError, match=r"'copy' declares the ability 'judges' with \{\}, and Copy .* has no judge"
    ):
        kit(Copy, DenoiserAbilities(judges=True)).test_what_it_declares_it_can_do_and_what_it_can_do_it_declares()


def test_a_method_without_its_declared_ability_is_named():
    with pytest.raises(AssertionError, match=r"JudgingCopy .* has judge, and 'copy' does not declare .* 'judges'"):
        kit(JudgingCopy, DenoiserAbilities()).test_what_it_declares_it_can_do_and_what_it_can_do_it_declares()


def test_an_ability_that_hangs_on_a_setting_is_found_with_the_settings_that_the_kit_names():
    def abilities(settings):
        return DenoiserAbilities(judges=settings.judge)

    tested = kit(JudgingCopy, abilities, [{"judge": True}])
    tested.test_what_it_declares_it_can_do_and_what_it_can_do_it_declares()
    with pytest.raises(AssertionError, match="name in more_settings those with which it does"):
        kit(JudgingCopy, abilities).test_what_it_declares_it_can_do_and_what_it_can_do_it_declares()


def test_abilities_that_make_the_plugin_or_differ_each_time_are_named():
    def by_making(settings):
        return DenoiserAbilities(judges=bool(Copy()))

    count = []

    def other_each_time(settings):
        count.append(1)
        return DenoiserAbilities(scale=len(count))

    with pytest.raises(AssertionError, match="'copy' is made to tell what it can do"):
        kit(Copy, by_making).test_its_abilities_are_told_from_settings_alone_and_twice_the_same()
    with pytest.raises(AssertionError):
        kit(Copy, other_each_time).test_its_abilities_are_told_from_settings_alone_and_twice_the_same()


def test_an_object_alone_is_tested_without_a_description():
    class Alone(DenoiserTests):
        def make(self):
            return Copy()

    Alone().test_keeps_shape_and_type_of_one_picture_and_of_a_stack()
    with pytest.raises(BaseException, match="give the name of its plugin"):
        Alone().test_planning_and_making_it_is_cheap()


PLUGIN = """\
from pathlib import Path
from cemi_core.model.settings import Settings

class Costly(Settings):
    weights: str = {weights!r}

def careful(settings, runtime):
    return settings

def reads(settings, runtime):
    return Path(settings.weights).read_bytes()

def imports(settings, runtime):
    import torch
"""


@pytest.fixture
def costly(tmp_path, monkeypatch):
    """A module with three factories and the module 'torch', in a folder on the path."""
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "costly.py").write_text(PLUGIN.format(weights=str(tmp_path / "weights.bin")))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_factory_that_reads_a_file_or_imports_a_large_library_is_named(costly):
    def costs(factory, **more):
        return costs_of_making(DenoiserPlugin("costly", "C.", f"costly:{factory}", "costly:Costly"), {}, **more)

    assert costs("careful") == []
    assert costs("reads") == [f"the factory opens {costly / 'weights.bin'}"]
    assert costs("reads", files_allowed=True) == []
    assert costs("imports") == ["the factory imports torch"]
    with pytest.raises(AssertionError, match=r"'costly' cannot be made from \{\}:(.|\n)*AttributeError"):
        costs("missing")


def test_settings_that_read_a_file_while_they_are_imported_are_named(costly):
    module = costly / "costly.py"
    module.write_text(module.read_text() + f"\nPath({str(costly / 'weights.bin')!r}).read_bytes()\n")
    plugin = DenoiserPlugin("costly", "C.", "costly:careful", "costly:Costly")
    assert costs_of_making(plugin, {}) == [f"planning opens {costly / 'weights.bin'}"]
