"""The flow of a recipe: which steps there are, in which order, and what each builds on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cemi_core.errors import InputError, UsageError
from cemi_core.files.atomic import atomic_path, write_json_atomically
from cemi_core.model.progress import Progress
from cemi_core.model.settings import Settings
from cemi_core.model.stages import CONTRACTS
from cemi_core.plugins.manager import make
from cemi_core.plugins.types import AnalyzerPlugin, DenoiserPlugin, RelationPlugin, SourcePlugin, StitcherPlugin
from cemi_run.engine.abilities import prepared
from cemi_run.engine.executors import open_executor
from cemi_run.engine.fingerprint import InputFingerprints, code_of, input_paths, weights_paths
from cemi_run.engine.folder import RunFolder
from cemi_run.engine.plan import Context, Machine, Outcome, Step, Timing, Verdict, carry_out, judge
from cemi_run.engine.provenance import provenance
from cemi_run.recipe.check import CheckedRecipe, Choice
from cemi_run.recipe.schema import GridSpec
from cemi_run.steps.adapted import setting_that_learns
from cemi_run.steps.conditions import relate_condition, require_condition
from cemi_run.steps.denoise_quality import judge_frames, judge_mosaic
from cemi_run.steps.finish import Ending, finish_run
from cemi_run.steps.frames import denoise_frames, keep_frames
from cemi_run.steps.measure import analyze_mosaic
from cemi_run.steps.place import load_layout, place_frames
from cemi_run.steps.quality import judge_stitching
from cemi_run.steps.relate import relate_profiles
from cemi_run.steps.render import denoise_mosaic, render_mosaic
from cemi_run.store.frame_cache import FRAMES_READ_LAST

log = logging.getLogger("cemi")


@dataclass(frozen=True)
class Flow:
    """The steps of a recipe, the choices behind them, and the fingerprints of what they read."""

    steps: tuple[Step, ...]
    choices: tuple[Choice[Any], ...]
    inputs: dict[str, str]


def choices_of(recipe: CheckedRecipe) -> tuple[Choice[Any], ...]:
    """Return every plugin that a recipe picks, in the order of the flow."""
    relation = (recipe.relation,) if recipe.relation else ()
    report = (recipe.report,) if recipe.report else ()
    return (recipe.source, *recipe.denoisers, recipe.stitcher, *recipe.analyzers, *relation, *report)


def plan_flow(recipe: CheckedRecipe, fingerprints: InputFingerprints, machine: Machine) -> Flow:
    """Return the steps of a recipe; inputs are read once to know whether they changed.

    Raises
    ------
    InputError
        An input that the recipe names does not exist.
    """
    inputs: dict[str, str] = {}

    def described(choice: Choice[Any], **more: Any) -> dict[str, Any]:
        found, weights = (
            fingerprints.of(paths) for paths in (input_paths(choice), weights_paths(choice, machine.weights_dir))
        )
        inputs.update(found | weights)
        if weights:  # by their names: where the folder lies is the machine's business
            more["weights"] = {Path(path).name: content for path, content in weights.items()}
        code = code_of(choice.plugin.package, choice.plugin.module)
        if choice.channel:
            more["channel"] = choice.channel
        return {**choice.resolved(), "code": code, "files": found, "seed": machine.seed, **more}

    def placing(choice: Choice[StitcherPlugin]) -> dict[str, Any]:
        """Leave out what only the picture depends on, so that another way of blending keeps the layout."""
        inputs_of = described(choice)
        skipped = type(choice.settings).picture_only if isinstance(choice.settings, Settings) else frozenset()
        return {**inputs_of, "with": {k: v for k, v in inputs_of["with"].items() if k not in skipped}}

    keep = partial(keep_frames, recipe.source, wanted=_wanted_channels(recipe))
    source_check = partial(_prepare, recipe.source)
    steps = [Step("frames", "Frames", described(recipe.source), (), keep, check=source_check)]
    frames_step, judging = _add_frame_denoisers(recipe, described, steps)
    place, check = partial(place_frames, recipe.stitcher, frames_step, "layout"), partial(_prepare, recipe.stitcher)
    steps.append(Step("layout", "Layout", placing(recipe.stitcher), (frames_step,), place, check=check))
    mosaic_step, judging_mosaic = _add_mosaic(recipe, described, steps, frames_step)
    quality = partial(judge_stitching, recipe.stitcher, frames_step)
    steps.append(Step("quality", "Stitching quality", placing(recipe.stitcher), ("layout", frames_step), quality))
    steps += [*judging, *judging_mosaic]
    masking: dict[str, tuple[str, ...]] = {}
    grid = recipe.grid.model_dump(mode="json") if isinstance(recipe.grid, GridSpec) else recipe.grid
    named = [(f"analyze-{number}-{choice.name}", choice) for number, choice in enumerate(recipe.analyzers)]
    for name, choice in sorted(named, key=lambda one: not one[1].mask):  # those that mask cells go first
        before = {} if choice.mask else dict(masking)
        work = partial(analyze_mosaic, choice, mosaic_step, name, recipe.grid, before)
        about, check = described(choice, grid=grid), partial(_prepare, choice)
        steps.append(Step(name, f"Measure {choice.name}", about, (mosaic_step, *before), work, check=check))
        masking |= {name: choice.plugin.description.abilities_of(choice.settings).unfit} if choice.mask else {}
    analyze_steps = [name for name, _ in named]
    if recipe.relation and recipe.relate:
        path = Path(recipe.relate.property) if recipe.relate.property is not None else None
        table = fingerprints.of([path] if path is not None and path.is_file() else [])
        inputs.update(table)
        told = recipe.relate.model_dump(mode="json", by_alias=True, exclude_none=True)
        relate_inputs = described(recipe.relation, table=table, **told)
        if recipe.relate.condition is not None:
            relate = partial(relate_condition, recipe.relation, recipe.relate.condition, analyze_steps)
            check = partial(require_condition, recipe.source, recipe.relation, recipe.relate.condition)
            steps.append(Step("relate", "Relate", relate_inputs, ("frames", *analyze_steps), relate, check=check))
        else:
            relate = partial(relate_profiles, recipe.relation, recipe.relate, analyze_steps, mosaic_step, recipe.grid)
            check = partial(_prepare, recipe.relation)
            steps.append(Step("relate", "Relate", relate_inputs, (mosaic_step, *analyze_steps), relate, check=check))
    after = tuple(step.name for step in steps)
    choices = choices_of(recipe)
    judge_steps = tuple(step.name for step in (*judging, *judging_mosaic))
    title = recipe.title or recipe.path.stem
    # What a denoiser did to the mosaic as a whole cannot be seen in single frames.
    repeated = frames_step if mosaic_step == "mosaic" else ""
    ending = Ending(title, mosaic_step, tuple(analyze_steps), judge_steps, recipe, choices, after, repeated)
    shown: dict[str, Any] = {"title": ending.title, "pixel_size_share": recipe.pixel_size_share}
    if recipe.report is not None:
        shown["report"] = described(recipe.report)
    steps.append(Step("report", "Report", shown, after, partial(finish_run, ending), False))
    return Flow(tuple(steps), choices, inputs)


def _wanted_channels(recipe: CheckedRecipe) -> dict[str, str]:
    """Return the channels that the recipe asks for, by the key that names each."""
    named = {"stitch.match_channel": recipe.stitcher.channel}
    named |= {f"analyze {choice.name}: channel": choice.channel for choice in recipe.analyzers}
    return {where: name for where, name in named.items() if name}


def _prepare(
    choice: Choice[SourcePlugin]
    | Choice[DenoiserPlugin]
    | Choice[StitcherPlugin]
    | Choice[AnalyzerPlugin]
    | Choice[RelationPlugin],
    machine: Machine,
) -> None:
    """Look, before any work, whether a plugin has what it declares, and let it try its files, weights and device."""
    abilities = choice.plugin.description.abilities_of(choice.settings)
    if any(vars(abilities)[ability] for ability in CONTRACTS[type(abilities)]):
        prepared(make(choice.plugin, choice.settings, machine.runtime()), choice.plugin, abilities)


def _add_frame_denoisers(recipe: CheckedRecipe, described: Any, steps: list[Step]) -> tuple[str, list[Step]]:
    """Add the denoisers on frames; return the step that gives the frames to stitch, and steps that judge them later."""
    before = "frames"
    judging = []
    for number, choice in enumerate(recipe.denoisers):
        if choice.on != "mosaic":
            name = f"denoise-{number}-{choice.name}"
            after: tuple[str, ...] = (before,)
            raw_layout: str | None = None
            abilities = choice.plugin.description.abilities_of(choice.settings)
            if abilities.learns and abilities.needs_layout:
                raw_layout = f"layout-for-{name}"
                place = partial(place_frames, recipe.stitcher, before, raw_layout)
                steps.append(Step(raw_layout, f"Layout for {choice.name}", described(recipe.stitcher), after, place))
                after = (before, raw_layout)
            work = partial(_denoise_with_layout, choice, before, name, raw_layout)
            label, check = f"Denoise frames with {choice.name}", partial(_prepare, choice)
            steps.append(Step(name, label, described(choice), after, work, check=check))
            # what it becomes may judge; images of another size cannot be compared with what they came from
            if (abilities.judges or abilities.learns) and abilities.scale == 1:
                judging.append(_judging(choice, described(choice), before, name, judge_frames, ("layout",)))
            before = name
    return before, judging


def _judging(
    choice: Choice[DenoiserPlugin], inputs: Any, before: str, name: str, work: Any, more: tuple[str, ...] = ()
) -> Step:
    """Return the step in which a denoiser judges the step ``name`` of its own."""
    own = f"judge-{name}"
    after = (before, name, *more)
    return Step(own, f"Quality of {choice.name}", inputs, after, partial(work, choice, before, name, own))


def _denoise_with_layout(
    choice: Choice[DenoiserPlugin], before: str, name: str, raw_layout: str | None, context: Context
) -> Outcome:
    layout = load_layout(context.folder.output_of(raw_layout)) if raw_layout else None
    return denoise_frames(choice, before, name, layout, context)


def _add_mosaic(recipe: CheckedRecipe, described: Any, steps: list[Step], frames_step: str) -> tuple[str, list[Step]]:
    """Add the picture and the denoisers on it; return the step of the finished mosaic, and steps that judge them."""
    on_mosaic = [choice for choice in recipe.denoisers if choice.on == "mosaic"]
    work = partial(render_mosaic, recipe.stitcher, "layout", frames_step, not on_mosaic)
    steps.append(
        Step("mosaic", "Mosaic", described(recipe.stitcher, final=not on_mosaic), ("layout", frames_step), work)
    )
    before = "mosaic"
    judging = []
    for number, choice in enumerate(on_mosaic):
        final = number == len(on_mosaic) - 1
        name = f"denoise-mosaic-{number}-{choice.name}"
        work = partial(denoise_mosaic, choice, before, number + 1, final)
        label, check = f"Denoise the mosaic with {choice.name}", partial(_prepare, choice)
        steps.append(Step(name, label, described(choice, final=final), (before,), work, check=check))
        if (learning := setting_that_learns(choice)) is not None:
            raise UsageError(
                f"denoise with {choice.name} on the mosaic: '{learning[0]}: {learning[1]}' learns from frames that "
                "overlap, and the mosaic has none; leave out 'on: mosaic'"
            )
        abilities = choice.plugin.description.abilities_of(choice.settings)
        if abilities.judges and abilities.scale == 1:
            judging.append(_judging(choice, described(choice), before, name, judge_mosaic))
        before = name
    return before, judging


def dry_run(recipe: CheckedRecipe, folder: RunFolder, machine: Machine) -> list[Verdict]:
    """Return for each step whether it would run and why, without writing anything."""
    return judge(plan_flow(recipe, InputFingerprints(folder.inputs), machine).steps, folder)


def run_recipe(
    recipe: CheckedRecipe, out: Path, machine: Machine, progress: Progress, discard: Sequence[str] = ()
) -> list[Timing]:
    """Carry out a recipe in the run folder ``out``; steps whose results are up to date are kept.

    Parameters
    ----------
    recipe : CheckedRecipe
    out : Path
        The run folder; made if it does not exist.
    machine : Machine
    progress : callable
    discard : sequence of str
        ``"frames"`` removes ``frames.zarr`` at the end; a later run that needs the frames reads them again.

    Raises
    ------
    CemiError
        An input is unusable, the disk is full, or another process writes to the folder. What is finished stays.
    """
    folder = RunFolder(out)
    started = datetime.now(UTC)
    _require_inputs(recipe)
    with folder.opened_for_writing(), _logged_to(folder.log):
        with atomic_path(folder.resolved_recipe) as temporary:
            temporary.write_text(recipe.to_yaml(), encoding="utf-8")
        fingerprints = InputFingerprints(folder.inputs)
        flow = plan_flow(recipe, fingerprints, machine)
        fingerprints.save()
        try:
            with open_executor(machine.kind, machine.workers, machine.scheduler) as executor:
                timings = carry_out(flow.steps, Context(executor, machine, progress, folder))
        finally:
            FRAMES_READ_LAST.clear()
        record = provenance(flow.choices, flow.inputs, machine, timings, started)
        write_json_atomically(folder.provenance, record)
        _forget_stale(folder, flow)
        if "frames" in discard:
            _discard_frames(folder)
    return timings


def _require_inputs(recipe: CheckedRecipe) -> None:
    table = recipe.relate.property if recipe.relate is not None else None
    if table is not None and not Path(table).is_file():
        raise InputError(f"there is no property table {table}")


def _forget_stale(folder: RunFolder, flow: Flow) -> None:
    """Remove records and results of steps that the recipe no longer has."""
    names = {step.name for step in flow.steps}
    kept_in = [
        place.resolve() for place in (folder.frames, folder.inner, folder.path / "objects", folder.path / "layers")
    ]
    for path in folder.steps.glob("*.json"):
        record = folder.record(path.stem)
        if record is None or record.name in names:
            continue
        for output in record.outputs:
            target = (folder.path / output).resolve()
            if target.parent not in kept_in:
                continue  # results that stay, or a record that somebody else wrote
            if target.is_dir():
                shutil.rmtree(target, ignore_errors=True)
            else:
                target.unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _discard_frames(folder: RunFolder) -> None:
    for path in folder.steps.glob("*.json"):
        record = folder.record(path.stem)
        if record is not None and any(Path(output).parts[0] == folder.frames.name for output in record.outputs):
            folder.finish(replace(record, discarded=True))
    shutil.rmtree(folder.frames, ignore_errors=True)


@contextmanager
def _logged_to(path: Path) -> Any:
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    except BaseException as error:
        log.debug("stopped: %s", error, exc_info=True)
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
