"""Labels without a person: pixels or pieces of an image, sorted into classes by grey level and texture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cemi_analyze.train.recipe import PseudoData
from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.files.find import find_files
from cemi_core.images.read_image import IMAGE_SUFFIXES, read_pixels
from cemi_core.model.classes import class_labels
from cemi_core.model.frame import to_unit_range
from cemi_learn.data.labelled import LabelledImage, LabelledSet
from cemi_learn.data.read import specimen_of

_SAMPLE = 50_000
_PIECE_PX = 12


def pseudo_labelled(data: PseudoData, classes: Sequence[str], seed: int) -> LabelledSet:
    """Return images whose masks were made by sorting pixels.

    All images are sorted together, so that a class is the same in each; classes are numbered from dark to bright.

    Raises
    ------
    InputError
        An image cannot be read, or there are fewer grey levels than classes.
    MissingDependencyError
        scikit-learn is not installed.
    """
    files = find_files(data.images, IMAGE_SUFFIXES, "images")
    pixels = [read_pixels(path) for path in files]
    masks = sorted_pixels([_grey(image) for image in pixels], len(classes), data.method, data.smoothing_px, seed)
    named = [Path(path) for path in files]
    images = [
        LabelledImage(path.name, image, mask, specimen_of(path, data.specimen))
        for path, image, mask in zip(named, pixels, masks, strict=True)
    ]
    return LabelledSet(tuple(images), class_labels(classes))


def sorted_pixels(
    images: Sequence[NDArray[np.float32]],
    count: int,
    method: str = "superpixels",
    smoothing_px: float = 1.0,
    seed: int = 0,
) -> list[NDArray[np.int32]]:
    """Return a mask for each image: its pixels sorted into ``count`` classes, dark to bright.

    Parameters
    ----------
    images : sequence of ndarray of float32, each (h, w)
        In [0, 1].
    count : int
        Classes.
    method : {"kmeans", "superpixels"}
        k-means of single pixels by grey level, or of pieces that SLIC cuts (Achanta et al., IEEE TPAMI 34 (2012) 2274)
        by their mean grey level.
    smoothing_px : float
        Gaussian before, px.
    seed : int

    Raises
    ------
    InputError
        There are fewer grey levels than classes.
    MissingDependencyError
        scikit-learn, or scikit-image for superpixels, is not installed.
    """
    try:
        from scipy.ndimage import gaussian_filter
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingDependencyError("sorting pixels needs scikit-learn: pip install 'cemi-analyze[learn]'") from error
    smooth = [gaussian_filter(image, smoothing_px) if smoothing_px > 0 else image for image in images]
    pieces = [_pieces(image, seed) if method == "superpixels" else None for image in smooth]
    values = [
        image if cut is None else _means(image, cut)[cut].reshape(image.shape)
        for image, cut in zip(smooth, pieces, strict=True)
    ]
    rng = np.random.default_rng(seed)
    every = np.concatenate([image.ravel() for image in values])
    sample = rng.choice(every, min(_SAMPLE, every.size), replace=False)[:, None]
    if len(np.unique(sample)) < count:
        raise InputError(
            f"the images have fewer than {count} grey levels, so they cannot be sorted into {count} classes"
        )
    found = KMeans(count, n_init=4, random_state=seed).fit(sample)
    levels = np.sort(found.cluster_centers_[:, 0])
    edges = (levels[1:] + levels[:-1]) / 2  # the nearest centre, on one axis
    return [np.searchsorted(edges, image).astype(np.int32) for image in values]


def _pieces(image: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise MissingDependencyError("superpixels need scikit-image: pip install 'cemi-analyze[learn]'") from error
    number = max(4, image.size // _PIECE_PX**2)
    cut = slic(image, n_segments=number, compactness=0.05, channel_axis=None, start_label=0)
    return np.asarray(cut, np.int64)


def _means(image: NDArray[np.float32], pieces: NDArray[np.int64]) -> NDArray[np.float64]:
    flat = pieces.ravel()
    return np.asarray(np.bincount(flat, weights=image.ravel()) / np.maximum(np.bincount(flat), 1))


def _grey(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    unit = to_unit_range(pixels)
    return unit if unit.ndim == 2 else np.asarray(unit.mean(0), np.float32)
