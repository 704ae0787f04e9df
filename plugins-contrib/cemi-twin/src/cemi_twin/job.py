"""The work of ``cemi twin``: look at a run, fit a specimen, repeat the recipe on it, and say how far off it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import CemiError, InputError, UsageError
from cemi_core.model.progress import Progress
from cemi_run.engine.plan import Machine
from cemi_twin.families import FAMILIES, Family, Variation
from cemi_twin.fit import Fit, Target, fit_family, simulated
from cemi_twin.likeness import dominant_frequency, look_of
from cemi_twin.plan import Size, TwinPlan, detector_of, plan_twin
from cemi_twin.reading import Microscope, RunView, read_microscope, read_run
from cemi_twin.repeat import Told, carry_out
from cemi_twin.verdict import Trust, trust_of
from cemi_virtual_sem.specimens import SpecimenChoice

#: Fits whose mismatch is below this are good enough: no further kind of specimen is tried.
_GOOD_ENOUGH = 0.6
#: Trials of a fit, for the progress: some more or less.
_TRIALS = 45
#: Seconds of the virtual microscope on one core, with the truth.
_SECONDS_PER_MPX = 0.9


@dataclass(frozen=True)
class TwinAnswer:
    """What a twin says of a run.

    Attributes
    ----------
    view : RunView
    microscope : Microscope
    fit : Fit
        The specimen that looks most like the run.
    tried : tuple of Fit
        All kinds of specimen that were fitted, the chosen one first.
    plan : TwinPlan
    quantities : tuple of Trust
    run_mean : mapping of str to float
        Mean of each map of the run.
    told : tuple of tuple of Told
        The cells of each repeat that could be carried out.
    pair : ndarray of float32, shape (edge, 2 * edge + gap)
        A part of a frame of the run, and one of the twin.
    left_out : tuple of str
        Quantities of the run that have no truth in the twin, and why.
    cautions : tuple of str
    seed : int
    """

    view: RunView
    microscope: Microscope
    fit: Fit
    tried: tuple[Fit, ...]
    plan: TwinPlan
    quantities: tuple[Trust, ...]
    run_mean: dict[str, float]
    told: tuple[tuple[Told, ...], ...]
    pair: NDArray[np.float32]
    left_out: tuple[str, ...]
    cautions: tuple[str, ...]
    seed: int


def make_twin(
    run: Path,
    work: Path,
    machine: Machine,
    progress: Progress,
    repeats: int = 3,
    size: Size = "auto",
    specimen: str = "auto",
    tell: Callable[[str], None] = lambda sentence: None,
) -> TwinAnswer:
    """Return how far a run can be trusted, from virtual specimens like it.

    Parameters
    ----------
    run : Path
        A finished run.
    work : Path
        Folder for the repeats; what it holds of an earlier call with the same plan is kept.
    machine : Machine
        Its seed draws the twins.
    progress : callable
    repeats : int
        Specimens that are recorded and measured, 1 or more.
    size : {"auto", "tiny", "small", "medium"}
        How many frames each has: 12 to 40, at most those of the run.
    specimen : str
        A kind of `cemi_twin.families.FAMILIES`, or ``"auto"`` for the one that looks most like the run.
    tell : callable
        Is told what is found on the way, in sentences.

    Raises
    ------
    InputError
        No twin can be made of the run.
    CemiError
        The recipe could not be run on any of the twins.
    """
    view = read_run(run)
    progress("looking at the run", 0, 1)
    microscope, images = read_microscope(view)
    progress("looking at the run", 1, 1)
    target = _target(view, microscope, images)
    measured = {grid_map.name for grid_map in view.maps}
    tried = _fits(_families(specimen, measured), target, machine.seed, progress)
    fit = tried[0]
    plan = plan_twin(view, microscope, fit, size)
    tell(_about(fit, plan, repeats, view))
    told, failed = [], []
    for number in range(repeats):
        try:
            seed = machine.seed * 1000 + number + 1
            folder = work / f"repeat-{number}"
            told.append(tuple(carry_out(plan, fit.family.truths, seed, folder, machine, progress)))
        except CemiError as error:
            failed.append(f"repeat {number + 1} failed: {error}")
    if not told:
        raise CemiError(f"the recipe could not be run on any twin; {failed[0]}")
    names = dict.fromkeys(one.name for one in told[0])
    quantities = tuple(
        trust_of([one for cells in told for one in cells if one.name == name], view.grid.rows) for name in names
    )
    means = {grid_map.name: _mean(grid_map.value) for grid_map in view.maps}
    left_out = [_without_truth(grid_map.label) for grid_map in view.maps if grid_map.name not in names]
    return TwinAnswer(
        view=view,
        microscope=microscope,
        fit=fit,
        tried=tried,
        plan=plan,
        quantities=quantities,
        run_mean=means,
        told=tuple(told),
        pair=_pair(images, fit, target, machine.seed),
        left_out=(*left_out, *plan.left_out),
        cautions=(*_cautions(fit, quantities, told, means), *failed),
        seed=machine.seed,
    )


def _target(view: RunView, microscope: Microscope, images: Sequence[NDArray[np.float32]]) -> Target:
    frequency = dominant_frequency(images)
    return Target(look_of(images, frequency), frequency, len(images[0]), view.pixel_um, detector_of(microscope.noise))


def _families(specimen: str, measured: set[str]) -> list[Family]:
    """Return the kinds of specimen to try: those that have a truth for what the run measured, most truths first."""
    if specimen != "auto":
        chosen = [family for family in FAMILIES if family.name == specimen]
        if not chosen:
            raise UsageError(
                f"there is no twin of the kind '{specimen}'; use auto or one of {', '.join(f.name for f in FAMILIES)}"
            )
        return chosen
    useful = [family for family in FAMILIES if measured & set(family.truths)]
    if not useful:
        known = sorted({name for family in FAMILIES for name in family.truths})
        raise InputError(
            f"none of the run's maps ({', '.join(sorted(measured))}) has a truth in a virtual specimen; those that "
            f"have one are {', '.join(known)}"
        )
    if "sr_fraction" in measured:
        return sorted(useful, key=lambda family: family.name != "pbse-srse")
    return useful


def _fits(families: Sequence[Family], target: Target, seed: int, progress: Progress) -> tuple[Fit, ...]:
    """Return the fits of the kinds of specimen, the best one first; none is tried after one that is good enough."""
    fits: list[Fit] = []
    for family in families:
        done = [0]

        def tried(family: Family = family, done: list[int] = done) -> None:
            done[0] += 1
            progress(f"fitting {family.name}", min(done[0], _TRIALS - 1), _TRIALS)

        fit = fit_family(family, target, seed + 1, tried)
        progress(f"fitting {family.name}", _TRIALS, _TRIALS)
        if fit is not None:
            fits.append(fit)
            if fit.mismatch.total < _GOOD_ENOUGH and not fit.mismatch.cautions():
                break
    if not fits:
        raise InputError("no virtual specimen can be made with this pixel size")
    return tuple(sorted(fits, key=lambda fit: fit.mismatch.total))


def _about(fit: Fit, plan: TwinPlan, repeats: int, view: RunView) -> str:
    s = plan.session
    seconds = expected_seconds(plan, repeats, view)
    what = "scans" if plan.mode == "video" else "frames"
    return (
        f"The twin: {fit.family.name} ({fit.family.words}); {repeats} x {plan.pictures} {what} of {s.width_px} x "
        f"{s.height_px} px. About {_duration(seconds)}."
    )


def expected_seconds(plan: TwinPlan, repeats: int, view: RunView) -> float:
    """Return about how long the repeats take, from how long the run's own steps took."""
    own = view.frame_shape[0] * view.frame_shape[1] * len(view.frames)
    pixels = plan.session.width_px * plan.session.height_px * plan.pictures
    # what a run costs whatever its size is small beside what it costs per frame, but for the smallest
    steps = sum(seconds for step, seconds in view.seconds.items() if step not in ("report", "relate"))
    return repeats * (3.0 + steps * min(pixels / own, 2.0) + _SECONDS_PER_MPX * pixels / 1e6)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _without_truth(label: str) -> str:
    return f"{label}: this kind of specimen has no truth for it, so nothing can be said"


def _cautions(
    fit: Fit, quantities: Sequence[Trust], told: Sequence[Sequence[Told]], run_mean: dict[str, float]
) -> list[str]:
    """Return how the twin differs from the run: in how it looks, and in what the recipe says of it."""
    said = [f"The twin does not look like the run: {caution}." for caution in fit.mismatch.cautions()]
    for trust in quantities:
        found = np.concatenate([one.value.ravel() for cells in told for one in cells if one.name == trust.name])
        deviation = float(np.nanstd(found)) if np.isfinite(found).sum() > 1 else float("nan")
        difference = abs(trust.found_mean - run_mean[trust.name])
        if (
            np.isfinite(difference)
            and np.isfinite(deviation)
            and difference > max(deviation, 0.02 * abs(trust.found_mean))
        ):
            said.append(
                f"{trust.label}: the recipe finds {trust.found_mean:.4g} on the twin and {run_mean[trust.name]:.4g} on "
                "your run, so the twin is not like the run in this quantity."
            )
    return said


def _pair(images: Sequence[NDArray[np.float32]], fit: Fit, target: Target, seed: int) -> NDArray[np.float32]:
    """Return a part of a frame of the run and one of the twin, side by side."""
    choice = SpecimenChoice(
        fit.family.name,
        target.pixel_um,
        (512, 512),
        seed + 5,
        fit.found["blur"],
        fit.settings(target.pixel_um, Variation()),
    )
    twin = simulated(choice.make(), target, seed + 5, 1)[0]
    edge = min(320, target.edge_px)
    gap = np.ones((edge, 8), np.float32)
    return np.hstack([images[len(images) // 2][:edge, :edge], gap, twin[:edge, :edge]])
