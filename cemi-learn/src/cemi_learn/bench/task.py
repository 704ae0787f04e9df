"""What the bench is told of a training: which network, which batches, and what it is to make small."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

BatchT = TypeVar("BatchT")

#: Name of the network that is averaged, examined and written.
MAIN = "network"


@dataclass(frozen=True)
class Networks:
    """The networks of a training before its first step.

    Attributes
    ----------
    by_name : mapping of str to nn.Module
        ``"network"``, and others that are trained with it, or only looked through: those without a parameter that wants
        a gradient are moved to the device and otherwise left alone.
    architecture : mapping
        What ``"network"`` is made from, in plain data; it is written beside the weights.
    """

    by_name: Mapping[str, nn.Module]
    architecture: Mapping[str, Any]


@dataclass(frozen=True)
class Objective:
    """What one network is to make small at one step.

    Attributes
    ----------
    total : tensor
        A scalar; the bench goes down its gradient.
    parts : mapping of str to tensor
        Scalars for the log, by name.
    network : str
        Whose parameters are changed.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    network: str = MAIN


@dataclass(frozen=True)
class Step:
    """One step as a task sees it.

    Attributes
    ----------
    number : int
        Steps done before it.
    precision : callable
        ``with step.precision():`` computes in the number type that the recipe asks for.
    """

    number: int
    precision: Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Provenance:
    """What a card says of where a network comes from.

    Attributes
    ----------
    data, measured_on : sequence of str
        What was trained on and measured on, one line each.
    settings : mapping
        What else decides the weights: batch, losses, augmentation; plain data.
    started_from : str
        Name of the weights that it started from; empty if they were drawn.
    credits : sequence of str
        One line for each set of weights of others that went in: its name, licence, origin and hash.
    """

    data: Sequence[str] = ()
    measured_on: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    started_from: str = ""
    credits: Sequence[str] = ()


class Task(ABC, Generic[BatchT]):
    """One training, described: derive from it, and the bench runs, resumes, measures and writes it.

    `batch` must be a function of the step's number alone, and `build` may draw weights (the bench seeds torch before):
    then the same seed gives the same weights, and a training that was killed goes on to the same ones.
    """

    #: The word after ``cemi train``.
    name: ClassVar[str]
    #: One sentence that begins its card.
    summary: ClassVar[str] = ""
    #: Scores of which a smaller one is better.
    smaller_is_better: frozenset[str] = frozenset()

    @abstractmethod
    def build(self) -> Networks:
        """Return the networks before the first step; what is drawn here depends on the seed of the plan."""

    @abstractmethod
    def batch(self, step: int) -> BatchT:
        """Return what is seen at a step: a tensor, or a tuple, mapping or dataclass of tensors; called from threads."""

    @abstractmethod
    def objectives(self, networks: Mapping[str, nn.Module], batch: BatchT, step: Step) -> Iterator[Objective]:
        """Yield what each network is to make small; the bench takes the step before it asks for the next one."""

    def parameter_groups(self, name: str, network: nn.Module) -> list[dict[str, Any]]:
        """Return the parameters that are trained, in groups with options of Adam (``weight_decay``, ``lr_factor``)."""
        return [{"params": [parameter for parameter in network.parameters() if parameter.requires_grad]}]

    def loss_names(self) -> Sequence[str]:
        """Return the names of all parts of the losses, for the head of the log."""
        return ("loss",)

    def score_names(self) -> Sequence[str]:
        """Return the names of the scores; empty if there is nothing to measure on."""
        return ()

    def examine(self, network: nn.Module) -> Mapping[str, float]:
        """Return what a network is worth on data that it does not learn from."""
        return {}

    def baseline(self) -> Mapping[str, float]:
        """Return the scores of doing nothing, such as those of the noisy images themselves."""
        return {}

    def examined_on(self) -> str:
        """Return a hash of what is measured on, by which scores may be compared; empty for nothing."""
        return ""

    def sample(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Return an image (h, w) or (h, w, 3) that shows what the network can do, or None."""
        return None

    def identity(self) -> Mapping[str, Any]:
        """Return what makes this training this one beside the plan: all that the weights depend on, in plain data."""
        return {}

    def start_digest(self) -> str:
        """Return a hash of the weights that it starts from; empty for those that are drawn."""
        return ""

    def provenance(self) -> Provenance:
        """Return what the card says of where the network comes from."""
        return Provenance()

    def more_for_card(self, network: nn.Module) -> Mapping[str, Any]:
        """Return what else the card tells programs of the finished network, such as how far it looks."""
        return {}

    def use(self) -> str:
        """Return a sentence that says how the weights are used, for the end of the card."""
        return ""

    def too_much(self, device: str) -> str:
        """Return what to lower when a batch does not fit into the memory of a device."""
        return f"a batch does not fit into the memory of {device}; lower 'batch' or 'patch_px'"

    def better(self, score: str, new: float, old: float) -> bool:
        """Return whether a score is better than another one."""
        return new < old if score in self.smaller_is_better else new > old
