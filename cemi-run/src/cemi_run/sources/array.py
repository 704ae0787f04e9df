"""The source `array`: frames from a NumPy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from cemi_core.errors import InputError
from cemi_core.model.array_source import ArraySource
from cemi_core.model.settings import PositiveLengthUm, Settings
from cemi_core.model.stages import Runtime


class ArraySettings(Settings):
    """Settings of the source `array`."""

    path: str = Field(
        description="NumPy file (.npy) with one stack of frames (n, h, w).", json_schema_extra={"format": "path"}
    )
    pixel_size: PositiveLengthUm | None = Field(default=None, description="Edge of a pixel, such as '222 nm'.")


def make(settings: ArraySettings, runtime: Runtime) -> ArraySource:
    """Make the source from a recipe; the stack is mapped into memory, not loaded.

    Raises
    ------
    InputError
        The file is missing or is not a stack of frames.
    """
    path = Path(settings.path)
    try:
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"'{path}' is not a NumPy file (.npy) or is damaged: {error}") from None
    if not isinstance(stack, np.ndarray) or stack.ndim != 3:
        raise InputError(f"'{path}' does not hold one stack of frames (n, h, w)")
    names = [f"{path.name}[{index}]" for index in range(len(stack))]
    return ArraySource(stack, pixel_size_um=settings.pixel_size, names=names)
