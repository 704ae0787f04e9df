"""Losses of classes: cross entropy and overlap (Dice), blind to pixels of which nothing is said."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cemi_learn.data.labelled import IGNORED


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross entropy over pixels that are labelled; 0 where none is.

    Parameters
    ----------
    logits : tensor of float, shape (n, k, h, w)
        One channel for two classes, else one for each.
    classes : tensor of int64, shape (n, h, w)
        -1 where nothing is said.
    """
    said = classes != IGNORED
    if not bool(said.any()):
        return logits.sum() * 0
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0][said], (classes[said] == 1).float())
    return functional.cross_entropy(logits, classes, ignore_index=IGNORED)


def dice_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return 1 minus the overlap 2 |A B| / (|A| + |B|), taken over the batch, mean over the classes beyond the first.

    Milletari et al., 3DV 2016, with one pixel added above and below, so that a batch without a class asks for none.
    """
    said = (classes != IGNORED).float()
    count = max(logits.shape[1], 2)
    if logits.shape[1] == 1:
        probabilities = torch.cat([1 - logits.sigmoid(), logits.sigmoid()], 1)
    else:
        probabilities = logits.softmax(1)
    losses = []
    for index in range(1, count):
        wanted, found = (classes == index).float(), probabilities[:, index] * said
        losses.append(1 - (2 * (wanted * found).sum() + 1) / (wanted.sum() + found.sum() + 1))
    return torch.stack(losses).mean()
