"""The page itself: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

import jinja2

import cemi_core
from cemi_core.report import sections
from cemi_core.report.data import PluginUse, ReportData, StepTime
from cemi_core.report.denoising_section import denoising
from cemi_core.report.quality_section import quality
from cemi_core.report.summary import doubts, facts
from cemi_core.store.atomic import atomic_path

__all__ = ["PluginUse", "ReportData", "StepTime", "render_report", "write_report"]


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("cemi_core.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_report(data: ReportData) -> str:
    """Return the report as HTML with everything inside it: no other file, no script, no address is needed to read it.

    Whatever is missing in ``data`` is left out. Every name, note and setting is escaped.
    """
    dropped, dropped_lists = sections.dropped_frames(data)
    measured = [sections.quantity(data, result) for result in data.results]
    return (
        _environment()
        .get_template("page.html")
        .render(
            data=data,
            version=cemi_core.__version__,
            facts=facts(data),
            doubts=doubts(data),
            picture=sections.picture(data.mosaic, data.layout, data.pixel_size_um) if data.mosaic is not None else None,
            placement=sections.placement(data, data.layout) if data.layout is not None and len(data.layout) else None,
            quality=quality(data.quality, data.layout, data.pixel_size_um) if data.quality is not None else None,
            denoising=[denoising(result) for result in data.denoising],
            quantities=measured,
            profiles=sections.profiles(data),
            related=sections.relations(data),
            dropped=dropped,
            dropped_lists=dropped_lists,
            tables=sections.what_was_run(data),
        )
    )


def write_report(path: Path, data: ReportData) -> None:
    """Write the report to ``path``; the file appears, or replaces an older one, only when it is complete.

    Raises
    ------
    StorageError
        The disk is full or the folder may not be written.
    """
    page = render_report(data)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
