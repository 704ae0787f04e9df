from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import Specimen
from cemi_core.testing import SpecimenTests
from cemi_specimens import make_specimen, write_specimen


class TestGaussianField(SpecimenTests):
    name = "gaussian-field"
    settings: ClassVar[dict[str, Any]] = {"extent_px": (300, 400)}


class TestVoronoi(SpecimenTests):
    name = "voronoi"
    settings: ClassVar[dict[str, Any]] = {"grain_um": 3.0}


class TestLaguerre(SpecimenTests):
    name = "laguerre"
    settings: ClassVar[dict[str, Any]] = {"grain_um": 3.0, "grains_per_period": 80}


class TestPotts(SpecimenTests):
    name = "potts"
    settings: ClassVar[dict[str, Any]] = {"grain_um": 2.5, "grains_across": 8}


class TestCahnHilliard(SpecimenTests):
    name = "cahn-hilliard"
    settings: ClassVar[dict[str, Any]] = {"spacings_across": 8}


class TestParticles(SpecimenTests):
    name = "particles"
    settings: ClassVar[dict[str, Any]] = {"aspect_ratio": 1.5, "overlap": 0.2, "particles_per_period": 40}


class TestWires(SpecimenTests):
    name = "wires"
    settings: ClassVar[dict[str, Any]] = {"wires_per_um2": 0.1}


class TestDendrites(SpecimenTests):
    name = "dendrites"
    settings: ClassVar[dict[str, Any]] = {"dendrite_um": 12.0, "fraction": 0.2}


class TestEutectic(SpecimenTests):
    name = "eutectic"
    settings: ClassVar[dict[str, Any]] = {"colony_um": 5.0}


class TestGraphene(SpecimenTests):
    name = "graphene"


class TestWsete(SpecimenTests):
    name = "wsete"


class TestHeaColumns(SpecimenTests):
    name = "hea-columns"
    settings: ClassVar[dict[str, Any]] = {"zone": "011"}


class TestGoldParticles(SpecimenTests):
    name = "gold-particles"


class TestDiffraction(SpecimenTests):
    name = "diffraction"
    box = Box(100, 130, 230, 260)


class TestFiles(SpecimenTests):
    seed_decides = False
    folder: ClassVar[Path]

    def make(self, seed: int = 0) -> Specimen:
        return make_specimen("files", seed=seed, path=str(self.folder))


@pytest.fixture(autouse=True, scope="module")
def _written_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    TestFiles.folder = tmp_path_factory.mktemp("specimen") / "voronoi"
    write_specimen(TestFiles.folder, make_specimen("voronoi", grain_um=3.0), (400, 640), {})
