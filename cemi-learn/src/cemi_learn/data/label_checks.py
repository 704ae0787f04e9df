"""Checks of annotations before hours are spent on them: wrong sizes, empty, inverted or unknown labels, duplicates."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cemi_core.errors import InputError
from cemi_learn.data.labelled import IGNORED, LabelledImage, LabelledSet
from cemi_learn.data.split import Split

log = logging.getLogger("cemi")

#: Images from which it can be said that one of them is not like the others.
_MIN_OTHERS = 3


@dataclass(frozen=True)
class LabelProblem:
    """Something about the labels of one image, or of a whole set.

    Attributes
    ----------
    image : str
        Its name; empty for the whole set.
    sentence : str
        What is wrong, and what would be right.
    fatal : bool
        Whether nothing can be trained with it.
    """

    image: str
    sentence: str
    fatal: bool


def check_labels(data: LabelledSet) -> tuple[LabelProblem, ...]:
    """Return what is wrong with the labels of a set, image by image."""
    problems = [problem for image in data.images for problem in _of_image(image, data)]
    sound = [image for image in data.images if image.shape == image.mask.shape]
    problems += _inverted(sound, len(data.classes))
    for index, label in enumerate(data.classes):
        if not any((image.mask == index).any() for image in data.images):
            problems.append(LabelProblem("", f"no pixel of any image is '{label.name}'", fatal=False))
    return tuple(problems)


def check_split(split: Split) -> tuple[LabelProblem, ...]:
    """Return what is wrong with a split: something that is measured on was trained on, or never seen."""
    problems = []
    seen = {image.digest: image.name for image in split.train.images}
    specimens = set(split.train.specimens)
    for image in split.validation.images:
        if image.digest in seen:
            same = f"it has the pixels of '{seen[image.digest]}', which is trained on: keep both on one side"
            problems.append(LabelProblem(image.name, same, fatal=True))
        elif image.specimen in specimens:
            same = f"its specimen '{image.specimen}' is trained on as well: keep a specimen on one side"
            problems.append(LabelProblem(image.name, same, fatal=True))
    for index, label in enumerate(split.train.classes):
        if any((image.mask == index).any() for image in split.train.images):
            continue
        if any((image.mask == index).any() for image in split.validation.images):
            never = f"'{label.name}' is measured and never seen in training: annotate it on another specimen as well"
            problems.append(LabelProblem("", never, fatal=True))
    return tuple(problems)


def require_sound(problems: Sequence[LabelProblem]) -> None:
    """Log what is doubtful, and refuse what cannot be trained with.

    Raises
    ------
    InputError
        At least one problem is fatal; all of these are named.
    """
    for problem in problems:
        if not problem.fatal:
            log.warning("labels: %s", _told(problem))
    fatal = [_told(problem) for problem in problems if problem.fatal]
    if fatal:
        raise InputError("the labels cannot be trained with: " + "; ".join(fatal))


def _told(problem: LabelProblem) -> str:
    return f"'{problem.image}': {problem.sentence}" if problem.image else problem.sentence


def _of_image(image: LabelledImage, data: LabelledSet) -> list[LabelProblem]:
    if image.mask.shape != image.shape:
        sizes = " and the image ".join(f"{width} x {height} px" for height, width in (image.mask.shape, image.shape))
        return [LabelProblem(image.name, f"the mask has {sizes}: export it at the size of the image", fatal=True)]
    values, counts = np.unique(image.mask, return_counts=True)
    unknown = [int(value) for value in values if not IGNORED <= value < len(data.classes)]
    if unknown:
        known = f"{IGNORED} for nothing said, 0 to {len(data.classes) - 1} for the classes"
        return [LabelProblem(image.name, f"the mask holds {_listed(unknown)}; it may hold {known}", fatal=True)]
    said = {int(value): int(count) for value, count in zip(values, counts, strict=True) if value != IGNORED}
    if not said:
        return [LabelProblem(image.name, "nothing is annotated: leave it out, or annotate it", fatal=True)]
    if len(said) == 1:
        only = data.classes[next(iter(said))].name
        return [LabelProblem(image.name, f"all that is annotated is '{only}': is that meant?", fatal=False)]
    return []


def _listed(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values[:5]) + (", ..." if len(values) > 5 else "")


def _inverted(images: Sequence[LabelledImage], classes: int) -> list[LabelProblem]:
    """Return masks of two classes that look like the others with their classes exchanged.

    Two signs must agree: the class that is the brighter one in most images is the darker one here, and its share would
    be nearer to the median of the others if the classes were exchanged.
    """
    told = [image for image in images if {0, 1} <= set(np.unique(image.mask).tolist())]
    if classes != 2 or len(told) < _MIN_OTHERS + 1:
        return []
    brighter = np.array([_contrast(image) for image in told])
    shares = np.array([image.share_of(1) for image in told])
    problems = []
    for index, image in enumerate(told):
        others = np.arange(len(told)) != index
        usual, median = np.sign(np.median(brighter[others])), float(np.median(shares[others]))
        turned = usual * brighter[index] < 0
        if turned and abs(1 - shares[index] - median) < abs(shares[index] - median):
            sentence = "its two classes look exchanged: brightness and share are those of the other class elsewhere"
            problems.append(LabelProblem(image.name, sentence, fatal=False))
    return problems


def _contrast(image: LabelledImage) -> float:
    grey = image.channels.mean(0)
    return float(grey[image.mask == 1].mean() - grey[image.mask == 0].mean())
