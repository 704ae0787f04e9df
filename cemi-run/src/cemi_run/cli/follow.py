"""``cemi stitch --follow``: what happens before the full solve, while frames still come."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cemi_core.model.frame import FrameSource
    from cemi_core.model.stages import Runtime, Stitcher
    from cemi_core.plugins.types import SourcePlugin
    from cemi_run.recipe.check import Choice


def images_to_stitch(images: tuple[str, ...], follow: Path | None, idle: float | None) -> tuple[str, ...]:
    """Return the images that a command line names: some, or the folder to follow.

    Raises
    ------
    UsageError
        Neither or both are given, or the folder does not exist.
    """
    from cemi_core.errors import UsageError

    if follow is None:
        if not images:
            raise UsageError("name the images to stitch (files, folders or patterns), or a folder with --follow")
        if idle is not None:
            raise UsageError("--idle goes with --follow")
        return images
    if images:
        raise UsageError("--follow takes the images from its folder; name no others")
    if not follow.is_dir():
        raise UsageError(f"--follow {follow}: there is no such folder; make it first")
    return (str(follow),)


def overview_path(out: Path, follow: Path) -> Path:
    """Return where the overview is written: beside the mosaic, which must not lie in the folder that is followed.

    Raises
    ------
    UsageError
        It lies there, where the overview would be taken for a frame.
    """
    from cemi_core.errors import UsageError

    path = out.with_name(out.name.removesuffix(".h5").removesuffix(".ome.zarr") + "-overview.png")
    if path.parent.resolve() == follow.resolve():
        raise UsageError(f"--out {out} lies in the folder that is followed; choose another folder")
    return path


@dataclass(frozen=True)
class FollowPlaces:
    """The folder that is followed, and what is refreshed: an overview, and a table if one is asked for."""

    folder: Path
    overview: Path
    table: Path | None


def follow_until_idle(
    places: FollowPlaces,
    idle: float | None,
    source: Choice[SourcePlugin],
    stitcher: Stitcher,
    runtime: Runtime,
    executor: Executor,
) -> None:
    """Place frames as they appear; see `cemi_run.jobs.follow`."""
    from cemi_core.images.read_image import IMAGE_SUFFIXES
    from cemi_run.jobs.follow import FolderWatch, LiveLayout, follow_folder

    live = LiveLayout(stitcher, partial(_open_files, source, runtime), executor)
    watch = FolderWatch(places.folder, sorted(IMAGE_SUFFIXES))
    follow_folder(watch, live, places.overview, places.table, idle_seconds=idle)


def _open_files(source: Choice[SourcePlugin], runtime: Runtime, paths: Sequence[Path]) -> FrameSource:
    """Return the source of some files, with the settings of the whole but for places, which they know only together."""
    from cemi_core.model.frame import FrameSource
    from cemi_core.plugins.manager import make

    alone = {"path": [str(path) for path in paths], "positions": None, "grid": None, "numbering": "order"}
    opened = make(source.plugin, source.settings.model_copy(update=alone), runtime)
    assert isinstance(opened, FrameSource)  # the source `images` gives no recordings
    return opened
