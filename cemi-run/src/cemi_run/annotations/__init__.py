"""Annotations that people drew in other programs: read, check, convert, rasterize.

>>> from cemi_run.annotations import read_annotations, write_annotations
>>> annotations = read_annotations("labelme/", images="images/")  # doctest: +SKIP
>>> write_annotations(annotations, "coco.json", "coco")  # doctest: +SKIP
"""

from cemi_run.annotations.formats import FORMATS
from cemi_run.annotations.objects import objects_of
from cemi_run.annotations.outlines import outlines, shapes_of, shapes_of_mask
from cemi_run.annotations.raster import rasterize
from cemi_run.annotations.read import read_annotations
from cemi_run.annotations.write import write_annotations

__all__ = [
    "FORMATS",
    "objects_of",
    "outlines",
    "rasterize",
    "read_annotations",
    "shapes_of",
    "shapes_of_mask",
    "write_annotations",
]
