"""How far to trust a run: a virtual specimen like it goes through the same recipe, with the truth known."""

from __future__ import annotations

__version__ = "0.2.0"
