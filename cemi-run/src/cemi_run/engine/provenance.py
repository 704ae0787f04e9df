"""Where a result comes from: versions, plugins, inputs, seeds, machine, times and memory."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cemi_core import __version__ as core_version
from cemi_run import __version__
from cemi_run.engine.plan import Machine, Timing
from cemi_run.recipe.check import Choice

_LIBRARIES = ("numpy", "scipy", "h5py", "zarr", "torch", "kornia", "opencv-python-headless", "scikit-image", "av")


def peak_memory_mb() -> float:
    """Return the largest resident memory so far of this process or, if larger, of one of its finished workers, MB."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows does not have it
        return float("nan")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    per_mb = 1e6 if sys.platform == "darwin" else 1e3
    return max(own, workers) / per_mb


def versions(choices: Iterable[Choice[Any]]) -> dict[str, str]:
    """Return the version of Python, cemi-core, cemi-run, the plugins' packages and the libraries that are installed."""
    found = {"python": platform.python_version(), "cemi-core": core_version, "cemi-run": __version__}
    found |= {choice.plugin.package: choice.plugin.version for choice in choices}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def provenance(
    choices: Sequence[Choice[Any]],
    inputs: Mapping[str, str],
    machine: Machine,
    timings: Sequence[Timing],
    started: datetime,
) -> dict[str, Any]:
    """Return everything that ``provenance.json`` holds."""
    return {
        "format": 1,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(choices),
        "plugins": [{"stage": choice.plugin.stage, **choice.resolved()} for choice in choices],
        "inputs": dict(inputs),
        "seed": machine.seed,
        "machine": {
            "system": platform.platform(),
            "executor": machine.kind,
            "workers": machine.workers,
            "device": machine.device,
        },
        "steps": [{"name": t.name, "seconds": round(t.seconds, 3), "kept": t.kept} for t in timings],
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
