"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with a label, how much is done, and how much there is (0 if unknown).
Progress = Callable[[str, int, int], None]


def silent(label: str, done: int, total: int) -> None:
    """Show nothing."""
