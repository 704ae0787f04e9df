"""Claims about denoisers that learn from a run, and about weights that a run finds by their name."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from cemi_core.errors import UsageError
from cemi_core.model.abilities import DenoiserAbilities
from cemi_core.model.result import Result, Table
from cemi_core.model.settings import InputPathOrName, Settings
from cemi_core.plugins import DenoiserPlugin
from cemi_core.plugins.manager import Plugins, Registered
from cemi_run.engine.folder import RunFolder
from cemi_run.flow import dry_run
from cemi_run.recipe.check import check_recipe
from cemi_run.steps.adapted import keep_adapted, kept_adapted

SUMMARY = ("quantity", "value", "limit", "verdict")


class LearnerSettings(Settings):
    learn: bool = False
    model: InputPathOrName = "net"


@dataclass(frozen=True)
class Learner:
    """Adds to each picture what it has learnt, which is another number each time."""

    learn: bool = True
    model: str = "net"
    weights: bytes | None = None
    notes: tuple[str, ...] = ()
    threads: int = field(default=1, kw_only=True)
    halo = 0
    taught, called, asked = 0, 0, []

    def __call__(self, block, info=None):
        Learner.called += 1
        return block + np.float32(len(self.weights or b"") / 255)

    def adapt(self, frames, layout):
        Learner.taught += 1
        return replace(self, learn=False, weights=bytes(Learner.taught), notes=(*self.notes, f"lesson {self.taught}"))

    def judge(self, raw, denoised, layout, executor):
        Learner.asked.append((self.learn, self.weights, float((denoised.read(0) - raw.read(0)).mean() * 255)))
        return Result("", (), (Table("summary", SUMMARY, ()),))


def make_learner(settings, runtime):
    return Learner(settings.learn, settings.model, threads=runtime.threads)


def abilities_of_learner(settings):
    return DenoiserAbilities(learns=settings.learn, needs_layout=settings.learn, judges=True)


@pytest.fixture
def tiny_registry(tiny_registry):
    Learner.taught, Learner.called, Learner.asked = 0, 0, []
    plugin = DenoiserPlugin("learner", "Learns.", make_learner, LearnerSettings, abilities_of_learner)
    return Plugins([*tiny_registry.plugins, Registered(plugin, "tiny", "1.0")])


class _Kill(BaseException):
    pass


def stop_at(number):
    def stop(label, done, total):
        if label.startswith("denoising with") and done == number:
            raise _Kill

    return stop


LEARN = "denoise=[{use: learner, with: {learn: true}}]"


def test_a_killed_run_goes_on_with_what_it_has_learnt(run):
    with pytest.raises(_Kill):
        run(LEARN, progress=stop_at(1))
    assert (Learner.taught, Learner.called) == (1, 1)
    run(LEARN)
    assert (Learner.taught, Learner.called) == (1, 6)
    assert "lesson 1" in (run.out / "report.html").read_text()
    assert run(LEARN) == set()


def test_the_one_that_has_learnt_judges_its_work(run):
    run(LEARN)
    ((learns, weights, change),) = Learner.asked
    assert (learns, weights) == (False, bytes(1))
    assert change == pytest.approx(1, abs=0.01)


class Silent(Learner):
    """Does not judge."""

    judge = None


def test_the_report_says_so_if_neither_before_nor_after_learning_there_is_a_check(run, tiny_registry):
    made = DenoiserPlugin(
        "learner",
        "Learns.",
        lambda s, r: Silent(s.learn, s.model),
        LearnerSettings,
        lambda s: DenoiserAbilities(learns=s.learn, needs_layout=s.learn),
    )
    tiny_registry.plugins[-1] = Registered(made, "tiny", "1.0")
    run(LEARN)
    page = (run.out / "report.html").read_text()
    assert "learner on frames" in page and "This denoiser has no checks of its own work." in page


def test_it_learns_again_when_what_it_learnt_is_lost_and_forgets_when_told_to(run):
    with pytest.raises(_Kill):
        run(LEARN, progress=stop_at(1))
    kept = run.out / ".cemi" / "adapted-denoise-0-learner.h5"
    kept.write_bytes(b"damaged")
    run(LEARN)
    assert (Learner.taught, Learner.called) == (2, 7)  # no frame stays that the first one has denoised
    run("denoise=[{use: learner}]")
    assert not kept.exists()


def test_what_cannot_be_kept_is_learnt_again_and_nothing_is_left(tmp_path):
    path, asked = tmp_path / "a.h5", Learner()
    assert not keep_adapted(path, "k", asked, replace(asked, notes=(np.zeros(2),)))
    assert not path.exists() and kept_adapted(path, "k", asked) is None
    learnt = replace(asked, weights=b"ab", notes=("x",), learn=False)
    assert keep_adapted(path, "k", asked, learnt)
    assert kept_adapted(path, "other", asked) is None
    assert kept_adapted(path, "k", replace(asked, threads=7)) == replace(learnt, threads=7)


def test_learning_from_overlaps_on_the_mosaic_is_refused_before_the_work(run):
    with pytest.raises(UsageError, match="'learn: True' learns from frames that overlap, and the mosaic has none"):
        run("denoise=[{use: learner, on: mosaic, with: {learn: true}}]")
    assert not (run.out / "frames.zarr").exists()


def test_other_weights_of_the_same_name_denoise_anew_and_the_same_elsewhere_do_not(
    run, machine, tmp_path, recipe_file, tiny_registry
):
    for name, content in {"here": b"one", "there": b"one", "other": b"two"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.safetensors").write_bytes(content)
        (tmp_path / name / "unused.safetensors").write_bytes(name.encode())
    recipe = check_recipe(recipe_file, tiny_registry, ["denoise=[{use: learner}]"])

    def reason(folder):
        verdicts = dry_run(recipe, RunFolder(run.out), replace(machine, weights_dir=str(tmp_path / folder)))
        return next(verdict.reason for verdict in verdicts if verdict.step.name == "denoise-0-learner")

    run("denoise=[{use: learner}]", machine=replace(machine, weights_dir=str(tmp_path / "here")))
    assert reason("here") == reason("there") == ""
    assert "changed: weights.net.safetensors" in reason("other")
    (tmp_path / "here" / "net.safetensors").write_bytes(b"three")
    assert "changed: weights.net.safetensors" in reason("here")
