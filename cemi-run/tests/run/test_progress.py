"""Claims about what a log shows of long work."""

import logging

from cemi_run.engine import progress


def test_a_log_gets_a_line_every_ten_seconds_and_none_for_short_work(caplog, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO, "cemi")
    with progress.shown_progress() as show:
        for done in range(1, 101):
            now += 0.31
            show("matching", done, 100)
        show("short", 1, 1)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["matching: 34 of 100 (34 %)", "matching: 67 of 100 (67 %)"]


def test_quiet_shows_nothing(caplog):
    caplog.set_level(logging.INFO, "cemi")
    with progress.shown_progress(quiet=True) as show:
        show("matching", 1, 2)
    assert not caplog.records
