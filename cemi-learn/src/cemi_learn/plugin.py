"""Registers the encoders; imports neither torch nor any of them."""

from __future__ import annotations
