"""Local features: keypoints that two pictures share, the shift that most of them agree on, rotation and scale.

SIFT (Lowe, Int. J. Comput. Vis. 60 (2004) 91) needs no weights. DISK, ALIKED and XFeat are networks, their keypoints
paired by another one, LightGlue (Lindenberger et al., ICCV 2023); LoFTR does both in one. kornia fetches the weights on
first use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from cemi_core.errors import MissingDependencyError
from cemi_stitch.methods import FEATURES

#: Keypoints per picture, at most.
MAX_POINTS = 2000
#: A match counts if the next best descriptor is farther by this factor, seen from either side.
RATIO = 0.9
#: Matches agree on a shift within so many px; a shift needs so many of them; so many shifts are proposed at most.
AGREE_PX, MIN_AGREEING, MAX_SHIFTS = 2.5, 4, 3
#: Matches that must agree on a rotation.
MIN_FOR_ROTATION = 12

Points = NDArray[np.float64]
#: From two pictures (h, w) to the places (y, x) of their matching keypoints, shapes (n, 2).
PairMatcher = Callable[[Tensor, Tensor], tuple[Points, Points]]

_LIGHTGLUE = "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv"
_XFEAT = "https://github.com/verlab/accelerated_features/raw/main/weights"
#: Where the weights come from, and the names that kornia looks for among those that are there.
WEIGHTS: dict[str, dict[str, str]] = {
    "disk": {
        "depth-save.pth": "https://raw.githubusercontent.com/cvlab-epfl/disk/master/depth-save.pth",
        "disk_lightglue_v0-1_arxiv-pth": f"{_LIGHTGLUE}/disk_lightglue.pth",
    },
    "aliked": {
        "aliked-n16.pth": "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n16.pth",
        "aliked_lightglue_v0-1_arxiv-pth": f"{_LIGHTGLUE}/aliked_lightglue.pth",
    },
    "xfeat": {
        "xfeat.pt": f"{_XFEAT}/xfeat.pt",
        "xfeat-lighterglue.pt": f"{_XFEAT}/xfeat-lighterglue.pt",
    },
    "loftr": {"loftr_outdoor.ckpt": "https://cmp.felk.cvut.cz/~mishkdmy/models/loftr_outdoor.ckpt"},
}


@dataclass(frozen=True)
class Similarity:
    """Rotation and scale between two pictures, from so many matches.

    Attributes
    ----------
    rotation_deg : float
        How far the second picture is turned against the first, from x towards y.
    scale : float
        Pixels of the first picture per pixel of the second.
    matches : int
    """

    rotation_deg: float
    scale: float
    matches: int


@lru_cache(maxsize=2)
def pair_matcher(name: str, device: str) -> PairMatcher:
    """Return what finds matching keypoints, one of `cemi_stitch.methods.FEATURES`.

    Raises
    ------
    MissingDependencyError
        The weights are neither on this machine nor to be had.
    """
    try:
        matcher: PairMatcher = FEATURES[name].load()(device)
    except (OSError, RuntimeError, ValueError) as reason:
        raise MissingDependencyError(_what_is_missing(name, reason)) from reason
    return matcher


def make_sift(device: str) -> PairMatcher:
    """Return a matcher of SIFT keypoints."""
    import kornia.feature as kornia

    return _sift_matcher(_ready(kornia.SIFTFeature(MAX_POINTS, descriptor_backend="pyramid"), device))


def make_disk(device: str) -> PairMatcher:
    """Return a matcher of DISK keypoints."""
    import kornia.feature as kornia

    return _glued_matcher(_ready(kornia.DISK.from_pretrained("depth"), device), "disk", device)


def make_aliked(device: str) -> PairMatcher:
    """Return a matcher of ALIKED keypoints."""
    import kornia.feature as kornia

    model = kornia.ALIKED.from_pretrained("aliked-n16", max_num_keypoints=MAX_POINTS)
    return _glued_matcher(_ready(model, device), "aliked", device)


def make_xfeat(device: str) -> PairMatcher:
    """Return a matcher of XFeat keypoints."""
    import kornia.feature as kornia

    return _glued_matcher(_ready(kornia.XFeat.from_pretrained(top_k=MAX_POINTS), device), "xfeat", device)


def make_loftr(device: str) -> PairMatcher:
    """Return LoFTR, which matches without keypoints."""
    import kornia.feature as kornia

    return _loftr_matcher(_ready(kornia.LoFTR("outdoor"), device))


def _ready(model: torch.nn.Module, device: str) -> torch.nn.Module:
    return model.to(device).eval()


def _what_is_missing(name: str, reason: Exception) -> str:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = WEIGHTS.get(name, {})
    missing = [f"{url} as {folder / file}" for file, url in files.items() if not (folder / file).exists()]
    return (
        f"the weights of the features '{name}' are not on this machine and could not be fetched ({reason}); "
        f"save {' and '.join(missing or files)}, or use 'features: sift', which needs none"
    )


def _sift_matcher(model: torch.nn.Module) -> PairMatcher:
    from kornia.feature import get_laf_center, match_smnn

    def matched(first: Tensor, second: Tensor) -> tuple[Points, Points]:
        with torch.inference_mode():
            (frames_a, _, a), (frames_b, _, b) = (model(_stretched(picture)[None, None]) for picture in (first, second))
            if min(a.shape[1], b.shape[1]) < 2:
                return np.zeros((0, 2)), np.zeros((0, 2))
            _, pairs = match_smnn(a[0], b[0], RATIO)
        places_a, places_b = get_laf_center(frames_a)[0], get_laf_center(frames_b)[0]
        return _rows_and_columns(places_a[pairs[:, 0]]), _rows_and_columns(places_b[pairs[:, 1]])

    return matched


def _glued_matcher(model: torch.nn.Module, name: str, device: str) -> PairMatcher:
    """Return a matcher whose keypoints LightGlue pairs; it sees where they lie, too."""
    import kornia.feature as kornia

    glue = _ready(kornia.LightGlue(name), device)

    def described(picture: Tensor) -> dict[str, Tensor]:
        image = _stretched(picture)[None, None]
        if name == "xfeat":
            found = model.detectAndCompute(image)[0]  # type: ignore[operator]
            places, descriptors = found["keypoints"], found["descriptors"]
        else:
            colour = image.expand(-1, 3, -1, -1)
            found = model(colour, MAX_POINTS, pad_if_not_divisible=True) if name == "disk" else model(colour)
            places, descriptors = found[0].keypoints, found[0].descriptors
        size = torch.tensor([[picture.shape[1], picture.shape[0]]], device=picture.device)
        return {"keypoints": places[None].float(), "descriptors": descriptors[None].float(), "image_size": size}

    def matched(first: Tensor, second: Tensor) -> tuple[Points, Points]:
        with torch.inference_mode():
            a, b = described(first), described(second)
            if min(a["keypoints"].shape[1], b["keypoints"].shape[1]) < 2:
                return np.zeros((0, 2)), np.zeros((0, 2))
            pairs = glue({"image0": a, "image1": b})["matches"][0]
        return _rows_and_columns(a["keypoints"][0, pairs[:, 0]]), _rows_and_columns(b["keypoints"][0, pairs[:, 1]])

    return matched


def _loftr_matcher(model: torch.nn.Module) -> PairMatcher:
    def matched(first: Tensor, second: Tensor) -> tuple[Points, Points]:
        with torch.inference_mode():
            found = model({"image0": _whole_blocks(first), "image1": _whole_blocks(second)})
        return _rows_and_columns(found["keypoints0"]), _rows_and_columns(found["keypoints1"])

    return matched


def _whole_blocks(picture: Tensor) -> Tensor:
    """Return a picture as a batch of one, cut to sides that are multiples of 8."""
    height, width = (int(side) // 8 * 8 for side in picture.shape)
    return _stretched(picture)[None, None, :height, :width]


def _stretched(picture: Tensor) -> Tensor:
    """Return a picture between 0 and 1, its darkest and brightest half percent cut off."""
    some = picture.flatten()[:: max(1, picture.numel() // 100_000)]
    low, high = torch.quantile(some, torch.tensor([0.005, 0.995], dtype=some.dtype, device=some.device))
    stretched: Tensor = ((picture - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    return stretched


def _rows_and_columns(places: Tensor) -> Points:
    return places.flip(-1).cpu().numpy().astype(np.float64)


def agreed_shifts(first: Points, second: Points) -> list[tuple[float, float]]:
    """Return the shifts (dy, dx) that most matches agree on, best first.

    Every match proposes its own shift and all others vote, so that the answer needs no luck (RANSAC with all samples).

    Parameters
    ----------
    first, second : ndarray of float64, shape (n, 2)
        Places (y, x) of matching keypoints; second + shift = first.
    """
    moves = first - second
    shifts: list[tuple[float, float]] = []
    while len(moves) >= MIN_AGREEING and len(shifts) < MAX_SHIFTS:
        near = cKDTree(moves).query_ball_point(moves, AGREE_PX)
        best = max(near, key=len)
        if len(best) < MIN_AGREEING:
            break
        y, x = np.median(moves[best], axis=0)
        shifts.append((float(y), float(x)))
        moves = np.delete(moves, best, axis=0)
    return shifts


def similarity(first: Points, second: Points) -> Similarity | None:
    """Return the rotation and scale that most matches agree on (RANSAC), None if fewer than 12 do."""
    if len(first) < MIN_FOR_ROTATION:
        return None
    matrix, agree = cv2.estimateAffinePartial2D(
        second[:, ::-1].copy(), first[:, ::-1].copy(), method=cv2.RANSAC, ransacReprojThreshold=2.0
    )
    if matrix is None or int(agree.sum()) < MIN_FOR_ROTATION:
        return None
    turn = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return Similarity(-turn, math.hypot(matrix[0, 0], matrix[1, 0]), int(agree.sum()))
