"""Drawings fit a page: no style attributes, own ids, themable, small, the same every time."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from runs import CONCURRENCY, build

from bench.report.charts import run_charts
from bench.report.charts.drawing import inline_svg, save
from bench.report.charts.palette import CLASSES, SERIES
from bench.report.charts.svg import page_svg
from bench.report.model import build_report
from bench.report.page import Chart, Marks, Size

SOURCE = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
     width="100pt" height="50pt" viewBox="0 0 100 50" version="1.1">
 <metadata>gone</metadata>
 <defs><style type="text/css">*{stroke-linecap: butt}</style></defs>
 <g id="figure_1"><g id="marks">
  <defs><path id="m1" d="M 0 1.123456 L 2.987654 3"/></defs>
  <g clip-path="url(#p1)"><use xlink:href="#m1" x="1.111111" y="2"
    style="fill: #0b6aa8; stroke: #fbfaf7; stroke-width: 2"/>
   <use xlink:href="#m1" x="3" y="2" style="fill: #0b6aa8"/></g></g>
  <text style="font: 600 12px 'DejaVu Sans'; text-anchor: middle; fill: #1b1d22"
    transform="rotate(-0 1 2)">a &lt;b&gt;</text></g>
 <defs><clipPath id="p1"><rect x="0" y="0" width="1" height="1"/></clipPath></defs>
</svg>"""


def test_style_attributes_become_attributes_and_classes() -> None:
    svg = page_svg(SOURCE, "c1", "A <label>", Marks())
    root = ElementTree.fromstring(svg)
    assert "style" not in svg
    assert "metadata" not in svg
    assert root.get("aria-label") == "A <label>"
    use = root.findall(".//use")[0]
    assert use.get("class") == "f-s0 s-paper"
    assert use.get("fill") == "#0b6aa8"
    assert use.get("stroke-width") == "2"
    text = root.find(".//text")
    assert text is not None
    assert text.text == "a <b>"
    assert (text.get("font-size"), text.get("font-weight")) == ("12", "600")
    assert text.get("transform") is None


def test_ids_are_prefixed_where_used_and_dropped_where_not() -> None:
    svg = page_svg(SOURCE, "c1", "x", Marks())
    assert 'id="c1-m1"' in svg
    assert 'href="#c1-m1"' in svg
    assert "url(#c1-p1)" in svg
    assert "figure_1" not in svg


def test_coordinates_are_rounded_to_a_hundredth_of_a_pixel() -> None:
    svg = page_svg(SOURCE, "c1", "x", Marks())
    assert 'd="M 0 1.12 L 2.99 3"' in svg
    assert not re.search(r"\.\d{3,}", svg)


def test_points_get_their_values() -> None:
    svg = page_svg(SOURCE, "c1", "x", Marks({"marks": ["one", "<two>"]}, {"marks": "m:1b"}))
    root = ElementTree.fromstring(svg)
    titles = [t.text for t in root.findall(".//use/title")]
    assert titles == ["one", "<two>"]
    assert root.find(".//g[@data-model='m:1b']") is not None


@pytest.mark.parametrize("tips", [["one"], ["one", "two", "three"], []])
def test_a_value_too_many_or_too_few_is_an_error(tips: list[str]) -> None:
    with pytest.raises(ValueError, match="points are drawn"):
        page_svg(SOURCE, "c1", "x", Marks({"marks": tips}))


def test_every_colour_of_the_palette_has_its_own_name() -> None:
    assert len(set(CLASSES.values())) == len(CLASSES)
    assert len(set(SERIES)) == 8


def test_charts_are_drawn_only_in_colours_of_the_theme() -> None:
    run, summary = build(CONCURRENCY)
    report = build_report([run], [summary])
    for chart in run_charts(report):
        for svg in inline_svg(chart):
            colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', svg))
            assert colours <= set(CLASSES), chart.id
            # Text is text, so that it can be read, searched and copied.
            assert "<text" in svg


def test_text_of_a_drawing_is_never_taken_for_mathematics(tmp_path: object) -> None:
    def draw(figure: Figure, size: Size) -> Marks:
        figure.text(0.1, 0.1, r"$\frac{1}{2}$ <i>x</i> 模型 🦙")
        return Marks()

    chart = Chart("c", "Title", "Message", "Caption", None, draw)
    wide, _ = inline_svg(chart)
    assert r"$\frac{1}{2}$ &lt;i&gt;x&lt;/i&gt; 模型 🦙" in wide


def test_charts_as_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("charts")

    def draw(figure: Figure, size: Size) -> Marks:
        figure.add_axes((0.1, 0.2, 0.8, 0.6)).plot([1, 2], [3, 4])
        return Marks()

    chart = Chart("c", "Title", "Message", "Caption", None, draw, simulated=True)
    save(chart, folder / "c.svg")
    save(chart, folder / "c.png")
    text = (folder / "c.svg").read_text()
    assert "SIMULATED" in text
    assert "Title" in text
    assert (folder / "c.png").read_bytes().startswith(b"\x89PNG")
