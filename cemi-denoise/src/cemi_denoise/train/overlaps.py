"""The overlaps of the frames of a run, from its folder."""

from __future__ import annotations

import logging
from pathlib import Path

from cemi_core.errors import InputError
from cemi_core.run.folder import RunFolder
from cemi_core.run.place import load_layout
from cemi_core.store.frames import StoredFrames
from cemi_denoise.register.overlaps import OverlapSet, find_overlaps
from cemi_denoise.train.recipe import OverlapsSettings

log = logging.getLogger("cemi")


def open_overlaps(settings: OverlapsSettings, patch_px: int, seed: int) -> OverlapSet:
    """Return the overlaps of the raw frames of a run that can be trained on; the log counts the others.

    Parameters
    ----------
    settings : OverlapsSettings
    patch_px : int
        Smaller overlaps are left out.
    seed : int
        Chooses among more overlaps than are wanted.

    Raises
    ------
    InputError
        The folder holds no run with frames and a layout, or no overlap can be used.
    """
    folder = RunFolder(Path(settings.run))
    if not folder.inner.is_dir():
        raise InputError(f"'overlaps' needs the folder of a run of 'cemi recipe', and {folder.path} is none")
    frames, layout = (folder.output_of(step) for step in ("frames", "layout"))
    if not frames.exists():
        raise InputError(f"the frames of {folder.path} were discarded; run its recipe again without --discard")
    found = find_overlaps(StoredFrames(frames), load_layout(layout), patch_px, seed, settings.most)
    if found.rejected:
        (first, second), reason = found.rejected[0]
        log.warning(
            "%d overlaps left out, such as that of frames %d and %d: %s", len(found.rejected), first, second, reason
        )
    return found
