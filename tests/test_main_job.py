"""Claims about the main job: the README's two commands on a virtual recording, with truth against result."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cemi_virtual_sem.verdict import judge_run

ROOT = Path(__file__).parent.parent


def _shell(command, folder):
    """Run one line of a document as a person would, with the program of this environment."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def main_job(tmp_path_factory):
    """A folder in which the two commands of the README have been run."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (commands,) = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    for command in commands.strip().splitlines():
        done = _shell(command, folder)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def verdict(main_job):
    return judge_run(main_job / "runs/ehea", main_job / "data/ehea")


def test_the_median_position_error_is_at_most_half_a_pixel(verdict):
    assert np.median(verdict.position_error_px) <= 0.5


def test_every_frame_is_joined_to_the_others(verdict):
    assert verdict.components == 1
    assert verdict.placed_by_prior == 0


@pytest.mark.parametrize("name", ["bcc_fraction", "lamella_spacing", "lamella_fraction"])
def test_each_map_correlates_with_the_truth_at_0_9_or_better(verdict, name):
    (found,) = [m for m in verdict.maps if m.name == name]
    assert found.r >= 0.9


def test_intervals_of_the_phase_fraction_hold_the_truth_in_most_cells(verdict):
    (found,) = [m for m in verdict.maps if m.name == "bcc_fraction"]
    assert found.covered >= 0.8


def test_the_report_stands_alone_and_names_what_was_dropped(main_job):
    page = (main_job / "runs/ehea/report.html").read_text()
    assert "coloured graphics" in page
    assert re.findall(r'src="data:', page)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_a_second_run_of_the_same_command_redoes_nothing(main_job):
    done = _shell("cemi recipe recipes/ehea.yaml --out runs/ehea", main_job)
    assert done.returncode == 0, done.stderr
    (kept, steps) = map(int, re.search(r"\((\d+) of (\d+) steps kept\)", done.stdout).groups())
    assert kept == steps > 5, done.stdout


def test_the_mosaic_exports_to_every_format(main_job, tmp_path):
    for name, file in (("ome-tiff", "m.ome.tif"), ("ome-zarr", "m.ome.zarr"), ("png", "m.png")):
        done = _shell(f"cemi export runs/ehea --to {name} --out {tmp_path / file} --quiet", main_job)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / file).exists()


def test_the_relation_of_the_run_can_be_asked_again(main_job):
    done = _shell("cemi relate runs/ehea data/ehea/hardness.csv --value hv", main_job)
    assert done.returncode == 0, done.stderr
    assert "bcc_fraction" in done.stdout
