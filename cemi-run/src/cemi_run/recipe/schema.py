"""The shape of a recipe: which keys there are, before any plugin has looked at its own settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from cemi_core.model.settings import InputPath, PositiveLengthUm, Settings

#: The recipe format that this version reads.
RECIPE_VERSION = 1


class Use(Settings):
    """A plugin and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    use: str = Field(min_length=1, description="Name of the plugin; 'cemi plugins' lists them.")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="Settings of the plugin.")


class UseDenoiser(Use):
    """A denoiser, on the frames or on the finished mosaic."""

    on: Literal["frames", "mosaic"] = Field("frames", description="What is denoised: the frames, or the mosaic.")


class UseStitcher(Use):
    """A stitcher, and which channel of the frames it matches."""

    match_channel: str = Field(
        "", description="Channel that is matched and shown in the mosaic; by default the first, or colour's luminance."
    )


class UseAnalyzer(Use):
    """An analyzer, and which channel of the mosaic it measures."""

    channel: str = Field("", description="Channel that is measured; by default the one that was matched.")


class GridSpec(Settings):
    """The cells on which the mosaic is measured: rows and columns, or the edge of a square cell."""

    rows: int | None = Field(None, ge=1, description="Number of rows of cells.")
    columns: int | None = Field(None, ge=1, description="Number of columns of cells.")
    cell: PositiveLengthUm | None = Field(None, description="Edge of a cell, such as '50 um', instead of rows/columns.")


class RelateSpec(Use):
    """A table of a measured property along x, and the method that relates the profiles to it."""

    use: str = Field("pearson", min_length=1, description="Name of the relation method.")
    property: InputPath = Field(description="CSV table with a head line.")
    x: str = Field("x_um", description="Column with the place along x; its name ends in _nm, _um, _mm or _cm.")
    value: str = Field(description="Column with the property, for example 'hv'.")


class ReportSpec(Use):
    """What writes the report, and what it says of itself."""

    use: str = Field("html", min_length=1, description="Name of the report.")
    title: str = Field("", max_length=200, description="Title of the report.")


class Recipe(Settings):
    """A recipe: which plugin does each stage, and with which settings."""

    recipe: Literal[1] = Field(description="Version of the recipe format.")
    source: Use = Field(description="Where the frames come from.")
    denoise: list[UseDenoiser] = Field(default_factory=list, description="Denoisers, applied in order.")
    stitch: UseStitcher = Field(
        UseStitcher(use="kornia", match_channel=""), description="How frames are placed and joined."
    )
    grid: GridSpec | None = Field(None, description="Cells of the maps; by default about 500 px each.")
    analyze: list[UseAnalyzer] = Field(default_factory=list, description="What is measured on the mosaic.")
    relate: RelateSpec | None = Field(None, description="A measured property to relate the profiles to.")
    report: ReportSpec = Field(ReportSpec(use="html", title=""), description="The report.")


#: Keys of a recipe whose value picks a plugin, and the stage that it belongs to.
STAGE_OF_KEY = {
    "source": "source",
    "denoise": "denoise",
    "stitch": "stitch",
    "analyze": "analyze",
    "relate": "relate",
    "report": "report",
}
#: What `use` is where a recipe leaves it out.
USED_BY_DEFAULT = {"stitch": "kornia", "relate": "pearson", "report": "html"}
