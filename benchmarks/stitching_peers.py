"""CEMI's stitcher and those of others on the same tiles: root-mean-square error of the places (px) and CPU time.

    make bench-peers                                            # the peers' own environment, then everything here
    python benchmarks/stitching_peers.py --tools cemi           # without the peers
    python benchmarks/stitching_peers.py --cases table --seeds 0 1 2 --json runs/peers.json

Cases are 36 tiles of 512 x 512 px with sub-pixel truth (`benchmarks/peers/cases.py`). Every tool runs each case in a
process of its own, one after the other, with one thread for numerical libraries and a limit of CPU time, so that other
work on the machine changes nothing; it gets the nominal positions and the stage's largest error. The error is over all
tiles that a tool places, after the best common shift; over several seeds the smallest and the largest. ``-n``: n tiles
were left out; ``nf``: n were flagged as not matched; ``(k/n)``: only k of n seeds gave places. ``stage``: the nominal
positions taken for the truth. A tool that is not installed, fails or takes too long is listed with its reason. With
``--json`` every result is kept at once, and what the file already holds is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

from cases import Case, errors_px, issue_cases, write_case

#: A tool that waits instead of working is stopped after so many times its limit of CPU time.
MOST_WAITING = 20

OURS = ("cemi", "cemi-opencv")
PEERS = ("ashlar", "ashlar-sigma2", "mist_stitching", "m2stitch", "stitch2d", "multiview-stitcher", "feabas")


def place_here(name: str, folder: Path) -> dict[str, Any]:
    """Place the tiles of a case with a stitcher of CEMI; return what `peers/tools.py` prints."""
    from cemi_core.model.array_source import ArraySource
    from cemi_core.testing import make_plugin

    if name == "cemi":
        import torch

        torch.set_num_threads(1)
    known = json.loads((folder / "case.json").read_text())
    source = ArraySource(
        list(np.load(folder / "tiles.npy")),
        positions_px=[tuple(place) for place in known["nominal"]],
        rows=np.repeat(np.arange(known["rows"]), known["columns"]).tolist(),
        position_tolerance_px=2 * known["jitter_px"] + 2,
    )
    stitcher = make_plugin("stitch", "kornia" if name == "cemi" else "opencv")
    start = time.process_time()
    layout = stitcher.place(source, None)
    return {
        "positions": layout.positions_px.tolist(),
        "cpu_s": time.process_time() - start,
        "flagged": np.flatnonzero(layout.placed_by_prior).tolist(),
        "notes": list(layout.notes),
    }


def run_tool(name: str, folder: Path, peers: Path, limit_s: float) -> dict[str, Any]:
    """Run one tool on one case in a process of its own, which may take ``limit_s`` of CPU time."""
    if name in OURS:
        command = [sys.executable, __file__, "--place", name, str(folder)]
    elif not peers.exists():
        return {"missing": f"there is no {peers}; run: make bench-peers"}
    else:
        command = [str(peers), str(HERE / "peers" / "tools.py"), name, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 5))

    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=MOST_WAITING * limit_s,
            env=environment,
            check=False,
            preexec_fn=limited,
        )
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return {"failed": f"not done after {limit_s:g} s of CPU time"}
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {MOST_WAITING * limit_s:g} s"}
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"failed": last[0][:160]}


def judged(answer: dict[str, Any], truth: np.ndarray) -> dict[str, Any]:
    """Return the root-mean-square and the largest error of what was placed, and how many were left out."""
    if "positions" not in answer:
        return answer
    places = np.array(answer["positions"], float)
    placed = np.isfinite(places).all(axis=1)
    if placed.sum() < 2:
        return {"failed": "placed no two tiles"}
    error = errors_px(places[placed], truth[placed])
    return {
        **answer,
        "rms_px": float(np.sqrt((error**2).mean())),
        "max_px": float(error.max()),
        "lost": int((~placed).sum()),
    }


def cell(results: list[dict[str, Any]]) -> str:
    """Return the range over the seeds as it stands in the table."""
    good = [result for result in results if "rms_px" in result]
    if not good:
        return "absent" if "missing" in results[0] else "fail"
    text = "-".join(dict.fromkeys(_short(f([result["rms_px"] for result in good])) for f in (min, max)))
    lost = round(float(np.median([result["lost"] for result in good])))
    flagged = round(float(np.median([len(result.get("flagged", ())) for result in good])))
    text += (f" -{lost}" if lost else "") + (f" {flagged}f" if flagged else "")
    return text + (f" ({len(good)}/{len(results)})" if len(good) < len(results) else "")


def _short(rms_px: float) -> str:
    return f"{rms_px:.3f}" if rms_px < 0.1 else f"{rms_px:.2f}" if rms_px < 1 else f"{rms_px:.1f}"


def chosen_cases(words: list[str]) -> list[Case]:
    """Return the cases: ``table`` is specimen x noise, ``hard`` the others, any other word a part of a case's name."""
    every = issue_cases()
    table = every[:6]
    picked = {"table": table, "hard": every[6:], "all": every}
    return list(dict.fromkeys(c for w in words for c in picked.get(w, [c for c in every if w in c.name])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--cases", nargs="+", default=["all"], help="table, hard, all, or parts of names")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--limit", type=float, default=300, help="CPU seconds that one tool may take for one case")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".venv-peers" / "bin" / "python")
    parser.add_argument("--folder", type=Path, help="where tiles are kept (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="keep every result in this file, and go on from there")
    parser.add_argument("--place", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.place:
        print(json.dumps(place_here(options.place[0], Path(options.place[1]))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        compare(options, chosen_cases(options.cases), folder)


def compare(options: argparse.Namespace, cases: list[Case], folder: Path) -> None:
    """Run everything and print the tables."""
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, seeds {options.seeds}, "
        f"limit {options.limit:g} s of CPU time"
    )
    width = 20
    heads = "".join(f"{tool[: width - 1]:>{width}}" for tool in ("stage", *options.tools))
    print(f"{'RMS error, px':24}{heads}")
    seconds: dict[str, list[float]] = defaultdict(list)
    reasons: dict[str, str] = {}
    record = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    for case in cases:
        found = results_of(case, folder, options, record)
        for result in (result for results in found.values() for result in results):
            if "cpu_s" in result:
                seconds[result["tool"]].append(result["cpu_s"])
            elif "rms_px" not in result:
                reasons.setdefault(f"{result['tool']}: {result.get('missing') or result['failed']}", case.name)
        print(f"{case.name:24}" + "".join(f"{cell(found[t]):>{width}}" for t in ("stage", *options.tools)), flush=True)
    spent = [f"{np.median(seconds[t]):.1f}" if seconds[t] else "" for t in options.tools]
    print(f"{'median CPU time, s':24}{'':>{width}}" + "".join(f"{text:>{width}}" for text in spent))
    for reason, case in reasons.items():
        print(f"{reason} (first on {case})")


def results_of(
    case: Case, folder: Path, options: argparse.Namespace, record: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return what each tool makes of a case, one result per seed; those that ``record`` does not hold are added."""
    known = {(entry["case"], entry["seed"], entry["tool"]): entry for entry in record}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for seed in options.seeds:
        place = folder / f"{case.name}-s{seed}"
        write_case(place, case, seed)
        truth = np.load(place / "truth.npy")
        nominal = {"tool": "stage", "positions": json.loads((place / "case.json").read_text())["nominal"]}
        found["stage"].append(judged(nominal, truth))
        for tool in options.tools:
            result = known.get((case.name, seed, tool))
            if result is None:
                answer = judged(run_tool(tool, place, options.peers, options.limit), truth)
                result = {"case": case.name, "seed": seed, "tool": tool, **answer}
                record.append(result)
                if options.json:
                    options.json.write_text(json.dumps(record))
            found[tool].append(result)
    return found


if __name__ == "__main__":
    main()
