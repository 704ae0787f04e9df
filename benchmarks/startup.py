"""How long `cemi --help` and `cemi plugins` take, as multiples of `python -c pass` (medians of one run)."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

CEMI = shutil.which("cemi", path=str(Path(sys.executable).parent)) or "cemi"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "click, pluggy, entry points": [
        sys.executable,
        "-c",
        "import click, pluggy; from importlib.metadata import entry_points; entry_points(group='cemi')",
    ],
    "cemi --help": [CEMI, "--help"],
    "cemi plugins": [CEMI, "plugins"],
}


def seconds(command: list[str]) -> float:
    """Return how long a command takes, s."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Time the commands in turn and print a table; exit code 1 above the wanted ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--at-most", type=float, default=15.0)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.runs + 1):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    floor = medians["python -c pass"]
    print(f"{'command':<30}{'median ms':>10}{'ratio':>8}{'min ms':>9}{'max ms':>9}")
    for name, found in times.items():
        ratio = medians[name] / floor
        print(f"{name:<30}{1e3 * medians[name]:>10.0f}{ratio:>8.1f}{1e3 * min(found):>9.0f}{1e3 * max(found):>9.0f}")
    return int(any(medians[name] > options.at_most * floor for name in ("cemi --help", "cemi plugins")))


if __name__ == "__main__":
    sys.exit(main())
