"""What the answers of a trained segmenter are worth: temperature, errors of shares, and where it was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_analyze.segment.likeness import traits_of
from cemi_analyze.train.examination import Examination, probabilities_of
from cemi_analyze.train.losses import cross_entropy
from cemi_core.errors import InputError
from cemi_learn.data.labelled import IGNORED
from cemi_learn.encoders.segmentation import SegmentationNetwork
from cemi_learn.tiles.context import measured_context_px

#: Upper ends of bins of relative noise.
NOISE_TO = (0.25, 0.6, 1.0)
_FEWEST = 4  # fields from which the scatter in a bin is told
_TEMPERATURES = np.exp(np.linspace(np.log(0.4), np.log(4.0), 47))
#: A probability may change by so much, at worst, with the cut of the tiles: a few pixels of each border change sides.
_TOLERANCE = 0.1
_TEST_PX = 448


def calibration_of(network: SegmentationNetwork, examination: Examination) -> dict[str, Any]:
    """Return plain data for the card: ``temperature``, ``share_errors``, ``ranges``, ``context_px``.

    Parameters
    ----------
    network : SegmentationNetwork
    examination : Examination
        Fields with masks that it has not learnt from.

    Raises
    ------
    InputError
        The network answers with no numbers.
    """
    logits = examination.logits(network)
    if not all(bool(answer.isfinite().all()) for answer in logits):
        raise InputError("the network answers with no numbers: its training diverged; lower the learning rate")
    masks = [field.mask for field in examination.fields]
    temperature = fitted_temperature(logits, masks)
    probabilities = [probabilities_of(answer, temperature).numpy() for answer in logits]
    greys = [field.image.mean(0) for field in examination.fields]
    traits = [traits_of(grey, probability) for grey, probability in zip(greys, probabilities, strict=True)]
    ranges = {
        name: [float(f"{end:.4g}") for end in np.quantile([found[name] for found in traits], [0.01, 0.99])]
        for name in traits[0]
    }
    noise = np.array([found["noise"] for found in traits])
    return {
        "temperature": round(temperature, 3),
        "share_errors": share_errors(probabilities, masks, noise),
        "ranges": ranges,
        "context_px": _context_px(network, examination),
    }


def fitted_temperature(logits: list[Tensor], masks: list[NDArray[np.int64]]) -> float:
    """Return the temperature at which the cross entropy of all labelled pixels is least.

    Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    rng = np.random.default_rng(0)
    values, classes = [], []
    for answer, mask in zip(logits, masks, strict=True):
        where = np.flatnonzero(mask.ravel() != IGNORED)
        if len(where):
            chosen = rng.choice(where, min(len(where), 20_000), replace=False)
            values.append(answer.flatten(1)[:, chosen])
            classes.append(torch.from_numpy(mask.ravel()[chosen]))
    if not values:
        return 1.0
    every, of = torch.cat(values, 1)[None, :, None], torch.cat(classes)[None, None]
    losses = [float(cross_entropy(every / float(temperature), of)) for temperature in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def share_errors(
    probabilities: list[NDArray[np.float32]], masks: list[NDArray[np.int64]], noise: NDArray[np.float64]
) -> Mapping[str, Any]:
    """Return how far shares are off, by the better of two ways to count them, in bins of relative noise."""
    count = len(probabilities[0])
    errors: dict[str, NDArray[np.float64]] = {}
    for by in ("mask", "probability"):
        rows = []
        for probability, mask in zip(probabilities, masks, strict=True):
            said = mask != IGNORED
            best = probability.argmax(0)
            found = [
                (best[said] == index).mean() if by == "mask" else probability[index][said].mean()
                for index in range(count)
            ]
            rows.append([float(share - (mask[said] == index).mean()) for index, share in enumerate(found)])
        errors[by] = np.array(rows)
    chosen = min(errors, key=lambda by: float(np.sqrt(np.nanmean(errors[by][:, 1:] ** 2))))
    of = errors[chosen]
    edges = np.array(NOISE_TO)
    bins = np.minimum(np.searchsorted(edges, noise), len(edges) - 1)
    rms = [
        np.sqrt(np.nanmean((of[bins == n] if (bins == n).sum() >= _FEWEST else of) ** 2, axis=0))
        for n in range(len(edges))
    ]
    bias = np.nanmean(of, axis=0)
    return {
        "by": chosen,
        "noise_to": list(NOISE_TO),
        "rms": [[float(f"{value:.3g}") for value in row] for row in rms],
        "bias": [float(f"{value:.3g}") for value in bias],
        "fields": [int((bins == n).sum()) for n in range(len(edges))],
    }


def _context_px(network: SegmentationNetwork, examination: Examination) -> int:
    """Return how far around a pixel the network looks, on a field that is large enough."""
    tall = max(examination.fields, key=lambda field: field.mask.shape[0]).image[None]
    repeats = -(-_TEST_PX // tall.shape[2])
    image = np.concatenate([tall, tall[:, :, ::-1]] * repeats, axis=2)[:, :, :_TEST_PX, :_TEST_PX]

    def answer(asked: torch.nn.Module, cells: Tensor) -> Tensor:
        return torch.stack([probabilities_of(one) for one in asked(cells).float()])

    device = next(network.parameters()).device
    width = image.shape[3] - image.shape[3] % 32
    test = torch.from_numpy(np.ascontiguousarray(image[..., :width])).to(device)
    was = network.training
    network.eval()
    found = measured_context_px(network, test, network.multiple, _TOLERANCE, answer)
    network.train(was)
    return found
