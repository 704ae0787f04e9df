"""All labels that a recipe names, as one set of images and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cemi_analyze.train.pseudo import pseudo_labelled
from cemi_analyze.train.recipe import LabelSettings, SegmenterRecipe
from cemi_analyze.train.scribbles import filled_in
from cemi_analyze.train.specimens import rendered_set
from cemi_core.errors import InputError
from cemi_core.model.classes import class_labels
from cemi_learn.data.label_checks import LabelProblem, check_labels, check_split, require_sound
from cemi_learn.data.labelled import LabelledImage, LabelledSet
from cemi_learn.data.read import read_labelled
from cemi_learn.data.split import Split, split_once


def opened_labels(data: LabelSettings, classes: Sequence[str], seed: int) -> LabelledSet:
    """Return all labels that settings name.

    Raises
    ------
    InputError
        A file cannot be read, an image has no mask, or a mask has levels that stand for no class.
    """
    images: list[LabelledImage] = []
    for masks in data.masks:
        images += read_labelled(
            masks.images,
            masks.masks,
            classes,
            values=masks.values,
            ignored=masks.ignored,
            specimen=masks.specimen,
        ).images
    for scribbles in data.scribbles:
        images += filled_in(scribbles, classes, seed).images
    for pseudo in data.pseudo:
        images += pseudo_labelled(pseudo, classes, seed).images
    images += rendered_set(data.specimens, classes, seed).images
    return LabelledSet(tuple(images), class_labels(classes))


def opened_split(recipe: SegmenterRecipe) -> Split:
    """Return what a recipe trains on and measures on, after checking both.

    Raises
    ------
    InputError
        The labels cannot be trained with: a mask of another size, unknown labels, nothing to measure on, a class that
        is measured and never seen, or a specimen on both sides.
    """
    data = opened_labels(recipe.data, recipe.classes, recipe.seed)
    require_sound(_problems(data, recipe.data))
    chosen = recipe.validation
    if chosen.is_empty:
        if len(data.specimens) < 2:
            raise InputError(
                f"'{data.images[0].name}' is the only annotated specimen, so nothing is left to measure on: annotate "
                "a second one, or name images in 'validation'"
            )
        split = split_once(data, chosen.share, recipe.seed)
    else:
        if chosen.seed == recipe.seed and chosen.specimens:
            raise InputError("'validation.seed' is that of the training: the same specimens would be measured on")
        measured = opened_labels(chosen, recipe.classes, chosen.seed)
        require_sound(_problems(measured, chosen))
        # made fields of the validation are other specimens, whatever their names
        drawn, made = _drawn(measured, chosen), _made(measured, chosen)
        renamed = tuple(replace(image, specimen=f"validation {image.specimen}") for image in made)
        split = Split(data, replace(measured, images=(*drawn, *renamed)))
    require_sound(check_split(split))
    return split


def _problems(data: LabelledSet, settings: LabelSettings) -> list[LabelProblem]:
    """Return what is wrong; masks of made fields are exact, so that only what people drew is doubted."""
    drawn = _drawn(data, settings)
    told = check_labels(replace(data, images=drawn)) if drawn else ()
    return [*told, *(p for p in check_labels(replace(data, images=_made(data, settings))) if p.fatal)]


def _drawn(data: LabelledSet, settings: LabelSettings) -> tuple[LabelledImage, ...]:
    return data.images[: len(data.images) - _count_made(settings)]


def _made(data: LabelledSet, settings: LabelSettings) -> tuple[LabelledImage, ...]:
    return data.images[len(data.images) - _count_made(settings) :]


def _count_made(settings: LabelSettings) -> int:
    return sum(entry.fields for entry in settings.specimens)
