"""Where a network works: the device, whether it is there, and whether its memory is full."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cemi_core.errors import UsageError


@dataclass(frozen=True)
class Machine:
    """Where a training runs.

    Attributes
    ----------
    device : str
        A torch device name.
    weights_dir : str or None
        Folder with weights that settings name.
    """

    device: str = "cpu"
    weights_dir: str | None = None


def require_device(device: str) -> None:
    """Raise a `UsageError` of one sentence if torch has no such device here."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used here ({reason}); use --device cpu") from None


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of torch or NumPy says that there is no memory left, on the device or on the CPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
