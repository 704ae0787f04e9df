"""The page itself: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

import cemi_report
from cemi_core.files.atomic import atomic_path
from cemi_core.model.finished_run import FinishedRun, PluginUse, StepTime, map_file_names
from cemi_core.model.settings import Settings
from cemi_core.model.stages import Runtime
from cemi_core.renamed import old_name
from cemi_report import sections
from cemi_report.blocks import Plate
from cemi_report.cell_figures import shown_cells
from cemi_report.channels_section import channel_plates
from cemi_report.check_section import checks
from cemi_report.denoising_section import denoising
from cemi_report.images_section import images
from cemi_report.quality_section import quality
from cemi_report.relation_section import relations
from cemi_report.sheet_figures import sheet_figure
from cemi_report.summary import doubts, facts
from cemi_report.trust_section import trust

__all__ = ["FinishedRun", "HtmlReporter", "PluginUse", "StepTime", "render_report", "write_report"]


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("cemi_report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> jinja2.Template:
    """Return a template of this package; whatever is put into it is escaped."""
    return _environment().get_template(name)


@dataclass(frozen=True)
class Drawings:
    """Figures that stand in the page and in files of their own, drawn once for both.

    Attributes
    ----------
    sheet : mapping of str to bytes
        Picture, maps and profiles on one x axis, as PNG and PDF; empty without maps of a mosaic.
    cells : sequence of Plate
        A few cells with what was measured in them.
    """

    sheet: Mapping[str, bytes]
    cells: Sequence[Plate]


def drawings_of(data: FinishedRun) -> Drawings:
    """Return the figures of a run that stand in the page and in files of their own."""
    return Drawings(sheet_figure(data, ("png", "pdf")), shown_cells(data))


def render_report(data: FinishedRun, drawings: Drawings | None = None) -> str:
    """Return the report as HTML with everything inside it: no other file, no script, no address is needed to read it.

    Whatever is missing in ``data`` is left out. Every name, note and setting is escaped.
    """
    drawings = drawings or drawings_of(data)
    dropped, dropped_lists = sections.dropped_frames(data)
    measured = [sections.quantity(data, result) for result in data.results]
    return template("page.html").render(
        data=data,
        version=cemi_report.__version__,
        facts=facts(data),
        doubts=doubts(data),
        picture=sections.picture(data.mosaic, data.layout, data.pixel_size_um, data.separate)
        if data.mosaic is not None
        else None,
        channels=channel_plates(data.channels, data.main_channel, data.pixel_size_um),
        images=images(data),
        placement=sections.placement(data, data.layout)
        if data.layout is not None and len(data.layout) and not data.separate
        else None,
        quality=quality(data.quality, data.layout, data.pixel_size_um) if data.quality is not None else None,
        denoising=[denoising(result) for result in data.denoising],
        quantities=measured,
        cells=drawings.cells,
        sheet=sections.sheet(data, drawings.sheet["png"]) if drawings.sheet else None,
        profiles=sections.profiles(data),
        trust=trust(data),
        checks=checks(data),
        related=relations(data),
        dropped=dropped,
        dropped_lists=dropped_lists,
        tables=sections.what_was_run(data),
    )


def write_report(path: Path, data: FinishedRun, drawings: Drawings | None = None) -> None:
    """Write the report to ``path``; the file appears, or replaces an older one, only when it is complete.

    Raises
    ------
    StorageError
        The disk is full or the folder may not be written.
    """
    page = render_report(data, drawings)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class HtmlReporter:
    """The report as one page, ``report.html``, and a picture of each map beside its table in ``maps/``."""

    def write(self, run: FinishedRun, folder: Path) -> Sequence[Path]:
        """Write the page, the pictures of the maps and one figure of them all into the folder; return the page."""
        page = folder / "report.html"
        drawings = drawings_of(run)
        write_report(page, run, drawings)
        pictures: dict[str, bytes | None] = {"all-maps.pdf": drawings.sheet.get("pdf")}
        pictures |= {f"cell-{number}.png": cell.image for number, cell in enumerate(drawings.cells, start=1)}
        maps = [grid_map for result in run.results for grid_map in result.maps] if run.grid is not None else []
        for name, grid_map in zip(map_file_names(maps), maps, strict=True):
            pictures[f"{name}.png"] = sections.grid_figure(grid_map, run.grid, run.pixel_size_um)
        for name, picture in pictures.items():
            if picture is not None:
                with atomic_path(folder / "maps" / name) as temporary:
                    temporary.write_bytes(picture)
        return [page]


def make(settings: Settings, runtime: Runtime) -> HtmlReporter:
    """Return the reporter `html`."""
    return HtmlReporter()


def __getattr__(name: str) -> Any:
    return old_name(__name__, name)
