"""A tiny recording, made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from cemi_virtual_sem import Session, session_settings, write_recording


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording") / "tiny"
    write_recording(folder, "ehea", session_settings("ehea", "tiny", ["recorder.marker_share=0.2"]), seed=4)
    return folder


@pytest.fixture(scope="session")
def tiny_session() -> Session:
    """The session that `tiny_video` recorded."""
    return Session("ehea", session_settings("ehea", "tiny", ["recorder.marker_share=0.2"]), seed=4)
