"""Did the denoiser invent anything? Three checks on a sample of frames, each a few numbers with a limit.

(a) How its answer changes when the picture is turned (`uncertainty`); (b) whether two denoised views of one place agree
(`disagreement`); (c) whether what it took away looks like noise (`residual`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.model.frame import FrameSource
from cemi_core.model.layout import Layout
from cemi_core.model.result import Result, Table
from cemi_denoise.judge.disagreement import Disagreement, compare_views, overlap_views, overlapping_pairs
from cemi_denoise.judge.invention_limits import (
    EDGE_CORRELATION,
    EDGE_EXCESS,
    EXPLAINED,
    NOTES,
    OPINIONS,
    PATTERN,
    RATIO,
    SHARE,
    UNCERTAINTY,
)
from cemi_denoise.judge.invention_pictures import disagreement_picture, residual_picture, uncertainty_picture
from cemi_denoise.judge.residual import ResidualTest, examine_residual
from cemi_denoise.judge.uncertainty import Denoise, opinions_spread, orientation_spread
from cemi_denoise.noise.model import NoiseModel, estimate_noise_model

#: Frames, and pairs of frames, that are looked at.
SAMPLE = 24
#: Edge of what is looked at of a frame, px; turning costs eight times as much, so it gets less.
_CROP_PX, _TURNED_PX = 512, 128
_SMALLEST_PX = 32
#: Rounding to 8 bits alone makes this much noise.
_FAINTEST_NOISE = 1 / 255 / math.sqrt(12)
#: Difference of the noise's correlation along and across the lines from which pictures are not turned by 90 degrees.
_LINE_CORRELATED = 0.1
#: Spread, in units of the noise, from which there is something to see.
_VISIBLE = 0.01


@dataclass(frozen=True)
class _Look:
    """What is found on one frame."""

    residual: ResidualTest
    uncertainty: float
    opinions: float
    pictures: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class _Task:
    """What every worker gets."""

    denoise: Denoise | None
    other: Denoise | None
    raw: FrameSource
    denoised: FrameSource
    layout: Layout | None
    noise: NoiseModel


def judge_denoising(
    denoise: Denoise | None,
    raw: FrameSource,
    denoised: FrameSource,
    layout: Layout | None = None,
    executor: Executor | None = None,
    other: Denoise | None = None,
    sample: int = SAMPLE,
) -> Result:
    """Return how far a denoiser can be trusted on these frames.

    Parameters
    ----------
    denoise : callable or None
        The denoiser, on stacks (n, h, w); without it, nothing is said of the spread.
    raw, denoised : FrameSource
        The same frames before and after.
    layout : Layout, optional
        Of these frames; without it, nothing is said of overlaps.
    executor : Executor, optional
        Does the work; without it, it is done here.
    other : callable, optional
        Another denoiser to compare with.
    sample : int
        Frames, and pairs of frames, to look at.

    Returns
    -------
    Result
        Tables ``summary`` (quantity, value, limit, verdict: "good", "doubtful" or ""), ``frames``, ``overlaps`` and
        ``disagreement by frequency``; overlays of the worst places.
    """
    run: Callable[..., Iterable[Any]] = map if executor is None else executor.map
    chosen = _evenly(len(raw.frames), sample)
    try:
        noise = estimate_noise_model(crop for crop in (_crop(raw, n, _CROP_PX) for n in chosen) if crop is not None)
    except InputError as error:
        return Result("denoising", (), (Table("summary", _SUMMARY_HEADS, ()),), notes=(f"Not judged: {error}.",))
    task = _Task(denoise, other, raw, denoised, layout, noise)
    looks = {n: look for n, look in zip(chosen, run(_look_at, [task] * len(chosen), chosen), strict=True) if look}
    pairs = overlapping_pairs(layout, sample) if layout is not None else []
    found = zip(pairs, run(_compare_pair, [task] * len(pairs), pairs), strict=True)
    disagreements = {pair: answer for pair, answer in found if answer is not None}
    names = [frame.name for frame in raw.frames]
    return Result(
        "denoising",
        (),
        (
            _summary(list(looks.values()), [found for found, _ in disagreements.values()]),
            _frames_table(looks, names),
            _overlaps_table(disagreements, names),
            _frequency_table([found for found, _ in disagreements.values()]),
        ),
        _worst_pictures(looks, disagreements, names),
        (*NOTES, f"Looked at: {len(looks)} frames, {len(disagreements)} overlaps.", _noise_words(noise)),
    )


def _evenly(count: int, most: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def _crop(source: FrameSource, index: int, most_px: int) -> NDArray[np.float32] | None:
    """Return the middle of a frame; None where pixels are missing or it is too small."""
    image = source.read(index)
    top, left = (max(0, (size - most_px) // 2) for size in image.shape)
    image = image[top : top + most_px, left : left + most_px]
    return image if min(image.shape) >= _SMALLEST_PX and np.isfinite(image).all() else None


def _look_at(task: _Task, index: int) -> _Look | None:
    before, after = (_crop(source, index, _CROP_PX) for source in (task.raw, task.denoised))
    if before is None or after is None or before.shape != after.shape:
        return None
    residual = examine_residual(before, after, task.noise, _FAINTEST_NOISE)
    pictures = {"residual": residual_picture(before, after, residual.residual)}
    uncertainty = opinions = math.nan
    if task.denoise is not None:
        part = _crop(task.raw, index, min(_TURNED_PX, *before.shape))
        sigma = _rms_noise(task.noise, part)
        spread = orientation_spread(task.denoise, part, keep_lines=is_line_correlated(task.noise))
        uncertainty = spread.rms / sigma
        pictures["uncertainty"] = uncertainty_picture(part, spread.mean, spread.deviation / sigma)
        if task.other is not None:
            answers = (denoise(part[None])[0] for denoise in (task.denoise, task.other))
            opinions = math.sqrt(2) * opinions_spread(*answers).rms / sigma
    return _Look(residual, uncertainty, opinions, pictures)


def _rms_noise(noise: NoiseModel, image: NDArray[np.float32]) -> float:
    return max(float(np.sqrt(np.mean(noise.sigma(image).astype(np.float64) ** 2))), _FAINTEST_NOISE)


def is_line_correlated(noise: NoiseModel) -> bool:
    """Return whether the noise is another along the scan lines than across, so that pictures may not be turned."""
    along, across = ((*lags, 0.0)[0] for lags in (noise.line_correlation, noise.across_correlation))
    return abs(along - across) > _LINE_CORRELATED


def _compare_pair(task: _Task, pair: tuple[int, int]) -> tuple[Disagreement, NDArray[np.uint8]] | None:
    if task.layout is None:
        return None
    views = overlap_views(task.raw, task.denoised, task.layout, pair, _CROP_PX)
    if views is None:
        return None
    found = compare_views(views)
    return found, disagreement_picture(views, found.score)


_SUMMARY_HEADS = ("quantity", "value", "limit", "verdict")


def _summary(looks: Sequence[_Look], disagreements: Sequence[Disagreement]) -> Table:
    residuals = [look.residual for look in looks]
    values = (
        (UNCERTAINTY, _median([look.uncertainty for look in looks])),
        (OPINIONS, _median([look.opinions for look in looks])),
        (SHARE, _mean([found.share for found in disagreements])),
        (RATIO, float(_mean_ratio(disagreements).max()) if disagreements else math.nan),
        (EXPLAINED, _median([test.explained for test in residuals])),
        (PATTERN, _median([test.pattern for test in residuals])),
        (EDGE_EXCESS, _median([test.edge_excess for test in residuals])),
        (EDGE_CORRELATION, _median([test.edge_correlation for test in residuals])),
    )
    rows = [
        (limit.quantity, value, limit.limit, f"doubtful: {limit.meaning}" if limit.doubtful(value) else "good")
        for limit, value in values
        if not math.isnan(value)
    ]
    return Table("summary", _SUMMARY_HEADS, tuple(rows))


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _mean_ratio(disagreements: Sequence[Disagreement]) -> NDArray[np.float64]:
    return np.mean([found.power_ratio for found in disagreements], axis=0)


def _frames_table(looks: dict[int, _Look], names: Sequence[str]) -> Table:
    heads = ("frame", "spread", "taken_away", "pattern", "at_edges", "edge_correlation")
    rows = [
        (
            names[index],
            look.uncertainty,
            look.residual.explained,
            look.residual.pattern,
            look.residual.edge_excess,
            look.residual.edge_correlation,
        )
        for index, look in looks.items()
    ]
    return Table("frames", heads, tuple(rows))


def _overlaps_table(found: dict[tuple[int, int], tuple[Disagreement, Any]], names: Sequence[str]) -> Table:
    rows = [(names[i], names[j], answer.share, answer.highest_ratio) for (i, j), (answer, _) in found.items()]
    return Table("overlaps", ("first", "second", "share_beyond_noise", "highest_power_ratio"), tuple(rows))


def _frequency_table(found: Sequence[Disagreement]) -> Table:
    rows = zip(found[0].frequency.tolist(), _mean_ratio(found).tolist(), strict=True) if found else ()
    return Table("disagreement by frequency", ("cycles_per_px", "power_ratio"), tuple(rows))


def _worst_pictures(
    looks: dict[int, _Look],
    disagreements: dict[tuple[int, int], tuple[Disagreement, NDArray[np.uint8]]],
    names: Sequence[str],
) -> dict[str, NDArray[np.uint8]]:
    """Return one picture for each check: of the frame or pair where it looks worst."""
    pictures = {}
    if disagreements:
        pair, (_, picture) = max(disagreements.items(), key=lambda item: item[1][0].share)
        pictures[f"Disagreement at its worst: {names[pair[0]]} and {names[pair[1]]}"] = picture
    turned = {index: look for index, look in looks.items() if look.uncertainty > _VISIBLE}
    if turned:
        index = max(turned, key=lambda n: turned[n].uncertainty)
        pictures[f"Spread at its worst: {names[index]}"] = turned[index].pictures["uncertainty"]
    if looks:
        index = max(looks, key=lambda n: looks[n].residual.pattern)
        pictures[f"What was taken away, where it has the most pattern: {names[index]}"] = looks[index].pictures[
            "residual"
        ]
    return pictures


def _noise_words(noise: NoiseModel) -> str:
    level = float(noise.sigma(0.5))
    along = (*noise.line_correlation, 0.0)[0]
    return (
        f"Noise of the input, measured: {level:.3f} at mid grey, where 1 is the full range; correlation of neighbours "
        f"along the scan line {along:+.2f}"
        + (", so that pictures were flipped but not turned by 90 degrees." if is_line_correlated(noise) else ".")
    )
