"""From the section ``data`` of a training recipe to batches."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from cemi_core.errors import InputError
from cemi_denoise.noise.degrade import Degradation, SemDegradation, SyntheticDegradation
from cemi_denoise.noise.degrade_like import sem_degradation_like
from cemi_denoise.noise.model import estimate_noise_model
from cemi_denoise.train.batches import Batches, DegradedPatches, MixedBatches, PairedPatches
from cemi_denoise.train.overlap_patches import OverlapPatches, split_overlaps
from cemi_denoise.train.overlaps import open_overlaps
from cemi_denoise.train.pairs import open_pairs
from cemi_denoise.train.pictures import noisy_frames, read_pictures, same_files
from cemi_denoise.train.recipe import ModesSettings, SemSettings, SyntheticSettings, TrainingRecipe
from cemi_learn.digest import digest_of

log = logging.getLogger("cemi")


@dataclass(frozen=True)
class OpenedData:
    """Batches, and what they are made from.

    Attributes
    ----------
    batches : Batches
    digest : str
        Of all pixels that the batches are made from.
    summary : tuple of str
        One line for each kind of data.
    """

    batches: Batches
    digest: str
    summary: tuple[str, ...]


def open_training_data(recipe: TrainingRecipe) -> OpenedData:
    """Return what a recipe trains on.

    Raises
    ------
    InputError
        A picture cannot be read, or none can be used.
    """
    data = recipe.data
    log.info("reading what to train on: %s", _in_words(data))
    return _opened(
        data,
        {
            "patch_px": recipe.patch_px,
            "batch": recipe.batch,
            "seed": recipe.seed,
            "contrast": data.contrast,
            "inverted": data.inverted,
            "told_error": data.told_error,
            "told_nothing": data.told_nothing,
            "told_measured": data.told_measured,
            "grain": data.grain,
        },
        _Purpose(recipe.seed, held_out=False),
    )


def open_validation_data(recipe: TrainingRecipe) -> OpenedData | None:
    """Return what a recipe measures the network on, or None; the network is told the true noise there.

    Raises
    ------
    InputError
        A picture cannot be read, or none can be used, or one is trained on as well.
    """
    data = recipe.validation
    if data is None:
        return None
    trained, measured = _fields(recipe.data), _fields(data)
    twice = same_files(trained, measured) if trained and measured else []
    if twice:
        raise InputError(f"'{twice[0]}' is both trained on and measured on; leave it out of one of them")
    log.info("reading what to measure on: %s", _in_words(data))
    varied = {"patch_px": recipe.patch_px, "batch": data.batch, "seed": data.seed}
    told = {"told_error": 0.0, "told_nothing": 0.0, "told_measured": 0.0}
    return _opened(data, {**varied, **told}, _Purpose(recipe.seed, held_out=True))


def _fields(data: ModesSettings) -> list[str]:
    """Return the patterns of the files that show what is learnt or measured, clean or of fast scans."""
    named = [data.images] + ([data.pairs.ld, data.pairs.hd] if data.pairs is not None else [])
    return [path for paths in named if paths is not None for path in ([paths] if isinstance(paths, str) else paths)]


def _in_words(data: ModesSettings) -> str:
    """Return what is to be read; whoever waits for overlaps, which takes a while, sees why."""
    files = [", ".join(_fields(data))] if _fields(data) else []
    run = [f"overlaps of the frames of {data.overlaps.run}, each registered anew"] if data.overlaps is not None else []
    return "; ".join(files + run)


@dataclass(frozen=True)
class _Purpose:
    """What data are for: to train on, or to measure on; ``seed`` splits the overlaps of a run between the two."""

    seed: int
    held_out: bool


def _opened(data: ModesSettings, varied: dict[str, Any], purpose: _Purpose) -> OpenedData:
    found = (_degraded(data, varied), _paired(data, varied, purpose), _overlapping(data, varied, purpose))
    parts = [part for part in found if part is not None]
    shares = [(share, opened.batches) for share, opened in parts]
    return OpenedData(
        shares[0][1] if len(shares) == 1 else MixedBatches(shares, int(varied["seed"])),
        "-".join(opened.digest for _, opened in parts),
        tuple(line for _, opened in parts for line in opened.summary),
    )


def _degraded(data: ModesSettings, varied: dict[str, Any]) -> tuple[float, OpenedData] | None:
    """Return clean pictures with noise and their share of the batches, or None if there are to be none."""
    if data.images is None:
        return None
    kinds: list[tuple[str, float, Degradation]] = []
    if data.sem is not None:
        kinds.append(("sem", data.sem.share, _sem(data.sem)))
    if data.synthetic is not None:
        kinds.append(("synthetic", data.synthetic.share, _synthetic(data.synthetic)))
    pictures = read_pictures(data.images, int(varied["patch_px"]))
    total = sum(share for _, share, _ in kinds)
    words = ", ".join(f"{name} {100 * share / total:.0f} %" for name, share, _ in kinds)
    batches = DegradedPatches(pictures.arrays, [(share, degradation) for _, share, degradation in kinds], **varied)
    line = f"{pictures.summary()} with noise put on ({words})"
    return total, OpenedData(batches, digest_of(pictures.arrays), (line,))


def _paired(data: ModesSettings, varied: dict[str, Any], purpose: _Purpose) -> tuple[float, OpenedData] | None:
    """Return real pairs and their share of the batches, or None if there are to be none."""
    if data.pairs is None:
        return None
    # one pair alone has a single field, which a network would learn by heart; to measure on, it will do
    pairs = open_pairs(data.pairs, int(varied["patch_px"]), fewest=1 if purpose.held_out else 2)
    # how strong the noise of a pair is has been measured already
    kept = {name: value for name, value in varied.items() if name not in ("inverted", "told_measured", "grain")}
    digest = digest_of(view for pair in pairs for view in (pair.noisy, pair.target))
    pixels = sum(pair.noisy.size for pair in pairs)
    line = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''} of fast and slow scans ({pixels / 1e6:.1f} Mpx)"
    return data.pairs.share, OpenedData(PairedPatches(pairs, **kept), digest, (line,))


def _overlapping(data: ModesSettings, varied: dict[str, Any], purpose: _Purpose) -> tuple[float, OpenedData] | None:
    """Return overlaps of frames and their share of the batches, or None if there are to be none."""
    if data.overlaps is None:
        return None
    found = open_overlaps(data.overlaps, int(varied["patch_px"]), purpose.seed)
    overlaps = split_overlaps(found)[int(purpose.held_out)]
    smallest_px = min(min(overlap.noisy.shape) for overlap in overlaps)
    if smallest_px < int(varied["patch_px"]):
        raise InputError(
            f"the only overlap is divided: a part of {smallest_px} px, less than a patch, is for "
            f"{'validation' if purpose.held_out else 'training'}; lower 'patch_px', or give frames with more overlaps"
        )
    kept = {name: varied[name] for name in ("patch_px", "batch", "seed", "told_error")}
    pixels = sum(overlap.noisy.size for overlap in overlaps)
    line = f"{len(overlaps)} overlaps of frames ({pixels / 1e6:.1f} Mpx), each seen twice with independent noise"
    digest = digest_of(view for overlap in overlaps for view in (overlap.noisy, overlap.target))
    return data.overlaps.share, OpenedData(OverlapPatches(overlaps, found.noise, **kept), digest, (line,))


def _sem(settings: SemSettings) -> SemDegradation:
    given = settings.model_dump(exclude={"share", "noise_of"})
    if settings.noise_of is None:
        return SemDegradation(**given)
    measured = sem_degradation_like(estimate_noise_model(noisy_frames(settings.noise_of)))
    kept = {name: given[name] for name in ("jitter_px", "line_brightness", "quantised")}
    return replace(measured, **kept)


def _synthetic(settings: SyntheticSettings) -> SyntheticDegradation:
    return SyntheticDegradation(**settings.model_dump(exclude={"share"}))
