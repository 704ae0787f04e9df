"""Files of fast and slow scans, made into registered pairs to train on."""

from __future__ import annotations

import logging

from cemi_core.errors import InputError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES
from cemi_denoise.register.pairs import load_pairs
from cemi_denoise.train.batches import SeenTwice
from cemi_denoise.train.recipe import PairsSettings

log = logging.getLogger("cemi")


def open_pairs(settings: PairsSettings, smallest_px: int, fewest: int) -> list[SeenTwice]:
    """Return the pairs that can be trained on; the log says why the others cannot.

    Parameters
    ----------
    settings : PairsSettings
    smallest_px : int
        A pair whose common field has a shorter side is left out.
    fewest : int
        How many pairs are needed.

    Raises
    ------
    InputError
        The files do not make pairs, or too few pairs are left.
    """
    ld, hd = (find_files(path, IMAGE_SUFFIXES, "images") for path in (settings.ld, settings.hd))
    found = load_pairs(ld, hd, settings.distortion)
    kept = [
        SeenTwice(pair.ld, pair.hd.clip(0, 1), pair.noise) for pair in found.pairs if min(pair.ld.shape) >= smallest_px
    ]
    small = [pair for pair in found.pairs if min(pair.ld.shape) < smallest_px]
    reasons = [f"{pair.name}: {pair.reason}" for pair in found.rejected]
    reasons += [
        f"{pair.name}: its common field of {pair.ld.shape[1]} x {pair.ld.shape[0]} px is less than 'patch_px'"
        for pair in small
    ]
    if len(kept) < fewest:
        why = f"; {reasons[0]}" if reasons else ""
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise InputError(f"at least {fewest} pairs are needed here, and there are {len(kept)}{why}{more}")
    for reason in reasons:
        log.warning("pair left out: %s", reason)
    return kept
