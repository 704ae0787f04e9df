"""Weights of segmenters: a safetensors file that says which network it holds, which classes, and how sure it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cemi_core.errors import InputError, MissingDependencyError
from cemi_core.files.weights import find_weights_file
from cemi_core.model.classes import PALETTE, ClassLabel

if TYPE_CHECKING:  # torch is imported when work begins
    from cemi_learn.weights.stored_network import StoredNetwork

#: The word after ``cemi train``.
TASK = "segmenter"
#: Quantities by which an image is told to be unlike those that were trained on; see `cemi_analyze.segment.likeness`.
_NOTHING_KNOWN: Mapping[str, tuple[float, float]] = {}


@dataclass(frozen=True)
class ShareErrors:
    """How far shares of the area were off on fields that were set aside.

    Attributes
    ----------
    by : {"mask", "probability"}
        What a share is counted from: pixels of the mask, or the mean of the calibrated probability, whichever was
        nearer to the truth.
    noise_to : tuple of float
        Upper ends of the bins of relative noise (see `likeness.noise_ratio`); the last one holds all that is noisier.
    rms : tuple of tuple of float
        Root mean square of the error of the share in each bin, of each class.
    """

    by: str = "mask"
    noise_to: tuple[float, ...] = ()
    rms: tuple[tuple[float, ...], ...] = ()

    def half_width(self, noise: float, index: int) -> float:
        """Return the 95 % half-width of a share that is due to the network; 0 where nothing was measured."""
        if not self.rms:
            return 0.0
        row = next((n for n, end in enumerate(self.noise_to) if noise <= end), len(self.rms) - 1)
        return 1.96 * self.rms[min(row, len(self.rms) - 1)][index]


@dataclass(frozen=True)
class SegmenterCard:
    """What a file of weights says of its network beside the weights.

    Attributes
    ----------
    classes : tuple of ClassLabel
        The first is what no label names.
    temperature : float
        Logits are divided by it, so that a probability of 0.8 is right in 80 % of the pixels (Guo et al., ICML 2017).
    context_px : int
        How far around a pixel the network looks.
    errors : ShareErrors
    ranges : mapping of str to (float, float)
        Where 98 % of the fields that were set aside lay, by quantity.
    name : str
        Of the file.
    """

    classes: tuple[ClassLabel, ...]
    temperature: float = 1.0
    context_px: int = 96
    errors: ShareErrors = field(default_factory=ShareErrors)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(_NOTHING_KNOWN))
    name: str = ""


def require_learn() -> None:
    """Raise a `MissingDependencyError` of one sentence if the packages for networks are not installed."""
    try:
        import segmentation_models_pytorch  # noqa: F401

        import cemi_learn.weights.stored_network  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"segmenting by a network needs '{error.name}': pip install 'cemi-analyze[learn]', or choose "
            "method: coherency where there is one"
        ) from error


def shipped_segmenters() -> dict[str, Path]:
    """Return the weights that come with the package, by name; a card lies beside each."""
    folder = Path(str(files("cemi_analyze"))) / "shipped"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_segmenter(name: str, weights_dir: str | Path | None = None) -> Path:
    """Return the file of weights that a setting means: a path, a name in ``weights_dir``, or one that is shipped.

    Raises
    ------
    InputError
        There is no such file, or it is one of another kind.
    """
    return find_weights_file(name, shipped_segmenters(), weights_dir, "cemi train segmenter")


def card_in(path: str | Path) -> SegmenterCard:
    """Return what a file of weights says of itself, without its weights and without torch.

    Raises
    ------
    InputError
        It is damaged, or holds no segmenter.
    """
    import json
    import struct

    try:
        with Path(path).open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                raise ValueError("its header is longer than any")
            metadata = dict(json.loads(stream.read(length)).get("__metadata__", {}))
        task, card = metadata.get("task", ""), dict(json.loads(metadata.get("card", "{}")))
    except (OSError, ValueError, TypeError, struct.error) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy or download it again") from error
    if task != TASK:
        raise InputError(f"{path} was trained for '{task or 'nothing that it names'}', not by 'cemi train {TASK}'")
    return card_from(card, Path(path).stem)


def card_from(card: Mapping[str, Any], name: str = "") -> SegmenterCard:
    """Return a card from the plain data in a file of weights.

    Raises
    ------
    InputError
        It names no classes.
    """
    try:
        classes = tuple(
            ClassLabel(str(of["name"]), str(of["name"]), str(of.get("colour") or PALETTE[n % len(PALETTE)]))
            for n, of in enumerate(card["classes"])
        )
        told = dict(card.get("share_errors", {}))
        errors = ShareErrors(
            str(told.get("by", "mask")),
            tuple(float(end) for end in told.get("noise_to", ())),
            tuple(tuple(float(value) for value in row) for row in told.get("rms", ())),
        )
        ranges = {str(key): (float(low), float(high)) for key, (low, high) in dict(card.get("ranges", {})).items()}
        temperature, context = float(card.get("temperature", 1.0)), int(card.get("context_px", 96))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the weights '{name}' do not say what a segmenter must say ({error})") from error
    return SegmenterCard(classes, temperature, context, errors, ranges, name)


def named_classes(stored: StoredNetwork) -> Sequence[ClassLabel]:
    """Return the classes of a network that was read."""
    return card_from(stored.card, stored.path.stem).classes
