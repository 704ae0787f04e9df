"""The stages of OpenCV's ``cv2.Stitcher`` in its mode for scans, on frames of which it is known who may overlap whom.

``cv2.Stitcher`` itself compares all frames with all and says nothing about pairs; these are its own classes
(``cv2.detail``), strung together as in OpenCV's ``stitching_detailed.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.model.frame import FrameSource

#: Fewer features than this cannot carry an affine match.
FEWEST_FEATURES = 6
#: The strongest features of a frame that are used; time grows with their square.
MOST_FEATURES = 3000


@dataclass(frozen=True)
class Match:
    """An affine match of two frames: ``transform`` (3, 3) takes (x, y, 1) of ``first`` to that of ``second``."""

    first: int
    second: int
    transform: NDArray[np.float64]
    confidence: float
    inliers: int


def features_of(source: FrameSource, kind: str) -> list[Any]:
    """Return the local features of every frame (``cv2.detail.ImageFeatures``), its grey levels stretched to 8 bit."""
    finder: Any = (cv2.SIFT if kind == "sift" else cv2.ORB).create(nfeatures=MOST_FEATURES)
    return [cv2.detail.computeImageFeatures2(finder, _grey8(source.read(n))) for n in range(len(source.frames))]


def matched(features: Sequence[Any], maybe: NDArray[np.bool_], match_confidence: float) -> list[Match]:
    """Return the affine matches among the pairs that ``maybe`` (n, n) allows."""
    return [
        Match(p.src_img_idx, p.dst_img_idx, np.asarray(p.H, np.float64), float(p.confidence), int(p.num_inliers))
        for p in _pairwise(features, maybe, match_confidence)
        if 0 <= p.src_img_idx < p.dst_img_idx and p.H is not None and np.shape(p.H) == (3, 3)
    ]


def bundled(
    features: Sequence[Any],
    maybe: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    match_confidence: float,
    pair_confidence: float,
) -> NDArray[np.float64] | None:
    """Return where frames that all hang together lie, (n, 2) as (y, x), px; None if OpenCV gives up.

    OpenCV lets frames turn and scale; the place is that of a frame's centre, less half the frame.
    """
    pairs = _pairwise(features, maybe, match_confidence)
    estimator: Any = cv2.detail.AffineBasedEstimator()
    found, cameras = estimator.apply(list(features), pairs, None)
    if not found:
        return None
    for camera in cameras:
        camera.R, camera.t = camera.R.astype(np.float32), camera.t.astype(np.float32)
    adjuster = cv2.detail.BundleAdjusterAffinePartial()
    adjuster.setConfThresh(pair_confidence)
    found, cameras = adjuster.apply(list(features), pairs, cameras)
    if not found:
        return None
    centres = (sizes[:, ::-1] - 1) / 2
    places = []
    for camera, centre in zip(cameras, centres, strict=True):
        try:
            places.append((np.linalg.inv(camera.R.astype(np.float64)) @ [*centre, 1.0])[:2] - centre)
        except np.linalg.LinAlgError:
            return None
    positions: NDArray[np.float64] = np.array(places)[:, ::-1]
    return positions if np.isfinite(positions).all() else None


def _pairwise(features: Sequence[Any], maybe: NDArray[np.bool_], match_confidence: float) -> Any:
    rich = np.array([len(one.getKeypoints()) >= FEWEST_FEATURES for one in features])
    mask = np.triu(maybe & rich[:, None] & rich[None, :], 1).astype(np.uint8)
    cv2.setRNGSeed(0)
    return cv2.detail.AffineBestOf2NearestMatcher(False, False, match_confidence).apply2(list(features), mask)


def _grey8(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = image[np.isfinite(image)]
    low, high = np.percentile(known, (0.1, 99.9)) if known.size else (0.0, 1.0)
    unit = (np.nan_to_num(image, nan=float(low)) - low) / max(high - low, 1e-3)
    return np.clip(np.rint(unit * 255), 0, 255).astype(np.uint8)
