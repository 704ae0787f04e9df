"""Registers the built-in export formats."""

from __future__ import annotations

from collections.abc import Iterable

from cemi_core.plugins import ExporterPlugin, hookimpl

PLUGIN_API = 2


@hookimpl
def cemi_exporters() -> Iterable[ExporterPlugin]:
    """Yield the export formats that come with cemi-run."""
    yield ExporterPlugin(
        "ome-tiff",
        "One tiled, pyramidal BigTIFF with OME metadata, for QuPath, Fiji (Bio-Formats) and other viewers.",
        factory="cemi_run.export.ome_tiff:make",
        settings="cemi_run.export.ome_tiff:OmeTiffSettings",
        suffix=".ome.tif",
        channels="several",
    )
    yield ExporterPlugin(
        "ome-zarr",
        "An OME-Zarr 0.5 folder, for napari, web viewers and programs that read in parallel.",
        factory="cemi_run.export.ome_zarr:make",
        suffix=".ome.zarr",
        channels="several",
    )
    yield ExporterPlugin(
        "dzi",
        "Deep Zoom tiles for a web page (OpenSeadragon).",
        factory="cemi_run.export.deep_zoom:make",
        settings="cemi_run.export.deep_zoom:DeepZoomSettings",
        suffix=".dzi",
    )
    yield ExporterPlugin(
        "png",
        "One 8-bit picture with a scale bar, reduced until it fits.",
        factory="cemi_run.export.png:make",
        settings="cemi_run.export.png:PngSettings",
        suffix=".png",
        channels="colour",
    )
    yield ExporterPlugin(
        "csv",
        "A table with one line per object.",
        factory="cemi_run.export.objects:make_csv",
        suffix=".csv",
        takes="objects",
    )
    yield ExporterPlugin(
        "parquet",
        "A table of objects with their outlines, for pandas, R and databases; needs pyarrow.",
        factory="cemi_run.export.objects:make_parquet",
        suffix=".parquet",
        takes="objects",
    )
    yield ExporterPlugin(
        "geojson",
        "Objects as QuPath reads them: outlines, classes, measurements.",
        factory="cemi_run.export.objects:make_geojson",
        suffix=".geojson",
        takes="objects",
    )
    yield ExporterPlugin(
        "coco",
        "Objects as COCO (object detection): outlines, boxes, classes, scores.",
        factory="cemi_run.export.objects:make_coco",
        suffix=".coco.json",
        takes="objects",
    )
    yield ExporterPlugin(
        "ome-zarr-labels",
        "A layer as a label image (OME-Zarr 0.5) of a copy of the mosaic, for napari and other viewers.",
        factory="cemi_run.export.labels:make",
        suffix=".ome.zarr",
        takes="layer",
    )
