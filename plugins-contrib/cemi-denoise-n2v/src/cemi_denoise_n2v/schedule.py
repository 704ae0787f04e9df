"""How long the network trains; known without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long to train.

    Attributes
    ----------
    steps : int
        Each shows 4 patches of 64 x 64 px.
    minutes : float
        Training stops earlier after this time.
    along_px : int or None
        How far the noise is correlated along the line, px; measured if None.
    seed : int
    """

    steps: int
    minutes: float
    along_px: int | None
    seed: int
