"""How good a network is while it is trained: metrics on pictures that it does not learn from, and samples to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cemi_core.errors import InputError
from cemi_core.model.frame import from_unit_range
from cemi_denoise.judge.metrics import Metric, available_metrics
from cemi_denoise.network.networks import DenoisingNetwork
from cemi_denoise.train.batches import Batch
from cemi_learn.digest import digest_of

_GAP_PX = 4
_SHOWN = 4


@dataclass(frozen=True)
class Examination:
    """Patches that a network is measured on, again and again.

    Attributes
    ----------
    batches : tuple of Batch
    metrics : mapping
        By name.
    summary : tuple of str
        Where the patches are from, in words.
    """

    batches: tuple[Batch, ...]
    metrics: Mapping[str, Metric]
    summary: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Hash of the patches, whatever is measured on them."""
        return digest_of(part.numpy() for batch in self.batches for part in (batch.noisy, batch.target))

    def scores(self, network: DenoisingNetwork | None) -> dict[str, float]:
        """Return the mean of each metric over all patches; without a network, of the noisy patches themselves.

        Raises
        ------
        InputError
            The network answers with no numbers.
        """
        found: dict[str, list[float]] = {name: [] for name in self.metrics}
        for batch in self.batches:
            output = batch.noisy if network is None else denoised(network, batch)
            if not bool(output.isfinite().all()):
                raise InputError(
                    "the network makes pixels that are not numbers, since its training diverged; "
                    "lower the learning rate, or start from other weights"
                )
            for one, target in zip(output.numpy()[:, 0], batch.target.numpy()[:, 0], strict=True):
                for name, metric in self.metrics.items():
                    found[name].append(metric(one, target))
        # a metric can be undefined for a single patch, such as a phase fraction of one grey level
        return {name: float(np.nanmean(values)) for name, values in found.items() if not np.isnan(values).all()}


def choose_metrics(names: Sequence[str], weights_dir: str | Path | None) -> dict[str, Metric]:
    """Return metrics by name.

    Raises
    ------
    InputError
        There is none of that name, or its weights are missing.
    """
    known = available_metrics(weights_dir)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"the metric '{unknown[0]}' is not here; there are: {', '.join(known)}")
    return {name: known[name] for name in names}


def denoised(network: DenoisingNetwork, batch: Batch) -> Tensor:
    """Return the pictures of a batch as the network makes them, on the CPU."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        return network(batch.noisy.to(device), batch.noise.to(device)).float().cpu()


def sample_sheet(network: DenoisingNetwork, batch: Batch) -> NDArray[np.uint8]:
    """Return an image with a row for each of the first patches: noisy, denoised, target."""
    first = Batch(batch.noisy[:_SHOWN], batch.target[:_SHOWN], batch.noise[:_SHOWN])
    columns = [part.numpy()[:, 0] for part in (first.noisy, denoised(network, first), first.target)]
    count, height, width = columns[0].shape
    sheet = np.ones(((height + _GAP_PX) * count - _GAP_PX, (width + _GAP_PX) * len(columns) - _GAP_PX), np.float32)
    for column, patches in enumerate(columns):
        for row, patch in enumerate(patches):
            y, x = row * (height + _GAP_PX), column * (width + _GAP_PX)
            sheet[y : y + height, x : x + width] = np.clip(patch, 0, 1)
    return from_unit_range(sheet, np.dtype(np.uint8)).astype(np.uint8, copy=False)
