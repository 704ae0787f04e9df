"""The page: complete, self-contained, safe, and whole whatever is missing."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cemi_core.model.frame import DroppedFrame, Frame
from cemi_core.model.grid import Grid
from cemi_core.model.layout import Layout, PairShift
from cemi_core.model.result import GridMap, Profile, PropertyTable, Relation, Result, Table
from cemi_report.page import FinishedRun, StepTime, render_report, write_report

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> $5 {{ 7*7 }}"
VOID = {"meta", "img", "br", "link"}


class Outline(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> set[str]:
        return {attributes["id"] or "" for _, attributes in self.tags if "id" in attributes}

    def images(self) -> list[str]:
        return [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]


@pytest.fixture(scope="module")
def full_page(make_report_data):
    return render_report(make_report_data())


def test_a_full_run_fills_every_section(full_page):
    page = Outline(full_page)
    assert page.ids() >= {"summary", "picture", "placement", "maps", "profiles", "relation", "dropped", "run"}
    assert len(page.images()) >= 12
    for heading in ("What to mistrust", "Details at full resolution", "Pairs rejected", "Frames left out", "Settings"):
        assert heading in page.text


def test_the_page_needs_no_other_file_no_script_and_no_address(full_page):
    page = Outline(full_page)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "video", "audio"}
    for source in page.images():
        assert re.match(r"data:image/(png|jpeg);base64,", source)
    for tag, attributes in page.tags:
        if tag == "a":
            assert attributes["href"].startswith("#") and attributes["href"][1:] in page.ids()
        assert not any(name.startswith("on") for name in attributes)
    style = full_page[full_page.index("<style>") : full_page.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_every_image_of_the_page_opens_and_has_a_text_for_those_who_cannot_see_it(full_page, tmp_path):
    for number, (tag, attributes) in enumerate(Outline(full_page).tags):
        if tag == "img":
            assert attributes["alt"]
            file = tmp_path / f"{number}.img"
            file.write_bytes(base64.b64decode(attributes["src"].split(",", 1)[1]))
            with Image.open(file) as image:
                image.load()
                assert 200 <= image.width <= 1700


def test_the_page_stays_below_five_megabytes(full_page):
    assert len(full_page.encode()) < 5e6


def test_the_summary_tells_size_frames_pairs_residual_and_means(full_page, make_report_data):
    data = make_report_data()
    text = re.sub(r"\s+", " ", Outline(full_page).text.replace("\u202f", " "))
    height, width = data.mosaic.shape
    assert f"{width:,} × {height:,} px = {width * 0.222e-3:.4g} mm × {height * 0.222:.4g} µm" in text
    assert "160 used" in text and "267 frames left out" in text
    assert "9 whole scans were not needed" in text  # a remark: no frame is counted for it
    kept = sum(pair.kept for pair in data.layout.pairs)
    assert f"{kept:,} kept" in text and f"{len(data.layout.pairs) - kept:,} rejected" in text
    assert "3 frames placed by the stage motion alone" in text
    assert "r = +0.71 (+0.24 to +0.91)" in text


def test_frames_left_out_are_counted_by_reason_and_folded(full_page):
    text = Outline(full_page).text
    assert "repeats the frame before" in text and "coloured marker on … % of it" in text
    assert "Repeats the frame before (first 200 of 260)" in text
    assert "pass01.mp4@19.90s" in text and "pass01.mp4@20.00s" not in text


def test_hostile_strings_are_shown_and_never_run(make_report_data):
    data = make_report_data(
        title=HOSTILE,
        dropped=[DroppedFrame(HOSTILE, HOSTILE)],
        settings_yaml=f"title: {HOSTILE}\n</pre></style>",
        versions={HOSTILE: HOSTILE},
        warnings=[HOSTILE],
        timings=[StepTime(HOSTILE, 1.0, HOSTILE)],
        mosaic=None,
    )
    layout = replace(data.layout, pairs=(data.layout.pairs[0].dropped(HOSTILE),), notes=(HOSTILE,))
    bad_map = replace(data.results[0].maps[0], label=HOSTILE, unit=HOSTILE)
    overlays = {HOSTILE: np.zeros((8, 8), np.uint8)}
    result = Result(HOSTILE, (bad_map,), (Table(HOSTILE, (HOSTILE,), ((HOSTILE,),)),), overlays, (HOSTILE,))
    profile = replace(data.profiles[0], name=HOSTILE, label=HOSTILE)
    relation = replace(data.relations[0], quantity=HOSTILE, property_name=HOSTILE, notes=(HOSTILE,))
    frames = [replace(frame, name=HOSTILE) for frame in data.frames]
    data = replace(
        data, layout=layout, results=[result], profiles=[profile], relations=[relation], frames=frames,
        property_table=replace(data.property_table, name=HOSTILE),
    )  # fmt: skip
    page = Outline(render_report(data))
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(source.startswith("data:image/") for source in page.images())
    assert page.text.count("<script>alert(1)</script>") > 12
    assert "49" not in re.findall(r"\$5 (\S+)", page.text)


@pytest.mark.parametrize(
    ("missing", "section"),
    [
        ({"mosaic": None}, "picture"),
        ({"layout": None}, "placement"),
        ({"results": ()}, "maps"),
        ({"profiles": ()}, "profiles"),
        ({"relations": ()}, "relation"),
        ({"dropped": ()}, "dropped"),
    ],
)
def test_what_is_missing_is_left_out_and_the_rest_stays(make_report_data, full_page, missing, section):
    few = make_report_data(rows=1, columns=2, cells=(2, 3))
    complete = Outline(full_page).ids()
    page = Outline(render_report(replace(few, **missing)))
    assert section in complete
    assert page.ids() == complete - {section}
    assert f"#{section}" not in {attributes.get("href") for _, attributes in page.tags}


def test_a_run_that_knows_nothing_still_gives_a_page():
    page = Outline(render_report(FinishedRun("empty")))
    assert page.ids() == {"summary"}
    assert "no results yet" in page.text


def test_an_unknown_pixel_size_gives_pixels_everywhere_and_says_so(make_report_data):
    data = make_report_data(rows=2, columns=3, cells=(3, 5))
    data.mosaic.pixel_size_um = None
    assert data.pixel_size_um is None
    text = Outline(render_report(replace(data, results=(), profiles=(), relations=()))).text
    assert "The pixel size is unknown: all lengths are in pixels." in text
    assert "µm" not in text and " mm" not in text and " px, y 0 to " in text


def one_frame(**changes) -> FinishedRun:
    layout = Layout(
        positions_px=np.zeros((1, 2)), shapes=np.array([[40, 60]]), component=np.zeros(1, int),
        residual_px=np.full(1, np.nan), gain=np.ones(1), offset=np.zeros(1), placed_by_prior=np.zeros(1, bool),
    )  # fmt: skip
    return FinishedRun(**{"title": "one", "frames": [Frame(0, "a.tif", (40, 60))], "layout": layout, **changes})


def test_one_frame_without_pairs_gives_a_page_without_a_false_alarm():
    text = Outline(render_report(one_frame())).text
    assert "1 used" in text and "0 kept" in text
    assert "What to mistrust" not in text


def test_no_kept_pair_is_said_at_the_top(make_report_data):
    data = make_report_data(rows=2, columns=3, cells=(3, 5))
    rejected = tuple(pair.dropped("no peak") for pair in data.layout.pairs)
    page = Outline(render_report(replace(data, layout=replace(data.layout, pairs=rejected))))
    assert "No pair of frames was kept" in page.text
    assert "How far the kept pairs disagree" not in page.text


def test_maps_profiles_and_relations_of_nothing_but_nan_give_words_instead_of_figures():
    nothing = np.full((2, 3), np.nan)
    empty = GridMap("a", "Phase A", "1", nothing, nothing, nothing)
    line = np.full(3, np.nan)
    profile = Profile("a", "Phase A", "1", np.arange(3.0), line, line, line, np.zeros(3, int))
    nan = float("nan")
    relation = Relation("a", "HV", nan, nan, nan, nan, 3, nan, np.arange(3.0), line, line)
    page = Outline(
        render_report(
            one_frame(
                grid=Grid(2, 3, (40, 60)),
                results=[Result("x", (empty,))],
                profiles=[profile],
                relations=[relation],
                property_table=PropertyTable("HV", np.arange(3.0), line),
                timings=[StepTime("measure", nan, "failed")],
            )
        )
    )
    assert "No cell could be measured: Phase A." in page.text
    assert "only 0 of 6 cells could be measured" in page.text
    assert "not defined" in page.text
    assert "profiles" not in page.ids()
    assert len(page.images()) == 1  # the layout


def test_maps_of_no_cells_at_all_do_not_stop_the_report():
    none = np.empty((0, 0))
    page = Outline(render_report(one_frame(results=[Result("x", (GridMap("a", "A", "um", none, none, none),))])))
    assert "No cell could be measured: A." in page.text


def test_twenty_thousand_pairs_fit_on_the_page(make_report_data):
    data = make_report_data(rows=2, columns=3, cells=(3, 5))
    rng = np.random.default_rng(1)
    pairs = tuple(
        PairShift(0, 1 + n % 5, (float(rng.normal()), 5.0), 0.1, kept=n % 2 == 0, reason="" if n % 2 == 0 else f"q {n}")
        for n in range(20_000)
    )
    page = render_report(replace(data, mosaic=None, layout=replace(data.layout, pairs=pairs)))
    assert "first 200 of 10,000" in page and "q …" in page
    assert len(page) < 3e6


def test_the_report_appears_complete_or_not_at_all(tmp_path: Path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, FinishedRun("first"))
    before = path.read_text("utf-8")

    def full_disk(self, *args, **kwargs):
        self.write_bytes(b"half a page")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(Exception, match="no space left"):
        write_report(path, FinishedRun("second"))
    assert path.read_text("utf-8") == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_file_name_that_is_no_valid_text_does_not_stop_the_report(tmp_path: Path):
    write_report(tmp_path / "report.html", one_frame(dropped=[DroppedFrame("bad\udcff.png", "empty file")]))
    assert "bad?.png" in (tmp_path / "report.html").read_text("utf-8")
