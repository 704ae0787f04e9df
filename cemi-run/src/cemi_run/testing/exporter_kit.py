"""Tests of an exporter: subclass `ExporterTests`, say how to make yours, and pytest runs the claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cemi_core.model.mosaic import Box
from cemi_core.testing.kits import Kit
from cemi_core.testing.samples import textured_image
from cemi_run.store.protocol import create_mosaic, open_mosaic
from cemi_run.store.pyramid import build_pyramid


class ExporterTests(Kit):
    """What core relies on in every exporter."""

    stage = "export"
    #: File name to export to.
    file_name = "mosaic.out"

    def test_writes_what_it_says_and_nothing_else(self, tmp_path: Path) -> None:
        picture = textured_image((700, 900))
        with create_mosaic(tmp_path / "m.h5", picture.shape, np.dtype(np.uint8), 0.1) as mosaic:
            mosaic.write(Box(0, 0, *picture.shape), picture)
            build_pyramid(mosaic)
        out = tmp_path / "out" / self.file_name
        out.parent.mkdir()
        with open_mosaic(tmp_path / "m.h5") as mosaic:
            self.make()(mosaic, out)
        assert out.exists()
        assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]
