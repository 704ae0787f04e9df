"""The overlaps of the frames of a run, from its folder."""

from __future__ import annotations

import logging

from cemi_core.model.finished_run import RunFrames
from cemi_core.plugins.manager import make_named
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
    frames: RunFrames = make_named("source", "run", path=settings.run)
    found = find_overlaps(frames, frames.layout, patch_px, seed, settings.most)
    if found.rejected:
        (first, second), reason = found.rejected[0]
        log.warning(
            "%d overlaps left out, such as that of frames %d and %d: %s", len(found.rejected), first, second, reason
        )
    return found
