from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cemi_core.model.mosaic import Box
from cemi_core.model.specimen import Specimen
from cemi_core.testing import SpecimenTests
from cemi_specimens import make_specimen, write_specimen


class TestGaussianField(SpecimenTests):
    name = "gaussian-field"
    settings = {"extent_px": (300, 400)}


class TestVoronoi(SpecimenTests):
    name = "voronoi"
    settings = {"grain_um": 3.0}


class TestLaguerre(SpecimenTests):
    name = "laguerre"
    settings = {"grain_um": 3.0, "grains_per_period": 80}


class TestPotts(SpecimenTests):
    name = "potts"
    settings = {"grain_um": 2.5, "grains_across": 8}


class TestCahnHilliard(SpecimenTests):
    name = "cahn-hilliard"
    settings = {"spacings_across": 8}


class TestParticles(SpecimenTests):
    name = "particles"
    settings = {"aspect_ratio": 1.5, "overlap": 0.2, "particles_per_period": 40}


class TestWires(SpecimenTests):
    name = "wires"
    settings = {"wires_per_um2": 0.1}


class TestDendrites(SpecimenTests):
    name = "dendrites"
    settings = {"dendrite_um": 12.0, "fraction": 0.25}


class TestEutecticOfLamellae(SpecimenTests):
    name = "eutectic"
    settings = {"colony_um": 5.0}


class TestEutecticOfRods(SpecimenTests):
    name = "eutectic"
    settings = {"colony_um": 5.0, "fraction": 0.2}


class TestGraphene(SpecimenTests):
    name = "graphene"


class TestWsete(SpecimenTests):
    name = "wsete"


class TestHeaColumns(SpecimenTests):
    name = "hea-columns"
    settings = {"zone": "011"}


class TestGoldParticles(SpecimenTests):
    name = "gold-particles"


class TestDiffraction(SpecimenTests):
    name = "diffraction"
    box = Box(100, 130, 230, 260)


class TestFiles(SpecimenTests):
    seed_decides = False

    @pytest.fixture(autouse=True, scope="class")
    def folder(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("specimen") / "voronoi"
        write_specimen(folder, make_specimen("voronoi", grain_um=3.0), (400, 640), {})
        request.cls.path = folder

    path: Path

    def make(self, seed: int = 0) -> Specimen:
        settings: dict[str, Any] = {"path": str(self.path)}
        return make_specimen("files", seed=seed, **settings)
