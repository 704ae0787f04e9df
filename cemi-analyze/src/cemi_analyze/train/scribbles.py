"""A few strokes are enough: a forest learns what the pixels under them look like, and fills in where it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.train.recipe import ScribbleData
from cemi_core.errors import InputError, MissingDependencyError
from cemi_learn.data.labelled import IGNORED, LabelledSet
from cemi_learn.data.read import read_labelled

_MOST_PIXELS = 20_000
_TREES = 60


def filled_in(data: ScribbleData, classes: Sequence[str], seed: int) -> LabelledSet:
    """Return images whose strokes were grown to masks; pixels of which the classifier is unsure stay unlabelled.

    Raises
    ------
    InputError
        An image or mask cannot be read, or fewer than two classes were drawn.
    MissingDependencyError
        scikit-learn or scikit-image is not installed.
    """
    drawn = read_labelled(
        data.images, data.masks, classes, values=data.values, ignored=data.ignored, specimen=data.specimen
    )
    masks = grown_strokes(
        [image.channels for image in drawn.images], [image.mask for image in drawn.images], data.sure, seed
    )
    images = [replace(image, mask=mask) for image, mask in zip(drawn.images, masks, strict=True)]
    return replace(drawn, images=tuple(images))


def grown_strokes(
    images: Sequence[NDArray[np.float32]], strokes: Sequence[NDArray[np.int32]], sure: float = 0.8, seed: int = 0
) -> list[NDArray[np.int32]]:
    """Return masks grown from strokes.

    A random forest on grey level, edges and texture at scales of 1 to 16 px, as in Trainable Weka Segmentation
    (Arganda-Carreras et al., Bioinformatics 33 (2017) 2424) and ilastik.

    Parameters
    ----------
    images : sequence of ndarray of float32, each (c, h, w)
        In [0, 1].
    strokes : sequence of ndarray of int32, each (h, w)
        Class of each pixel, -1 where nothing was drawn.
    sure : float
        Probability from which an answer counts.
    seed : int

    Raises
    ------
    InputError
        Fewer than two classes were drawn, or a mask has another size than its image.
    MissingDependencyError
        scikit-learn or scikit-image is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise MissingDependencyError("strokes need scikit-learn: pip install 'cemi-analyze[learn]'") from error
    for image, mask in zip(images, strokes, strict=True):
        if image.shape[-2:] != mask.shape:
            raise InputError(
                f"a mask of {mask.shape[1]} x {mask.shape[0]} px lies beside an image of {image.shape[-1]} x "
                f"{image.shape[-2]} px: export it at the size of the image"
            )
    features = [features_of(image) for image in images]
    known = [mask != IGNORED for mask in strokes]
    of = np.concatenate([mask[where] for mask, where in zip(strokes, known, strict=True)])
    if len(np.unique(of)) < 2:
        raise InputError("the strokes are all of one class: draw at least one of every class")
    seen = np.concatenate([each[where] for each, where in zip(features, known, strict=True)])
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(of), min(len(of), _MOST_PIXELS), replace=False)
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed, n_jobs=1
    ).fit(seen[chosen], of[chosen])
    masks = []
    for each, drawn in zip(features, strokes, strict=True):
        probability = forest.predict_proba(each.reshape(-1, each.shape[-1]))
        best = forest.classes_[probability.argmax(1)].astype(np.int32)
        best[probability.max(1) < sure] = IGNORED
        masks.append(np.where(drawn != IGNORED, drawn, best.reshape(drawn.shape)).astype(np.int32))
    return masks


def features_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a pixel looks like: grey level, slope and curvature at five scales, (h, w, features).

    Parameters
    ----------
    image : ndarray of float32, shape (c, h, w)
    """
    try:
        from skimage.feature import multiscale_basic_features
    except ImportError as error:
        raise MissingDependencyError("strokes need scikit-image: pip install 'cemi-analyze[learn]'") from error
    found = multiscale_basic_features(image, sigma_min=1, sigma_max=16, channel_axis=0)
    return np.asarray(found, np.float32)
