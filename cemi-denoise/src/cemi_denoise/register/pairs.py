"""Files of fast (LD) and slow (HD) scans of the same fields: which belong together, read and registered."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError
from cemi_core.images.read_image import read_headers, read_pixels, to_grey
from cemi_core.model.frame import to_unit_range
from cemi_denoise.register.pair_registration import (
    RegisteredPair,
    RejectedPair,
    coarse_match,
    coarse_picture,
    register_pair,
)
from cemi_denoise.register.registration import whole_pixel_match

#: Parts of a file name that tell the two kinds of scan apart.
_KIND = re.compile(r"(?<![a-z])(ld|hd|lowdef|highdef|low|high|fast|slow|noisy|clean)(?![a-z])")
# A pair with less of its field in common is compared with the HD images of the other doubtful pairs, at so few pixels.
_SURE_SHARE = 0.8
_GLANCE_PIXELS = 60_000


@dataclass(frozen=True)
class PairSet:
    """Pairs that can be trained on, and those that cannot.

    Attributes
    ----------
    pairs : tuple of RegisteredPair
    rejected : tuple of RejectedPair
    """

    pairs: tuple[RegisteredPair, ...]
    rejected: tuple[RejectedPair, ...] = ()


def load_pairs(ld_paths: Sequence[Path], hd_paths: Sequence[Path], distortion: str = "affine") -> PairSet:
    """Read and register LD and HD images.

    Images belong together whose names are equal but for words such as ``LD`` and ``HD``; if no names are, the first
    belongs to the first, and so on. A pair is rejected if another HD image shows more of its field: overlapping fields
    register well with their neighbours too, so that shuffled files would go unnoticed.

    Parameters
    ----------
    ld_paths, hd_paths : sequence of Path
        In the order in which they belong together, if the names do not tell.
    distortion : {"shift", "affine", "quadratic", "cubic"}
        See `register_pair`.

    Returns
    -------
    PairSet
        In the order of ``ld_paths``. A file that cannot be read costs its pair, not the others.

    Raises
    ------
    InputError
        It cannot be told which images belong together.
    """
    matched, alone = _matched(ld_paths, hd_paths)
    found = _without_neighbours(matched, [_registered(ld, hd, distortion) for ld, hd in matched])
    pairs = tuple(pair for pair in found if isinstance(pair, RegisteredPair))
    return PairSet(pairs, (*(pair for pair in found if isinstance(pair, RejectedPair)), *alone))


def _registered(ld: Path, hd: Path, distortion: str) -> RegisteredPair | RejectedPair:
    name = ld.name if ld.name == hd.name else f"{ld.name} + {hd.name}"
    try:
        for path in (ld, hd):
            if (pages := len(read_headers(path))) > 1:
                return RejectedPair(name, f"{path.name} holds {pages} pictures: save each as a file of its own")
        return register_pair(read_pixels(ld), read_pixels(hd), name, distortion)
    except InputError as error:
        return RejectedPair(name, str(error))


def _without_neighbours(
    matched: Sequence[tuple[Path, Path]], found: Sequence[RegisteredPair | RejectedPair]
) -> list[RegisteredPair | RejectedPair]:
    """Reject the pairs whose LD image has more in common with the HD image of another doubtful pair."""
    partial = {
        number: pair
        for number, pair in enumerate(found)
        if isinstance(pair, RegisteredPair) and pair.ld.size < _SURE_SHARE * math.prod(pair.warp.shape)
    }
    if not partial:
        return list(found)
    factor = math.ceil(math.sqrt(max(math.prod(pair.warp.shape) for pair in partial.values()) / _GLANCE_PIXELS))
    doubtful = [number for number, pair in enumerate(found) if number in partial or isinstance(pair, RejectedPair)]
    seen = {matched[number][1]: _glance(matched[number][1], factor) for number in doubtful}
    result = list(found)
    for number, pair in partial.items():
        ld, hd = matched[number]
        if reason := _shown_better(_glance(ld, factor), hd, seen):
            result[number] = RejectedPair(pair.name, reason)
    return result


def _glance(path: Path, factor: int) -> NDArray[np.float32] | None:
    """Return a coarse picture of a file, or None if there is nothing to see."""
    try:
        return coarse_picture(to_unit_range(to_grey(read_pixels(path))), factor)
    except InputError:
        return None


def _shown_better(ld: NDArray[np.float32] | None, own: Path, seen: Mapping[Path, NDArray[np.float32] | None]) -> str:
    """Return which HD image shows more of an LD image than its own one does; an empty text if none."""
    if ld is None or (own_hd := seen[own]) is None or isinstance(match := coarse_match(ld, own_hd), str):
        return ""
    share = match.pixels / min(ld.size, own_hd.size)
    for path, hd in seen.items():
        if share >= _SURE_SHARE or hd is None or path == own:
            continue
        other = whole_pixel_match(ld, hd, share + 0.05)
        # what is alike by chance correlates less than what is the same
        if other.quality > 0.8 * match.quality:
            return (
                f"{path.name} shows more of the LD image ({other.pixels / min(ld.size, hd.size):.0%}) than {own.name} "
                f"does ({share:.0%}): are the files in the order of the fields?"
            )
    return ""


def _matched(
    ld_paths: Sequence[Path], hd_paths: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], tuple[RejectedPair, ...]]:
    """Return which LD image belongs to which HD image, and those that belong to none."""
    if not ld_paths or not hd_paths:
        raise InputError(f"pairs need LD and HD images, but there is no {'HD' if ld_paths else 'LD'} image")
    by_name = [{_common_name(path): path for path in paths} for paths in (ld_paths, hd_paths)]
    unique = all(len(names) == len(paths) for names, paths in zip(by_name, (ld_paths, hd_paths), strict=True))
    shared = [name for name in by_name[0] if name in by_name[1]]
    if unique and shared:
        alone = [
            RejectedPair(path.name, f"there is no {other} image of the same name")
            for names, other in zip(by_name, ("HD", "LD"), strict=True)
            for name, path in names.items()
            if name not in shared
        ]
        return [(by_name[0][name], by_name[1][name]) for name in shared], tuple(alone)
    if len(ld_paths) != len(hd_paths):
        raise InputError(
            f"{len(ld_paths)} LD and {len(hd_paths)} HD images do not make pairs: "
            "give as many of each, or the same names"
        )
    return list(zip(ld_paths, hd_paths, strict=True)), ()


def _common_name(path: Path) -> str:
    """Return a file's name without what tells LD from HD."""
    return re.sub(r"[\W_]+", " ", _KIND.sub(" ", path.stem.lower().replace("_", " "))).strip()
