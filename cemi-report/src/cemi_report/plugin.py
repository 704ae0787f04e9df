"""Registers the report; imports neither Matplotlib nor Jinja."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import ReportPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_reports() -> Iterable[ReportPlugin]:
    """Yield the reports of this package."""
    yield ReportPlugin(
        "html", "One page with pictures, maps, profiles and what to mistrust.", factory="cemi_report.page:make"
    )
    yield ReportPlugin(
        "count-sheet",
        "A page on which a person counts points in random cells, results hidden (see `cemi count`).",
        factory="cemi_report.count_sheet:make",
        settings="cemi_report.count_sheet:CountSettings",
    )
