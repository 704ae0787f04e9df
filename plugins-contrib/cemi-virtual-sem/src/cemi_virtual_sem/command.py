"""``cemi virtual-sem``: write a virtual recording with its truth."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from cemi_core.errors import UsageError
from cemi_specimens import specimen_names
from cemi_virtual_sem.recording import write_recording
from cemi_virtual_sem.settings import SIZES, Mode, session_settings

_EPILOG = """\b
Examples:
  cemi virtual-sem ehea --out data/demo --size small
  cemi virtual-sem ehea --out data/pairs --size tiny --mode stills --hd --seed 3
  cemi virtual-sem polycrystal --out data/grains --set specimen.grain_um=4
  cemi virtual-sem graphene --out data/graphene --size tiny --mode stills

Writes pass01.mp4, pass02.mp4, ... with scans.csv and screen.csv, or frames/*.tif with stills.csv and
positions.csv; and in both cases truth.h5, hardness.csv and session.json.
"""


class ProgressLines:
    """Prints a line on stderr every few seconds and at the end."""

    def __init__(self, every_s: float = 5.0) -> None:
        self._every_s = every_s
        self._printed_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._printed_s >= self._every_s:
            self._printed_s = now
            click.echo(f"virtual-sem: {done} of {total} steps ({100 * done // total} %)", err=True)


@click.command("virtual-sem", epilog=_EPILOG)
@click.argument("specimen", type=click.Choice(specimen_names()))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the recording.")
@click.option("--size", type=click.Choice(SIZES), default="small", show_default=True, help="How much to record.")
@click.option(
    "--mode",
    type=click.Choice(["video", "stills"]),
    default=None,
    help="One video for each pass, or single pictures.  [default: video; stills for medium and paper]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same recording.")
@click.option(
    "--dwell",
    type=click.FloatRange(0, min_open=True),
    help="Dwell time relative to a fast scan: 2 halves the noise variance.",
)
@click.option("--hd", is_flag=True, help="Also write a slow-scan partner of each still.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, such as recorder.crf=23."
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Passes or stills made at once.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def virtual_sem(
    specimen: str,
    out: Path,
    size: str,
    mode: Mode | None,
    seed: int,
    dwell: float | None,
    hd: bool,
    overrides: tuple[str, ...],
    threads: int,
    force: bool,
    as_json: bool,
) -> None:
    """Record a virtual SPECIMEN with a virtual microscope, with full truth."""
    mode = mode or ("stills" if size in ("medium", "paper") else "video")
    extra = [f"detector.dwell={dwell}"] if dwell is not None else []
    extra += ["hd=true"] if hd else []
    settings = session_settings(specimen, size, [*extra, *overrides])
    if settings.hd and mode == "video":
        raise UsageError("--hd makes partners of stills: use it with --mode stills")
    truth = write_recording(
        out, specimen, settings, seed=seed, mode=mode, force=force, progress=ProgressLines(), threads=threads
    )
    height, width = settings.extent_px
    report = {
        "folder": str(out),
        "mode": mode,
        "passes": settings.passes,
        "pictures": settings.stills if mode == "stills" else settings.passes * settings.scans_per_pass,
        "height_px": height,
        "width_px": width,
        "pixel_size_um": settings.pixel_size_um,
        "truth": str(truth),
    }
    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(f"{report['pictures']} pictures in {settings.passes} passes over {width} x {height} px: {out}")
