"""Pictures compared with better ones of the same fields, by every metric that is installed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import CemiError, InputError, UsageError
from cemi_core.model.frame import FrameSource
from cemi_core.model.stages import Runtime
from cemi_core.plugins.manager import Plugins, Registered, make
from cemi_core.plugins.types import MetricPlugin

Metric = Callable[[NDArray[np.float32], NDArray[np.float32]], float]
#: One row of numbers by the name of the metric.
Measured = Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """One picture compared with its partner, before and after denoising."""

    file: str
    as_it_came: Measured
    denoised: Measured


@dataclass(frozen=True)
class Against:
    """Better pictures and the metrics to compare with; picklable.

    Attributes
    ----------
    source : FrameSource
        The better pictures.
    partners : mapping of str to int
        Which of them shows the field of which file.
    metrics : mapping of str to callable
    """

    source: FrameSource
    partners: Mapping[str, int]
    metrics: Mapping[str, Metric]

    def compare(self, file: str, image: NDArray[np.float32], denoised: NDArray[np.float32]) -> Comparison:
        """Compare both versions of a picture (h, w) with its partner.

        Raises
        ------
        InputError
            It has no partner, or one of another size, or one that cannot be read or measured.
        """
        if file not in self.partners:
            raise InputError("no picture of its name to compare with")
        frame = self.source.frames[self.partners[file]]
        if frame.shape != image.shape:
            raise InputError(
                f"it is {image.shape[1]} x {image.shape[0]} px and {frame.name} {frame.shape[1]} x {frame.shape[0]} px;"
                " give pictures of the same field, registered and of one size"
            )
        better = self.source.read(frame.index)
        rows = [
            {name: metric(picture, better) for name, metric in self.metrics.items()} for picture in (image, denoised)
        ]
        return Comparison(file, *rows)


def load_metrics(registry: Plugins, runtime: Runtime) -> tuple[dict[str, Metric], list[str]]:
    """Return every metric that works here by its name, and a sentence for each that does not."""
    metrics: dict[str, Metric] = {}
    notes = []
    for plugin in registry.metrics:
        try:
            metrics[plugin.name] = make(plugin, plugin.description.load_settings()(), runtime)
        except CemiError as error:
            notes.append(f"{plugin.name} is left out: {error}")
    if not metrics:
        raise UsageError("no metric is installed to compare pictures by; cemi-denoise has some")
    return metrics, notes


def find_partners(files: Sequence[str], better: FrameSource, where: str) -> dict[str, int]:
    """Return which better picture shows the field of each file: that of the same name without its ending.

    A single file and a single better picture belong together whatever they are called.

    Raises
    ------
    UsageError
        No file has a partner, or two better pictures have the same name.
    """
    stems: dict[str, int] = {}
    for frame in better.frames:
        stem = _stem(frame.name)
        if stem in stems:
            raise UsageError(f"two pictures of {where} are called {stem}; keep one of them there")
        stems[stem] = frame.index
    if len(files) == 1 and len(stems) == 1:
        return {files[0]: next(iter(stems.values()))}
    partners = {file: stems[_stem(file)] for file in files if _stem(file) in stems}
    if not partners:
        raise UsageError(f"no image has a partner of the same name in {where}, which holds {_some(stems)}")
    return partners


def _stem(name: str) -> str:
    path, bracket, page = PurePath(name).name.partition("[")
    return PurePath(path).stem + (f"_{page.removesuffix(']')}" if bracket else "")


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def means(comparisons: Sequence[Comparison]) -> tuple[Measured, Measured]:
    """Return the mean of each metric over all pictures that have it, as they came and denoised; NaN without any."""
    return _mean([c.as_it_came for c in comparisons]), _mean([c.denoised for c in comparisons])


def _mean(rows: Sequence[Measured]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    known = {name: [row[name] for row in rows if not math.isnan(row[name])] for name in names}
    return {name: float(np.mean(values)) if values else math.nan for name, values in known.items()}


def comparison_table(comparisons: Sequence[Comparison], metrics: Iterable[Registered[MetricPlugin]]) -> str:
    """Return the means over all pictures as a table in plain text: as they came, denoised, and what is better."""
    first, second = means(comparisons)
    shown = [plugin for plugin in metrics if plugin.name in first]
    heads = [f"mean of {len(comparisons)}" if len(comparisons) > 1 else comparisons[0].file]
    rows = [
        heads + [plugin.description.label or plugin.name for plugin in shown],
        ["as it came", *(_number(first[plugin.name]) for plugin in shown)],
        ["denoised", *(_number(second[plugin.name]) for plugin in shown)],
        ["better is", *(plugin.description.better for plugin in shown)],
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def comparison_record(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return all numbers as plain data for JSON; unknown and infinite ones become None."""
    first, second = means(comparisons)
    return {
        "mean": {"as it came": _plain(first), "denoised": _plain(second)},
        "images": [
            {"file": c.file, "as it came": _plain(c.as_it_came), "denoised": _plain(c.denoised)} for c in comparisons
        ],
    }


def _plain(row: Measured) -> dict[str, float | None]:
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in row.items()}
