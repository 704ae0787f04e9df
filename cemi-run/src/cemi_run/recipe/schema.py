"""The shape of a recipe: which keys there are, before any plugin has looked at its own settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from cemi_core.model.settings import InputPath, PositiveLengthUm, Settings


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


def _kind_of_grid(value: Any) -> str:
    return "[frames]" if isinstance(value, str) else "[cells]"  # brackets: no part of the place that a message names


#: Cells over the mosaic, or the word for one cell of each image.
GridChoice = Annotated[
    Annotated[GridSpec, Tag("[cells]")] | Annotated[Literal["frames"], Tag("[frames]")], Discriminator(_kind_of_grid)
]


class RelateSpec(Use):
    """What the measured quantities are related to, and by which method.

    A table of a measured property along x, or a condition of images that stand alone.
    """

    use: str = Field("pearson", min_length=1, description="Name of the relation method.")
    property: InputPath | None = Field(
        None,
        description="CSV table with a head line; a column footprint_um (or _nm, _mm) holds the diameter that each "
        "value averages over.",
    )
    x: str = Field("x_um", description="Column with the place along x; its name ends in _nm, _um, _mm or _cm.")
    y: str | None = Field(
        None,
        min_length=1,
        description="Column with the place across, down from the top of the mosaic, with its unit as in x; without it "
        "the property is compared with the profile along x.",
    )
    value: str | None = Field(None, description="Column with the property, for example 'hv'.")
    condition: str | None = Field(
        None,
        min_length=1,
        description="Condition of images that stand alone, instead of a property: a column of their table of "
        "conditions, or number, time_s, page, folder.",
    )

    @model_validator(mode="after")
    def _property_or_condition(self) -> RelateSpec:
        if self.condition is None:
            missing = [f"'{name}'" for name in ("property", "value") if getattr(self, name) is None]
            if missing:
                are = "is" if len(missing) == 1 else "are"
                raise ValueError(
                    f"{' and '.join(missing)} {are} missing: give 'property' and 'value' (a table along x), or "
                    "'condition' (of images that stand alone)"
                )
        elif along_x := [f"'{name}'" for name in ("property", "x", "y", "value") if name in self.model_fields_set]:
            raise ValueError(
                f"a condition of images that stand alone and a property along x exclude each other; leave out "
                f"'condition', or {', '.join(along_x)}"
            )
        return self


class ReportSpec(Use):
    """What writes the report, and what it says of itself."""

    use: str = Field("html", min_length=1, description="Name of the report.")
    title: str = Field("", max_length=200, description="Title of the report.")


class UncertaintySpec(Settings):
    """What is known from elsewhere of how sure the measurements are."""

    pixel_size: float = Field(
        ge=0,
        le=0.5,
        description="Standard uncertainty of the pixel size as a share of it, from the calibration of the microscope: "
        "0.01 is 1 %.",
    )


class Recipe(Settings):
    """A recipe: which plugin does each stage, and with which settings."""

    recipe: Literal[1] = Field(description="Version of the recipe format.")
    source: Use = Field(description="Where the frames come from.")
    denoise: list[UseDenoiser] = Field(default_factory=list, description="Denoisers, applied in order.")
    stitch: UseStitcher = Field(
        UseStitcher(use="kornia", match_channel=""), description="How frames are placed and joined."
    )
    grid: GridChoice | None = Field(
        None,
        description="Cells of the maps; by default about 500 px each. 'frames' makes one cell of each image, which is "
        "the default of images that stand alone.",
    )
    analyze: list[UseAnalyzer] = Field(default_factory=list, description="What is measured on the mosaic.")
    relate: RelateSpec | None = Field(None, description="A measured property or a condition to relate the results to.")
    uncertainty: UncertaintySpec | None = Field(
        None, description="How sure the pixel size is, for the uncertainty of lengths and areas."
    )
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
