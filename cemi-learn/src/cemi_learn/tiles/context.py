"""How far a network looks, found by trying."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cemi_learn.tiles.tiled_network import Answer, asked, plain_answer

#: No network of CEMI needs more; what lies farther away changes an answer by less than the tolerance.
LONGEST_CONTEXT_PX = 192
_CUT_PX = 64


def measured_context_px(
    network: nn.Module,
    test_image: Tensor,
    multiple: int = 1,
    tolerance: float = 0.2 / 255,
    answer: Answer = plain_answer,
) -> int:
    """Return how far around a pixel a network has to see, so that its answer is good to ``tolerance``.

    A test image is cut, and the answers for the part are compared with those for the whole; convolutions in a row could
    reach much farther than trained ones do.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    test_image : tensor, shape (1, c, h, w)
        Like those that it will see; at least 256 px high, on the device of the network.
    multiple : int
        Edges of images that the network takes are multiples of it.
    tolerance : float
        On the scale of its answer; by default a fifth of a grey level of 255: two tilings may differ by twice that.
    answer : callable
        How it is asked.

    Returns
    -------
    int
        A multiple of ``multiple``, at most 192.
    """
    cut = -(-_CUT_PX // multiple) * multiple
    part = asked(answer, network, test_image[:, :, cut:])
    difference = (asked(answer, network, test_image)[:, :, cut:] - part)[0].abs().amax((0, 2))
    too_far = torch.nonzero(difference > tolerance)
    farthest = int(too_far[-1]) + 1 if len(too_far) else 0
    return min(LONGEST_CONTEXT_PX, -(-farthest // multiple) * multiple)
