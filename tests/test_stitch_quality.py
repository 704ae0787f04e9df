"""Claims about `cemi stitch --quality`."""

import csv
import json


def test_quality_is_written_as_json_with_a_score_and_its_meaning(cemi, tile_folder, tmp_path):
    folder, _, _ = tile_folder
    table = tmp_path / "q.json"
    answer = cemi("stitch", folder, "--out", tmp_path / "m.h5", "--quality", table, "--quiet")
    assert answer.code == 0, answer.err
    found = json.loads(table.read_text())
    assert found["stitcher"] == "kornia"
    assert found["score"] > 95
    assert "100 times the area" in found["notes"][0]
    assert found["summary"]["frames"] == 6
    assert found["weak_places"] == []
    assert sum(line["overlaps"] for line in found["residuals"]) == found["summary"]["overlaps_that_agree"]


def test_quality_may_not_overwrite_an_image(cemi, tile_folder, tmp_path):
    folder, _, _ = tile_folder
    answer = cemi("stitch", folder, "--out", tmp_path / "m.h5", "--quality", folder / "t0.tif", "--quiet")
    assert answer.code == 2
    assert "would be overwritten" in answer.err
    assert not (tmp_path / "m.h5").exists()


def test_a_whole_run_judges_its_stitching(cemi, tile_folder, tmp_path):
    folder, positions, _ = tile_folder
    with positions.open() as stream:
        assert next(csv.reader(stream)) == ["file", "y_px", "x_px"]
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"recipe: 1\nsource: {{use: images, with: {{path: '{folder}', positions: '{positions}'}}}}\n")
    answer = cemi("recipe", recipe, "--out", tmp_path / "run", "--quiet")
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "run" / "stitch-quality.json").read_text())["score"] > 95
    assert "Map of misfit of overlaps" in (tmp_path / "run" / "report.html").read_text()
