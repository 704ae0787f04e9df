"""What a check of a finished run has found, in a file of its own: a result, and which state of the run it is of."""

from __future__ import annotations

from pathlib import Path

from cemi_core.errors import InputError
from cemi_core.model.result import Result
from cemi_run.store.hdf5_table import new_hdf5_file, opened_hdf5_file
from cemi_run.store.run_file import read_result, write_result


def write_check(path: Path, result: Result, digest: str) -> None:
    """Write what a check has found.

    Parameters
    ----------
    path : Path
        One of `cemi_run.engine.folder.RunFolder.checks`, or any other file; it appears when it is complete.
    result : Result
        Tables, overlays and notes; its maps are not on the run's grid and had better be none.
    digest : str
        `cemi_core.model.finished_run.FinishedRun.digest` of the run that was checked.
    """
    with new_hdf5_file(path) as file:
        write_result(file.create_group("check"), result)
        file.attrs["digest"] = digest


def read_check(path: Path) -> tuple[Result, str]:
    """Return what a check has found, and the digest of the run that it is of.

    Raises
    ------
    InputError
        The file is none that `write_check` wrote.
    """
    with opened_hdf5_file(path) as file:
        if "check" not in file or "digest" not in file.attrs:
            raise InputError(f"{path} was not written by a check of a run; remove it")
        return read_result(file["check"]), str(file.attrs["digest"])
