"""Training on pairs of a fast (LD) and a slow (HD) scan: which files belong together, and patches of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cemi_core.errors import InputError
from cemi_core.sources.read_image import read_pixels
from cemi_denoise.pair_registration import RegisteredPair, RejectedPair, register_pair
from cemi_denoise.training_data import Batch

#: Parts of a file name that tell the two kinds of scan apart.
_KIND = re.compile(r"(?<![a-z])(ld|hd|lowdef|highdef|low|high|fast|slow|noisy|clean)(?![a-z])")
_NAMED = 3


@dataclass(frozen=True)
class PairSet:
    """Pairs to train on, and those that could not be used.

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

    Raises
    ------
    InputError
        It cannot be told which images belong together, or no pair can be used; the message gives the first reasons.
    """
    matched, alone = _matched(ld_paths, hd_paths)
    found = [_registered(ld, hd, distortion) for ld, hd in matched]
    pairs = tuple(pair for pair in found if isinstance(pair, RegisteredPair))
    rejected = (*(pair for pair in found if isinstance(pair, RejectedPair)), *alone)
    if not pairs:
        reasons = "; ".join(f"{pair.name}: {pair.reason}" for pair in rejected[:_NAMED])
        more = f"; and {len(rejected) - _NAMED} more" if len(rejected) > _NAMED else ""
        raise InputError(f"none of the {len(rejected)} pairs of LD and HD images can be used: {reasons}{more}")
    return PairSet(pairs, rejected)


def _registered(ld: Path, hd: Path, distortion: str) -> RegisteredPair | RejectedPair:
    name = f"{ld.name} + {hd.name}"
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


def split_pairs(
    pairs: Sequence[RegisteredPair], held_out: float = 0.1
) -> tuple[list[RegisteredPair], list[RegisteredPair]]:
    """Return pairs to train on and pairs to judge by, spread evenly; of a single pair, two parts of its field.

    Parameters
    ----------
    pairs : sequence of RegisteredPair
    held_out : float
        Share to judge by; at least one pair, or that part of the height of a single pair.
    """
    if len(pairs) == 1:
        pair = pairs[0]
        row = round((1 - held_out) * pair.ld.shape[0])
        parts = [replace(pair, ld=pair.ld[rows], hd=pair.hd[rows]) for rows in (slice(None, row), slice(row, None))]
        return parts[:1], parts[1:]
    count = max(1, round(held_out * len(pairs)))
    chosen = set(np.linspace(0, len(pairs) - 1, count + 2).round().astype(int)[1:-1].tolist())
    return [p for n, p in enumerate(pairs) if n not in chosen], [p for n, p in enumerate(pairs) if n in chosen]


@dataclass(frozen=True)
class PairPatches:
    """Random patches of pairs, mirrored; not turned, because the noise of a scan has a direction.

    Attributes
    ----------
    pairs : sequence of RegisteredPair
    patch_px : int
        Edge of a patch.
    batch : int
        Patches of a batch.
    seed : int
    told_nothing : float
        Share of patches for which the network is told no noise.
    """

    pairs: Sequence[RegisteredPair]
    patch_px: int = 128
    batch: int = 8
    seed: int = 0
    told_nothing: float = 0.15

    def __post_init__(self) -> None:
        """Refuse pairs that no patch fits into."""
        if not self.pairs:
            raise InputError("there is no pair of LD and HD images to train on")
        for pair in self.pairs:
            if min(pair.ld.shape) < self.patch_px:
                raise InputError(
                    f"the common field of {pair.name} is {pair.ld.shape[1]} x {pair.ld.shape[0]} px, smaller than a "
                    f"patch of {self.patch_px} px; lower 'patch_px'"
                )

    def __call__(self, step: int) -> Batch:
        """Return the batch of this step, the same each time."""
        rng = np.random.default_rng((self.seed, step))
        areas = np.array([pair.ld.size for pair in self.pairs], float)
        noisy, target, noise = [], [], []
        for number in rng.choice(len(self.pairs), self.batch, p=areas / areas.sum()):
            pair = self.pairs[int(number)]
            y, x = (int(rng.integers(edge - self.patch_px + 1)) for edge in pair.ld.shape)
            place = np.s_[y : y + self.patch_px, x : x + self.patch_px]
            turned = np.s_[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
            noisy.append(pair.ld[place][turned])
            target.append(pair.hd[place][turned])
            noise.append(pair.noise * (rng.random() >= self.told_nothing))
        stacked = (torch.from_numpy(np.stack(part)[:, None]) for part in (noisy, target))
        return Batch(*stacked, torch.tensor(noise, dtype=torch.float32))
