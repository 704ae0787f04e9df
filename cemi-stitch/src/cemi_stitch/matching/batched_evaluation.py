"""Evaluates many pairs at once, as a GPU likes it: one gather, one shading filter, one correlation per batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from cemi_stitch.correlation.zncc import template_zncc
from cemi_stitch.frames.cache import PreparedFrames
from cemi_stitch.frames.filters import shading_block, shading_sigma_px, without_shading_by_torch
from cemi_stitch.graph.candidate_pairs import Window
from cemi_stitch.matching.evaluation import TOO_SMALL, Evaluation, Outcome, Pieces, outcome, pieces

#: Pairs that are correlated at once; each takes some 20 MB for a short while at full resolution.
MAX_TOGETHER = 64

Size = tuple[int, int]


def evaluated_together(
    frames: PreparedFrames, windows: Mapping[int, Window], evaluations: Mapping[int, Evaluation]
) -> dict[int, Outcome]:
    """Return the outcome of each evaluation; those of like size share a batch.

    Parameters
    ----------
    frames : PreparedFrames
        With room for all frames of the windows.
    windows, evaluations : mapping
        By number; every number in ``evaluations`` has its window.
    """
    found: dict[int, Outcome] = {}
    alike: dict[tuple[int, int, float, tuple[int, ...]], list[tuple[int, Pieces]]] = {}
    for number, evaluation in evaluations.items():
        window = windows[number]
        second = frames.shape(window.second, evaluation.level)
        cut = pieces(frames.shape(window.first, evaluation.level), second, evaluation)
        if cut is None:
            found[number] = TOO_SMALL
            continue
        sigma = shading_sigma_px(second)
        blocks = tuple(shading_block(size, sigma) for size in (_patch_size(cut, evaluation.reach), cut.size))
        alike.setdefault((evaluation.level, evaluation.reach, sigma, blocks), []).append((number, cut))
    for (level, reach, sigma, _), members in alike.items():
        for start in range(0, len(members), MAX_TOGETHER):
            some = members[start : start + MAX_TOGETHER]
            surfaces = _surfaces(frames, [windows[n] for n, _ in some], [cut for _, cut in some], level, reach, sigma)
            for (number, cut), surface in zip(some, surfaces.cpu().numpy(), strict=True):
                found[number] = outcome(surface, cut.size[0] * cut.size[1])
    return found


def _patch_size(cut: Pieces, reach: int) -> Size:
    return cut.size[0] + 2 * reach, cut.size[1] + 2 * reach


def _surfaces(
    frames: PreparedFrames, windows: Sequence[Window], cuts: Sequence[Pieces], level: int, reach: int, sigma: float
) -> Tensor:
    """Return the ZNCC of all pairs, shape (n, 2 * reach + 1, 2 * reach + 1)."""
    sizes = [cut.size for cut in cuts]
    wide = [_patch_size(cut, reach) for cut in cuts]
    patches = _gathered(frames.level, [w.first for w in windows], level, [cut.patch for cut in cuts], wide)
    templates = _gathered(frames.second, [w.second for w in windows], level, [cut.template for cut in cuts], sizes)
    return template_zncc(
        without_shading_by_torch(patches, wide, sigma),
        without_shading_by_torch(templates, sizes, sigma),
        reach,
        torch.tensor(sizes, device=patches.device),
    )


def _gathered(
    picture: Callable[[int, int], Tensor],
    indices: Sequence[int],
    level: int,
    corners: Sequence[tuple[int, int]],
    sizes: Sequence[Size],
) -> Tensor:
    """Cut a piece out of the picture of each index, all in one step; smaller ones are filled up with anything."""
    distinct = {index: place for place, index in enumerate(dict.fromkeys(indices))}
    stack = _stacked([picture(index, level) for index in distinct])
    device = stack.device
    place = torch.tensor([distinct[index] for index in indices], device=device)
    corner = torch.tensor(corners, device=device)
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    rows = (corner[:, :1] + torch.arange(height, device=device)).clamp(max=int(stack.shape[1]) - 1)
    columns = (corner[:, 1:] + torch.arange(width, device=device)).clamp(max=int(stack.shape[2]) - 1)
    return stack[place[:, None, None], rows[:, :, None], columns[:, None, :]]


def _stacked(pictures: Sequence[Tensor]) -> Tensor:
    """Return pictures as one batch; smaller ones are filled up with 0."""
    height, width = (max(int(picture.shape[axis]) for picture in pictures) for axis in (0, 1))
    pad = torch.nn.functional.pad
    return torch.stack([pad(p, (0, width - int(p.shape[1]), 0, height - int(p.shape[0]))) for p in pictures])
