"""Files of fast (LD) and slow (HD) scans of the same fields: which belong together, read and registered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cemi_core.errors import InputError
from cemi_core.sources.read_image import read_pixels
from cemi_denoise.register.pair_registration import RegisteredPair, RejectedPair, register_pair

#: Parts of a file name that tell the two kinds of scan apart.
_KIND = re.compile(r"(?<![a-z])(ld|hd|lowdef|highdef|low|high|fast|slow|noisy|clean)(?![a-z])")


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
    belongs to the first, and so on.

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
    found = [_registered(ld, hd, distortion) for ld, hd in matched]
    pairs = tuple(pair for pair in found if isinstance(pair, RegisteredPair))
    return PairSet(pairs, (*(pair for pair in found if isinstance(pair, RejectedPair)), *alone))


def _registered(ld: Path, hd: Path, distortion: str) -> RegisteredPair | RejectedPair:
    name = ld.name if ld.name == hd.name else f"{ld.name} + {hd.name}"
    try:
        return register_pair(read_pixels(ld), read_pixels(hd), name, distortion)
    except InputError as error:
        return RejectedPair(name, str(error))


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
