"""Splits by specimen: what is measured on was never seen, nor anything of the same specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cemi_core.errors import InputError
from cemi_learn.data.labelled import LabelledSet
from cemi_learn.data.same_origin import groups_of


@dataclass(frozen=True)
class Split:
    """Images to train on and images to measure on.

    Attributes
    ----------
    train, validation : LabelledSet
    fold, folds : int
        Which of how many; 0 of 1 for a single split.
    """

    train: LabelledSet
    validation: LabelledSet
    fold: int = 0
    folds: int = 1


def split_once(data: LabelledSet, share: float = 0.2, seed: int = 0) -> Split:
    """Return a split with about a share of the pixels, and at least one specimen, to measure on.

    Parameters
    ----------
    data : LabelledSet
    share : float
        Of the pixels, in (0, 1).
    seed : int
        The same one always splits in the same way.

    Raises
    ------
    InputError
        There is only one specimen.
    """
    of_image, sizes = _groups(data)
    groups = _shuffled(sizes, seed)
    if len(groups) < 2:
        raise InputError(f"{_what_there_is(data, 1)} cannot be split: annotate images of a second specimen")
    held: list[int] = []
    wanted = share * sum(sizes.values())
    for group in groups[:-1]:  # one stays to train on
        if held and sum(sizes[g] for g in held) + sizes[group] / 2 > wanted:
            break
        held.append(group)
    return _split(data, of_image, held)


def split_into_folds(data: LabelledSet, folds: int = 5, seed: int = 0) -> tuple[Split, ...]:
    """Return splits in which each specimen is measured on exactly once; folds hold about as many pixels each.

    Parameters
    ----------
    data : LabelledSet
    folds : int
        At least 2.
    seed : int

    Raises
    ------
    InputError
        There are fewer specimens than folds.
    """
    if folds < 2:
        raise InputError(f"a cross-validation has 2 folds or more, not {folds}")
    of_image, sizes = _groups(data)
    groups = _shuffled(sizes, seed)
    if len(groups) < folds:
        fewer = f", or take {len(groups)} folds" if len(groups) > 1 else ""
        raise InputError(
            f"{_what_there_is(data, len(groups))} cannot be split into {folds} folds: annotate images of more "
            f"specimens{fewer}"
        )
    held: list[list[int]] = [[] for _ in range(folds)]
    for group in sorted(groups, key=lambda g: -sizes[g]):  # stable, so that the seed decides among equals
        min(held, key=lambda part: sum(sizes[g] for g in part)).append(group)
    return tuple(_split(data, of_image, part, number, folds) for number, part in enumerate(held))


def _groups(data: LabelledSet) -> tuple[tuple[int, ...], dict[int, int]]:
    """Return the group of each image, of those that stay together, and the pixels of each group."""
    of_image = groups_of([image.pixels for image in data.images], [image.specimen for image in data.images])
    sizes: dict[int, int] = {}
    for group, image in zip(of_image, data.images, strict=True):
        sizes[group] = sizes.get(group, 0) + image.mask.size
    return of_image, sizes


def _shuffled(sizes: dict[int, int], seed: int) -> list[int]:
    return [list(sizes)[index] for index in np.random.default_rng(seed).permutation(len(sizes))]


def _split(data: LabelledSet, of_image: Sequence[int], held: Sequence[int], fold: int = 0, folds: int = 1) -> Split:
    measured = {index for index, group in enumerate(of_image) if group in held}
    return Split(data.only(set(range(len(of_image))) - measured), data.only(measured), fold, folds)


def _what_there_is(data: LabelledSet, groups: int) -> str:
    specimens = len(data.specimens)
    joined = "" if groups >= specimens else f" (some of the {specimens} that are named show the same pixels)"
    return f"{len(data.images)} images of {groups} specimen{'s'[: groups != 1]}{joined}"
