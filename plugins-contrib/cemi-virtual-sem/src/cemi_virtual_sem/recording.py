"""Recordings in a folder: videos or stills, tables, truth and a hardness table."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_virtual_sem.hardness import planted_hardness_hv
from cemi_virtual_sem.recorder import compose, screen_frames, write_video
from cemi_virtual_sem.screen import data_bar
from cemi_virtual_sem.session import SCANS_HEADER, Session, pass_name
from cemi_virtual_sem.settings import Mode, SessionSettings, session_settings
from cemi_virtual_sem.truth import profile_along_x, truth_steps, write_truth

Progress = Callable[[int, int], None]
_Answer = TypeVar("_Answer")
SCREEN_HEADER = ("file", "frame", "time_s", "scan", "lines_drawn", "repeated", "marker")
STILLS_HEADER = ("file", "row", "y_px", "x_px")


def write_recording(
    out: str | Path,
    specimen: str = "ehea",
    settings: SessionSettings | str = "small",
    *,
    seed: int = 0,
    mode: Mode = "video",
    force: bool = False,
    progress: Progress = lambda done, total: None,
    threads: int = 2,
) -> Path:
    """Write a recording with its truth into a folder.

    Parameters
    ----------
    out : str or Path
        Folder; made if it is not there.
    specimen : str
        Any installed specimen.
    settings : SessionSettings or str
        The session, or the name of a ready-made size.
    seed : int
        The same seed gives the same recording.
    mode : {"video", "stills"}
        One .mp4 for each pass, or ``frames/*.tif``.
    force : bool
        Write into a folder that is not empty.
    progress : callable
        ``progress(done, total)`` after each piece of work.
    threads : int
        Passes, or stills, made at the same time.

    Returns
    -------
    Path
        ``truth.h5``, the last file to appear.

    Raises
    ------
    InputError
        The folder is not empty, a file of that name is in the way, or the disk is full.
    """
    chosen = session_settings(specimen, settings) if isinstance(settings, str) else settings
    session = Session(specimen, chosen, seed)
    folder = Path(out)
    try:
        _prepare(folder, force)
        return _write(folder, session, mode, progress, threads)
    except OSError as error:
        raise InputError(f"cannot write the recording into '{folder}': {error.strerror or error}") from error


def _write(folder: Path, session: Session, mode: Mode, progress: Progress, threads: int) -> Path:
    chosen = session.settings
    count = chosen.stills if mode == "stills" else chosen.passes * chosen.scans_per_pass
    step = _Steps(count + truth_steps(session.choice), progress)
    (_write_stills if mode == "stills" else _write_passes)(folder, session, step, threads)
    pending = folder / "truth.pending.h5"
    write_truth(pending, session.choice, chosen.model_dump_json(), step, threads)
    _write_hardness(folder / "hardness.csv", pending, session)
    about = {"specimen": session.choice.name, "seed": session.seed, "mode": mode}
    (folder / "session.json").write_text(json.dumps({**about, "settings": chosen.model_dump(mode="json")}, indent=1))
    return pending.replace(folder / "truth.h5")


def _prepare(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file: name a folder for the recording")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise InputError(f"the folder '{folder}' is not empty: name another one, or use --force to write into it")
    folder.mkdir(parents=True, exist_ok=True)
    # Its presence says that the recording is complete.
    (folder / "truth.h5").unlink(missing_ok=True)


class _Stopped(Exception):
    """Another thread failed, or the user pressed Ctrl-C."""


class _Steps:
    """Counts finished pieces of work (the order of threads does not matter) and passes on the wish to stop."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress, self._stopped = 0, total, progress, False

    def __call__(self) -> None:
        if self._stopped:
            raise _Stopped
        self._done += 1
        self._progress(self._done, self._total)

    def each(self, work: Callable[[int], _Answer], count: int, threads: int) -> list[_Answer]:
        """Return ``work(i)`` for each i below ``count``; an error or Ctrl-C stops all threads at their next step."""
        with ThreadPoolExecutor(threads) as pool:
            try:
                return list(pool.map(work, range(count)))
            except BaseException:
                self._stopped = True
                raise


def _write_passes(folder: Path, session: Session, step: _Steps, threads: int) -> None:
    rows = range(session.settings.passes)
    screens = step.each(lambda row: _write_pass(folder, session, row, step), len(rows), threads)
    scans = [record.values() for row in rows for record in session.scan_truth(row)]
    write_table(folder / "scans.csv", SCANS_HEADER, scans)
    write_table(folder / "screen.csv", SCREEN_HEADER, [line for lines in screens for line in lines])


def _write_pass(folder: Path, session: Session, row: int, step: _Steps) -> list[tuple[Any, ...]]:
    s, clock = session.settings, session.clock()
    name = f"{pass_name(row)}.mp4"
    # The recording stops within the last flyback, when the last scan is complete on the screen.
    duration_s = clock.end_s(session.settings.scans_per_pass - 1) + s.flyback_s / 2
    frames = screen_frames(duration_s, s.recorder, np.random.default_rng([session.seed, 7, row]))
    bar = data_bar(s.width_px, s.bar_px, s.pixel_size_um)

    def picture_of(scan: int) -> NDArray[np.uint8]:
        step()
        return session.scan(row, scan)

    screens = compose(frames, clock, picture_of, bar)
    write_video(folder / name, screens, (s.height_px + s.bar_px, s.width_px), s.recorder)
    lines = []
    for number, frame in enumerate(frames):
        scan, drawn = clock.front(frame.shown_s)
        lines.append((name, number, frame.time_s, scan, drawn, int(frame.repeated), int(frame.marker is not None)))
    return lines


def _write_stills(folder: Path, session: Session, step: _Steps, threads: int) -> None:
    s, places = session.settings, session.still_places()
    kinds = ("frames", "hd") if s.hd else ("frames",)
    for kind in kinds:
        (folder / kind).mkdir(exist_ok=True)
    names = list(_still_names(places))

    def write(index: int) -> None:
        place = places[index][2]
        _write_tiff(folder / "frames" / names[index], session.still(index, place), s.pixel_size_um)
        if s.hd:
            slow = session.still(index, session.hd_place(index, place), slow=True)
            _write_tiff(folder / "hd" / names[index], slow, s.pixel_size_um)
        step()

    step.each(write, len(places), threads)
    found = [(f"frames/{names[i]}", row, *true) for i, (row, _, true) in enumerate(places)]
    if s.hd:
        found += [(f"hd/{names[i]}", row, *session.hd_place(i, true)) for i, (row, _, true) in enumerate(places)]
    write_table(folder / "stills.csv", STILLS_HEADER, found)
    nominal = [(f"frames/{names[i]}", *nominal) for i, (_, nominal, _) in enumerate(places)]
    write_table(folder / "positions.csv", ("file", "y_px", "x_px"), nominal)


def _still_names(places: Sequence[tuple[int, Any, Any]]) -> Iterator[str]:
    within: dict[int, int] = {}
    for row, _, _ in places:
        within[row] = within.get(row, 0) + 1
        yield f"{pass_name(row)}_{within[row]:04d}.tif"


def _write_tiff(path: Path, picture: NDArray[np.uint8], pixel_size_um: float) -> None:
    partial = path.with_name(path.name + ".partial")
    per_cm = 1e4 / pixel_size_um
    tifffile.imwrite(
        partial, picture, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", photometric="minisblack"
    )
    partial.replace(path)


def _write_hardness(path: Path, truth: Path, session: Session) -> None:
    """Write hardness.csv (x_um, hv) and keep the planted and the found correlation in the truth file.

    A specimen without a mask, or of which the first one is everywhere alike, has no hardness table.
    """
    if not session.specimen.mask_names:
        return
    s, name = session.settings, f"{session.specimen.mask_names[0]}_fraction"
    x_um, fraction = profile_along_x(truth, name, s.hardness_points)
    if np.ptp(fraction) == 0:
        return
    hv = np.round(planted_hardness_hv(fraction, s.hardness_r, session.seed), 2)
    write_table(path, ("x_um", "hv"), zip(x_um, hv, strict=True))
    with h5py.File(truth, "r+") as file:
        table = file.create_dataset("hardness", data=np.column_stack([x_um, hv, fraction]))
        table.attrs.update(columns=["x_um", "hv", name], related_to=name, planted_r=s.hardness_r)
        table.attrs["r"] = float(np.corrcoef(hv, fraction)[0, 1])


def write_table(path: Path, header: Iterable[str], lines: Iterable[Iterable[Any]]) -> None:
    """Write a CSV table; floats with six digits after the point; it appears under its name when complete."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for line in lines:
            writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in line])
    partial.replace(path)
