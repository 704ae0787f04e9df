"""What a twin says, for programs (``twin.json``), for the report (``twin.h5``) and for a terminal."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from cemi_core.model.result import Result, Table
from cemi_core.numeric.fields import Interval
from cemi_twin import __version__
from cemi_twin.job import TwinAnswer
from cemi_twin.verdict import Trust

#: Cells of each quantity that the report draws, at most.
_DRAWN = 400


def sentences(answer: TwinAnswer) -> list[str]:
    """Return a sentence for each quantity: "on a specimen like yours, this recipe errs by ..."."""
    return [
        f"{trust.label}: on a specimen like yours, this recipe errs by {_errs_by(trust)}."
        for trust in answer.quantities
    ]


def _errs_by(trust: Trust) -> str:
    unit = "" if trust.unit == "1" else f" {trust.unit}"
    if not math.isfinite(trust.bias.value):
        return "an amount that could not be found: no cell of the twin had a value"
    digits = _decimals(trust)
    bias = f"{trust.bias.value:+.{digits}f}{unit}"
    known = f" ({trust.bias.low:+.{digits}f} to {trust.bias.high:+.{digits}f})" if math.isfinite(trust.bias.low) else ""
    scatter = f" and {trust.scatter:.{digits}f}{unit} from cell to cell" if math.isfinite(trust.scatter) else ""
    held = f"; its interval held the truth in {100 * trust.held.value:.0f} % of the cells"
    columns = (
        f" and {100 * trust.columns_held.value:.0f} % of the columns" if math.isfinite(trust.columns_held.value) else ""
    )
    return f"{bias}{known} on average{scatter}{held}{columns}"


def _decimals(trust: Trust) -> int:
    size = max(abs(trust.bias.value), trust.scatter if math.isfinite(trust.scatter) else 0.0, 1e-6)
    return min(max(1 - math.floor(math.log10(size)), 0), 6)


def result_of(answer: TwinAnswer) -> Result:
    """Return what the report shows: a table of the quantities, one of single cells, sentences, and a pair of images."""
    session, look = answer.plan.session, answer.fit.mismatch
    pictures = "scans" if answer.plan.mode == "video" else "frames"
    about = (
        f"{len(answer.told)} virtual specimens ({answer.fit.family.name}: {answer.fit.family.words}), "
        f"{answer.plan.pictures} {pictures} of {session.width_px} x {session.height_px} px each, went through the "
        "recipe of this run; noise, blur, grey levels and structure are those estimated from its frames.",
        f"How alike they look: grey levels differ by {look.grey:.1f} of 255, the power spectrum by "
        f"{look.spectrum_db:.1f} dB, and how far texture runs one way by {look.one_way:.2f} of 1.",
    )
    left_out = ["Left out: " + "; ".join(answer.left_out) + "."] if answer.left_out else []
    return Result(
        analyzer="twin",
        tables=(_quantities(answer), _cautions(answer), _cells(answer)),
        overlays={"A part of a frame of this run (left) and of its twin (right)": _grey8(answer.pair)},
        notes=(*about, *left_out),
    )


def _grey8(pair: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    low, high = np.percentile(pair, (0.5, 99.5))
    return np.clip((pair - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)


def _quantities(answer: TwinAnswer) -> Table:
    heads = (
        "quantity", "unit", "run", "twin_found", "twin_true", "bias", "bias_low", "bias_high", "scatter", "cells_held",
        "cells_held_low", "cells_held_high", "columns_held", "columns_held_low", "columns_held_high", "cells",
        "columns", "sentence",
    )  # fmt: skip
    rows = tuple(
        (
            t.label, t.unit, answer.run_mean[t.name], t.found_mean, t.true_mean, *_numbers(t.bias), t.scatter,
            *_numbers(t.held), *_numbers(t.columns_held), t.cells, t.columns, sentence,
        )
        for t, sentence in zip(answer.quantities, sentences(answer), strict=True)
    )  # fmt: skip
    return Table("quantities", heads, rows)


def _numbers(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _cautions(answer: TwinAnswer) -> Table:
    return Table("cautions", ("caution",), tuple((caution,) for caution in answer.cautions))


def _cells(answer: TwinAnswer) -> Table:
    rows = []
    for trust in answer.quantities:
        told = [one for cells in answer.told for one in cells if one.name == trust.name]
        series = [
            np.concatenate([getattr(one, name).ravel() for one in told]) for name in ("truth", "value", "low", "high")
        ]
        known = np.flatnonzero(np.isfinite(series[0]) & np.isfinite(series[1]))
        for index in known[:: max(1, -(-len(known) // _DRAWN))]:
            rows.append((trust.label, trust.unit, *(float(values[index]) for values in series)))
    return Table("cells", ("quantity", "unit", "true", "found", "low", "high"), tuple(rows))


def record_of(answer: TwinAnswer) -> dict[str, Any]:
    """Return all numbers as plain data; unknown ones are None."""
    noise, session = answer.microscope.noise, answer.plan.session
    return _plain(
        {
            "cemi_twin": __version__,
            "run_digest": answer.view.digest,
            "seed": answer.seed,
            "repeats": len(answer.told),
            "specimen": answer.fit.family.name,
            "settings": session.model_dump(mode="json"),
            "mode": answer.plan.mode,
            "estimated": {
                **answer.fit.found,
                "noise_std": noise.std,
                "noise_per_grey": noise.per_grey,
                "noise_base": noise.base,
                "noise_line_autocorrelation": list(noise.line_autocorrelation),
                "noise_across_autocorrelation": noise.across_autocorrelation,
                "overlaps": noise.pairs,
                "shading": answer.microscope.shading,
                "brightness_drift": answer.microscope.drift,
                "step_px": list(answer.microscope.step_px),
                "placing_px": answer.microscope.placing_px,
            },
            "mismatch": {
                "grey_of_255": answer.fit.mismatch.grey,
                "spectrum_db": answer.fit.mismatch.spectrum_db,
                "one_way": answer.fit.mismatch.one_way,
                "of_each_kind": {fit.family.name: fit.mismatch.total for fit in answer.tried},
            },
            "quantities": [_quantity(trust, answer.run_mean[trust.name]) for trust in answer.quantities],
            "left_out": list(answer.left_out),
            "cautions": list(answer.cautions),
        }
    )


def _quantity(trust: Trust, run_mean: float) -> dict[str, Any]:
    return {
        "name": trust.name,
        "label": trust.label,
        "unit": trust.unit,
        "run_mean": run_mean,
        "found_mean": trust.found_mean,
        "true_mean": trust.true_mean,
        "bias": list(_numbers(trust.bias)),
        "scatter": trust.scatter,
        "r": trust.r,
        "cells_held": list(_numbers(trust.held)),
        "columns_held": list(_numbers(trust.columns_held)),
        "column_scatter": trust.column_scatter,
        "cells": trust.cells,
        "columns": trust.columns,
        "rows_of_a_column": trust.rows_of_a_column,
        "measured": trust.measured,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return value


def to_json(answer: TwinAnswer) -> str:
    """Return `record_of` as JSON."""
    return json.dumps(record_of(answer), indent=1)


def table_of(answer: TwinAnswer) -> str:
    """Return the quantities as a table in plain text."""
    heads = ["", "your run", "twin: found", "true", "bias (95 %)", "scatter", "held: cells", "columns"]
    rows = [heads]
    for trust in answer.quantities:
        digits = _decimals(trust)
        bias = f"{trust.bias.value:+.{digits}f}"
        if math.isfinite(trust.bias.low):
            bias += f" ({trust.bias.low:+.{digits}f} to {trust.bias.high:+.{digits}f})"
        unit = "" if trust.unit == "1" else f", {trust.unit}"
        shares = [
            f"{100 * share:.0f} %" if math.isfinite(share) else "-"
            for share in (trust.held.value, trust.columns_held.value)
        ]
        means = [f"{v:.{digits}f}" for v in (answer.run_mean[trust.name], trust.found_mean, trust.true_mean)]
        rows.append([f"{trust.label}{unit}", *means, bias, f"{trust.scatter:.{digits}f}", *shares])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
