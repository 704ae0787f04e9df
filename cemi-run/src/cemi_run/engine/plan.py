"""Steps and their keys: what is up to date, what must run again, and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cemi_core.model.progress import Progress
from cemi_core.model.stages import Runtime
from cemi_run.engine.executors import Kind
from cemi_run.engine.fingerprint import STEP_FORMAT, digest
from cemi_run.engine.folder import RunFolder, StepRecord

log = logging.getLogger("cemi")


@dataclass(frozen=True)
class Machine:
    """Where and how a run is done: never part of a recipe, never part of a key."""

    kind: Kind = "threads"
    workers: int = 2
    scheduler: str | None = None
    device: str = "cpu"
    seed: int = 0
    weights_dir: str | None = None

    def runtime(self) -> Runtime:
        """Return the machine as plugins see it; workers share the cores, so each gets one thread."""
        threads = 1 if self.workers > 1 else 2
        return Runtime(device=self.device, threads=threads, seed=self.seed, weights_dir=self.weights_dir)


@dataclass(frozen=True)
class Workers:
    """Who does the work, and who is told how far it is."""

    executor: Executor
    machine: Machine
    progress: Progress

    @property
    def in_flight(self) -> int:
        """Tasks that may be under way at a time."""
        return 2 * self.machine.workers


@dataclass(frozen=True)
class Context(Workers):
    """What the work of a step may use: workers, the run folder, and the key of the step."""

    folder: RunFolder
    key: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the work of a step produced: paths inside the run folder, and sentences for the report."""

    outputs: Sequence[Path]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    name : str
        Unique within the run; also the name of its record.
    label : str
        Words for people.
    inputs : mapping
        Plain data that decides its result: plugin, version, settings, fingerprints.
    after : tuple of str
        Steps whose results it reads.
    work : callable
        Does it; called only if the key changed or an output is gone.
    reads_pixels : bool
        False for a step that reads only the records of the steps before it, not their pixels.
    check : callable, optional
        Tries what the work needs, before any work of the run is done; called only for a step that will run.
    """

    name: str
    label: str
    inputs: Mapping[str, Any]
    after: tuple[str, ...]
    work: Callable[[Context], Outcome]
    reads_pixels: bool = True
    check: Callable[[Machine], None] | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a step runs and why; ``reason`` is empty for one that is kept."""

    step: Step
    key: str
    reason: str


def judge(steps: Sequence[Step], folder: RunFolder) -> list[Verdict]:
    """Return for each step, in order, whether it must run and why."""
    keys: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for step in steps:
        keys[step.name] = digest(STEP_FORMAT, step.name, step.inputs, [keys[name] for name in step.after])
        reasons[step.name] = _reason(step, keys, reasons, folder.record(step.name), folder)
    # Backwards: results that were discarded on purpose are made again only for a step that will read them.
    for step in reversed(steps):
        readers = [s for s in steps if step.name in s.after and s.reads_pixels and reasons[s.name]]
        record = folder.record(step.name)
        if not reasons[step.name] and record is not None and record.discarded and readers:
            reasons[step.name] = f"was discarded, and {readers[0].name} needs it"
    return [Verdict(step, keys[step.name], reasons[step.name]) for step in steps]


def _reason(
    step: Step, keys: Mapping[str, str], reasons: Mapping[str, str], record: StepRecord | None, folder: RunFolder
) -> str:
    if record is None:
        return "not done yet"
    if record.key != keys[step.name]:
        changes = list(_differences(record.inputs, step.inputs))
        if changes:
            return "changed: " + "; ".join(changes[:4]) + (f"; and {len(changes) - 4} more" if len(changes) > 4 else "")
        changed = [name for name in step.after if record.after.get(name) != keys[name]]
        return f"builds on {', '.join(changed)}" if changed else "made by another version of cemi"
    lost = None if record.discarded else folder.lost_output(record)
    if lost is not None:
        return lost
    again = [name for name in step.after if reasons[name]]
    return f"builds on {', '.join(again)}" if again else ""


def _differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(n for n in new if n not in old)]:
            place = f"{where}.{name}" if where else str(name)
            if name not in new:
                yield f"{place} is gone"
            elif name not in old:
                yield f"{place} is new"
            else:
                yield from _differences(old[name], new[name], place)
    elif digest(old) != digest(new):
        yield f"{where} {old!r} -> {new!r}" if len(repr(old)) + len(repr(new)) < 80 else where


@dataclass(frozen=True)
class Timing:
    """How long a step took, or that its earlier result was kept."""

    name: str
    seconds: float
    kept: bool


def carry_out(steps: Sequence[Step], context: Context) -> list[Timing]:
    """Run the steps that must run, in order, and write down each as soon as it is finished."""
    timings: list[Timing] = []
    keys: dict[str, str] = {}
    verdicts = judge(steps, context.folder)
    for verdict in verdicts:  # what is bound to fail fails before the long work
        if verdict.reason and verdict.step.check is not None:
            verdict.step.check(context.machine)
    for verdict in verdicts:
        step = verdict.step
        keys[step.name] = verdict.key
        if not verdict.reason:
            record = context.folder.record(step.name)
            timings.append(Timing(step.name, record.seconds if record else 0.0, kept=True))
            log.info("%s: kept", step.label)
            continue
        log.info("%s: %s", step.label, verdict.reason)
        context.folder.forget(step.name)
        start = time.perf_counter()
        outcome = step.work(replace(context, key=verdict.key))
        seconds = time.perf_counter() - start
        outputs = tuple(context.folder.relative(path) for path in outcome.outputs)
        context.folder.finish(
            StepRecord(
                name=step.name,
                key=verdict.key,
                inputs=step.inputs,
                after={name: keys[name] for name in step.after},
                outputs=outputs,
                seconds=round(seconds, 3),
                notes=tuple(outcome.notes),
                sizes=context.folder.sizes_of(outputs),
            )
        )
        timings.append(Timing(step.name, seconds, kept=False))
        log.info("%s: done in %.1f s", step.label, seconds)
    return timings
