"""Files of fast and slow scans, made into registered pairs to train on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from cemi_core.errors import InputError
from cemi_core.sources.files import find_files
from cemi_core.sources.read_image import IMAGE_SUFFIXES, read_pixels
from cemi_denoise.pairs import RejectedPair, register_pair
from cemi_denoise.train_recipe import PairsSettings
from cemi_denoise.training_data import SeenTwice

log = logging.getLogger("cemi")

_FEWEST = 2


def open_pairs(settings: PairsSettings, smallest_px: int) -> list[SeenTwice]:
    """Return the pairs that can be trained on; the log says why the others cannot.

    Parameters
    ----------
    settings : PairsSettings
    smallest_px : int
        A pair whose common field has a shorter side is left out.

    Raises
    ------
    InputError
        The files do not make pairs, a file cannot be read, or fewer than two pairs are left.
    """
    kept: list[SeenTwice] = []
    reasons: list[str] = []
    for ld, hd in file_pairs(settings.ld, settings.hd):
        pair = register_pair(read_pixels(ld), read_pixels(hd), ld.name, settings.distortion)
        if isinstance(pair, RejectedPair):
            reasons.append(f"{pair.name}: {pair.reason}")
        elif min(pair.ld.shape) < smallest_px:
            height, width = pair.ld.shape
            reasons.append(f"{pair.name}: its common field of {width} x {height} px is less than 'patch_px'")
        else:
            kept.append(SeenTwice(pair.ld, pair.hd.clip(0, 1), pair.noise))
    if len(kept) < _FEWEST:
        why = f"; {reasons[0]}" if reasons else ""
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise InputError(f"at least {_FEWEST} pairs are needed to train on, and there are {len(kept)}{why}{more}")
    for reason in reasons:
        log.warning("pair left out: %s", reason)
    return kept


def file_pairs(ld: str | Sequence[str], hd: str | Sequence[str]) -> list[tuple[Path, Path]]:
    """Return which fast scan goes with which slow one: by name (without suffix) if all agree, else by order.

    Raises
    ------
    InputError
        The names differ and there are not as many of one as of the other.
    """
    fast, slow = (find_files(path, IMAGE_SUFFIXES, "images") for path in (ld, hd))
    by_name = {file.stem: file for file in slow}
    if len(by_name) == len(slow) and all(file.stem in by_name for file in fast):
        return [(file, by_name[file.stem]) for file in fast]
    if len(fast) != len(slow):
        raise InputError(
            f"{len(fast)} LD and {len(slow)} HD images do not make pairs: give as many of each, or the same names"
        )
    return list(zip(fast, slow, strict=True))
