"""A virtual specimen, microscope and screen recorder with full truth, for CEMI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cemi_core.plugins.lazy import lazy_names

if TYPE_CHECKING:
    from cemi_virtual_sem.recording import write_recording
    from cemi_virtual_sem.session import Session, still_frames
    from cemi_virtual_sem.settings import session_settings
    from cemi_virtual_sem.specimens import make_specimen, open_specimen
    from cemi_virtual_sem.truth import truth_on_grid

__version__ = "0.2.0"
__all__ = [
    "Session",
    "make_specimen",
    "open_specimen",
    "session_settings",
    "still_frames",
    "truth_on_grid",
    "write_recording",
]
_HOMES = {
    "Session": "session",
    "make_specimen": "specimens",
    "open_specimen": "specimens",
    "session_settings": "settings",
    "still_frames": "session",
    "truth_on_grid": "truth",
    "write_recording": "recording",
}
__getattr__ = lazy_names(__name__, _HOMES)
