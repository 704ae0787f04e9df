"""Denoisers of CEMI and of others on the same pictures: PSNR, SSIM, LPIPS, phase fraction and time.

    make bench-denoising                                # CEMI's own
    make bench-denoising-peers                          # the peers' own environment first, then everything
    python benchmarks/denoising.py --tools none nlm --groups fast --seeds 0 --json nlm.json
    python benchmarks/denoising.py --tables nlm.json other.json      # tables of records that were written before

Pictures (`benchmarks/denoising_peers/cases.py`): ``light``, ``fast`` and ``heavy`` are real micrographs of specimens
that no training has seen, with added noise of three levels (semi-synthetic); ``virtual`` are fast scans of the virtual
SEM against their noise-free pictures; ``sem-repeats`` and ``tem-repeats`` are real frames held against another frame of
the same field: the variance of that frame's noise is subtracted from the mean squared error, so that PSNR (of the mean
over all repeats) tells the distance from the field itself; the other scores make no sense there. Elsewhere means over
the pictures, ± the standard deviation of that mean over the seeds of the noise.

Every tool that takes a noise level is told the true one; ``gaussian`` and ``median`` are given the size that makes
their error smallest in each group. CEMI's networks measure the noise themselves, and are told it as the others are in
the rows ``-told``: a real picture has noise of its own, which is measured with what was added, and taken away with it,
though the picture with its own noise is what the result is held against. ``n2v`` learns from the noisy pictures
of each group (its time holds the training). One thread, CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "denoising_peers"))

from cases import LEVELS, Case, Picture, every_case, write_cases

from cemi_denoise.judge.metrics import Metric, available_metrics

OURS = ("none", "gaussian", "median", "wiener", "tv", "nlm", "n2v", "semnet", "semgan", "semnet-told", "semgan-told")
PEERS = ("bm3d", "bm3d-spectrum", "ffdnet", "dncnn", "tk_r_em")
GROUPS = (*LEVELS, "virtual", "sem-repeats", "tem-repeats")
#: Settings that are tried for each group, of which the best is taken.
TRIED = {
    "gaussian": [{"sigma_px": sigma} for sigma in (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)],
    "median": [{"size_px": size} for size in (3, 5)],
}
TOLD_THE_NOISE = ("wiener", "tv", "nlm", "semnet-told", "semgan-told")
#: Denoisers that learn from the noisy pictures of a group before they denoise them.
LEARNING = ("n2v",)
#: What the tables show: a heading and the digits after the point.
TITLES = {
    "psnr": ("PSNR, dB", 2),
    "lpips": ("LPIPS (AlexNet)", 3),
    "ssim": ("SSIM", 3),
    "phase-fraction": ("phase fraction by Otsu, off by points", 2),
    "edge-sharpness": ("edge sharpness, 1 is that of the target", 2),
}
Answer = dict[str, Any]


def settings_tried(name: str, case: Case) -> list[dict[str, Any]]:
    """Return the settings with which a tool of CEMI is run."""
    return [{"noise": case.noise}] if name in TOLD_THE_NOISE else TRIED.get(name, [{}])


def run_ours(name: str, cases: list[tuple[Case, Picture, Picture]]) -> list[Answer]:
    """Denoise every case with a denoiser of CEMI; return for each its results and CPU seconds, one per setting."""
    import torch

    from cemi_core.numeric.tiles import denoise_image
    from cemi_core.plugins.manager import registry
    from cemi_core.testing import make_plugin

    torch.set_num_threads(1)
    if name == "none":
        return [{"results": [noisy], "cpu_s": [0.0]} for _, noisy, _ in cases]
    if name.removesuffix("-told") not in {found.name for found in registry().of_stage("denoise")}:
        return [{"missing": f"no denoiser '{name}' is installed"}] * len(cases)
    if name in LEARNING:
        return run_learner(name, cases)
    answers = []
    for case, noisy, _ in cases:
        answer: Answer = {"results": [], "cpu_s": []}
        for settings in settings_tried(name, case):
            denoiser = make_plugin("denoise", name.removesuffix("-told"), **settings)
            start = time.process_time()
            answer["results"].append(denoise_image(denoiser, noisy))
            answer["cpu_s"].append(time.process_time() - start)
        answers.append(answer)
    return answers


def run_learner(name: str, cases: list[tuple[Case, Picture, Picture]]) -> list[Answer]:
    """Let a denoiser learn from the noisy pictures of each group, then denoise them; training is part of the time."""
    from cemi_core.model.array_source import ArraySource
    from cemi_core.numeric.tiles import denoise_image
    from cemi_core.testing import make_plugin

    answers: list[Answer] = [{} for _ in cases]
    for group in {case.group for case, _, _ in cases}:
        members = [index for index, (case, _, _) in enumerate(cases) if case.group == group]
        start = time.process_time()
        denoiser = make_plugin("denoise", name).adapt(ArraySource([cases[i][1] for i in members]), None)
        results = [denoise_image(denoiser, cases[i][1]) for i in members]
        share = (time.process_time() - start) / len(members)
        for index, result in zip(members, results, strict=True):
            answers[index] = {"results": [result], "cpu_s": [share]}
    return answers


def run_peer(name: str, folder: Path, python: Path, count: int) -> list[Answer]:
    """Denoise every case with a tool of others in its own environment."""
    if not python.exists():
        return [{"missing": f"there is no {python}; run: make bench-denoising-peers"}] * count
    command = [str(python), str(HERE / "denoising_peers" / "tools.py"), name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return [{"missing": last[0][:160]}] * count
    if "missing" in said:
        return [said] * count
    results = np.load(folder / f"{name}.npz")
    return [{"results": [results[f"arr_{i}"]], "cpu_s": [said["cpu_s"][i]]} for i in range(count)]


def error_of(result: Picture, case: Case, target: Picture) -> float:
    """Return the mean squared error less the noise of what it is held against; may come out below 0."""
    return float(np.mean((result.astype(np.float64) - target) ** 2)) - case.other_variance


def decibels(error: float) -> float:
    """Return the peak signal-to-noise ratio for a peak of 1."""
    return float(-10 * np.log10(max(error, 1e-10)))


def scores_of(result: Picture, case: Case, target: Picture, metrics: dict[str, Metric]) -> dict[str, float]:
    """Return all scores of one result; for repeats the error and how certain it is."""
    error = error_of(result, case, target)
    if case.other_variance > 0:
        return {"error": error, "uncertainty": case.other_variance / result.size**0.5}
    return {"psnr": decibels(error)} | {name: metric(np.clip(result, 0, 1), target) for name, metric in metrics.items()}


def rows_of(
    name: str, answers: list[Answer], cases: list[tuple[Case, Picture, Picture]], metrics: dict[str, Metric]
) -> list[dict[str, Any]]:
    """Return one record per case, with the setting that makes the mean error of its group smallest."""
    by_group: dict[str, list[int]] = defaultdict(list)
    for index, (case, _, _) in enumerate(cases):
        by_group[case.group].append(index)
    rows = []
    for group, members in by_group.items():
        errors = np.array([[error_of(r, cases[i][0], cases[i][2]) for r in answers[i]["results"]] for i in members])
        best = int(errors.mean(axis=0).argmin())
        for index in members:
            case, _, target = cases[index]
            result = answers[index]["results"][best]
            record = {"tool": name, "group": group, "picture": case.name, "pixels": result.size, "setting": best}
            rows.append({**record, "cpu_s": answers[index]["cpu_s"][best], **scores_of(result, case, target, metrics)})
    return rows


def repeats_cell(rows: list[dict[str, Any]]) -> str:
    """Return the PSNR of the mean error over all repeats; a bound where the error is lost in its own uncertainty."""
    error = float(np.mean([row["error"] for row in rows]))
    floor = 2 * float(np.mean([row["uncertainty"] for row in rows])) / len(rows) ** 0.5
    return f"{decibels(error):.2f}" if error > floor else f"over {decibels(floor):.1f}"


def cell(rows: list[dict[str, Any]], score: str, digits: int) -> str:
    """Return the mean over pictures, ± its deviation over the seeds."""
    if score == "psnr" and rows and "error" in rows[0]:
        return repeats_cell(rows)
    per_seed: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if score in row:
            per_seed[row["seed"]].append(row[score])
    if not per_seed:
        return ""
    means = [float(np.mean(values)) for values in per_seed.values()]
    spread = f" ±{np.std(means, ddof=1):.{digits}f}" if len(means) > 1 else ""
    return f"{np.mean(means):.{digits}f}{spread}"


def print_tables(rows: list[dict[str, Any]], tools: list[str], groups: list[str]) -> None:
    """Print one table per score, tools down and groups across."""
    for score, (title, digits) in TITLES.items():
        shown = [g for g in groups if any(row["group"] == g and (score in row or score == "psnr") for row in rows)]
        if not shown:
            continue
        last = ["CPU s per Mpx"] if score == "psnr" else []
        print(f"\n| {' | '.join([title, *shown, *last])} |\n|{'---|' * (1 + len(shown) + len(last))}")
        for tool in tools:
            mine = [row for row in rows if row["tool"] == tool]
            if not mine:
                continue
            cells = [cell([row for row in mine if row["group"] == group], score, digits) for group in shown]
            rate = 1e6 * sum(row["cpu_s"] for row in mine) / sum(row["pixels"] for row in mine)
            print(f"| {' | '.join([tool, *cells, *([f'{rate:.2g}'] if last else [])])} |")


def compare(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Run every tool on every case and return all records."""
    every = available_metrics(options.weights_dir)
    metrics = {name: every[name] for name in TITLES if name in every and name != "psnr"}
    if "lpips" not in metrics:
        print("no LPIPS: its weights are not here; run: pip install 'cemi-denoise[perceptual]'")
    rows: list[dict[str, Any]] = []
    absent: dict[str, str] = {}
    for seed in options.seeds:
        repeats = seed == options.seeds[0]  # their noise is real: there is one draw
        groups = [g for g in options.groups if repeats or not g.endswith("repeats")]
        cases = every_case(options.data, [seed], groups)
        place = folder / f"seed{seed}"
        write_cases(place, cases)
        for name in options.tools:
            if name in absent:
                continue
            ours = name in OURS
            answers = run_ours(name, cases) if ours else run_peer(name, place, options.peers, len(cases))
            if "missing" in answers[0]:
                absent[name] = answers[0]["missing"]
                continue
            rows += [{**row, "seed": seed} for row in rows_of(name, answers, cases, metrics)]
            print(f"seed {seed}: {name} done", file=sys.stderr, flush=True)
    for name, reason in absent.items():
        print(f"absent: {name}: {reason}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the added noise")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CEMI_DATA", "../shared/data")))
    parser.add_argument("--weights-dir", help="folder with the weights of LPIPS, if its package is not installed")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".venv-peers-denoise" / "bin" / "python")
    parser.add_argument("--json", type=Path, help="write every record to this file")
    parser.add_argument("--tables", nargs="+", type=Path, metavar="JSON", help="only print the tables of these records")
    options = parser.parse_args()
    if options.tables:
        rows = [row for path in options.tables for row in json.loads(path.read_text())]
        print_tables(rows, options.tools, options.groups)
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, seeds {options.seeds}")
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(rows))
    print_tables(rows, options.tools, options.groups)


if __name__ == "__main__":
    main()
