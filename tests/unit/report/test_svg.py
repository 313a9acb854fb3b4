"""Drawings fit a page: no style attributes, own ids, themable, small, the same every time."""

import re
from xml.etree import ElementTree

import pytest
from runs import CONCURRENCY, build

from bench.report.charts import run_charts
from bench.report.charts.compact import short_path
from bench.report.charts.drawing import inline_svg, save
from bench.report.charts.palette import CLASSES, SERIES
from bench.report.charts.parts import Canvas
from bench.report.charts.svg import page_svg, values_of
from bench.report.model import build_report
from bench.report.page import Chart, Marks

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
    assert use.get("fill") is None  # the class says it, in the colours of the theme
    assert use.get("stroke-width") == "2"
    text = root.find(".//text")
    assert text is not None
    assert text.text == "a <b>"
    assert (text.get("font-size"), text.get("font-weight")) == ("12", "600")
    assert text.get("transform") is None


def test_ids_are_prefixed_where_used_and_dropped_where_not() -> None:
    svg = page_svg(SOURCE, "c1", "x", Marks())
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    assert set(re.findall(r'id="([^"]+)"', svg)) == used == {"c10", "c11"}
    assert "figure_1" not in svg


def test_coordinates_are_rounded_to_a_tenth_of_a_pixel() -> None:
    svg = page_svg(SOURCE, "c1", "x", Marks())
    assert 'd="M0 1.1l3 1.9"' in svg
    assert not re.search(r"\.\d{2,}", svg)


def drawn(data: str) -> list[tuple[str, list[float]]]:
    """Path data with absolute coordinates: a reader of our own, by the SVG specification."""
    at, begin, out = (0.0, 0.0), (0.0, 0.0), []
    for command, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", data):
        n = [float(x) for x in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", rest)]
        x, y = at if command.islower() else (0.0, 0.0)
        if command.lower() == "h":
            n, command = [x + n[0], at[1]], "L"
        elif command.lower() == "v":
            n, command = [at[0], y + n[0]], "L"
        else:
            n = [v + (x, y)[i % 2] for i, v in enumerate(n)]
        at = begin if command == "z" else (n[-2], n[-1])
        begin = at if command == "M" else begin
        out.append((command.upper(), n))
    return out


def test_short_paths_draw_the_same_and_errors_do_not_add_up() -> None:
    walk = [(i * 0.0731, 100 + (-1) ** i * i * 0.337) for i in range(300)]
    data = "M 3.04 -7.96 " + " ".join(f"L {x:.6f} {y:.6f}" for x, y in walk)
    data += " z C 1.26 2 -0.44 3 4.04 4 Q 5 5 6 6 L 6 9.5 L 0.5 9.5 M 1 1 L 1 1"
    short = short_path(data)
    assert len(short) < len(data) / 2
    first, second = drawn(data), drawn(short)
    assert [c for c, _ in first] == [c for c, _ in second]
    for (_, a), (_, b) in zip(first, second, strict=True):
        assert b == pytest.approx(a, abs=0.0501)
    assert short_path("M 0 0 A 1 1 0 0 1 5 5") == "M 0 0 A 1 1 0 0 1 5 5"


ALIKE = """<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt"><g id="figure_1">
 <g id="matplotlib.axis_1"><g id="xtick_1"><g id="line2d_1"><path d="M 1 0 L 1 9"
 style="fill: none; stroke: #e6e2da"/></g><g id="text_1"><text x="1" style="font-size: 9px">1</text>
 </g></g><g id="xtick_2"><g id="line2d_2"><path d="M 2 0 L 2 9" style="fill: none; stroke: #e6e2da"
 /></g><g id="text_2"><text x="2" style="font-size: 9px">2</text></g></g></g>
 <g id="bars"><path d="M 0 0 L 5 0" style="fill: #0b6aa8"/>
 <path d="M 0 1 L 5 1" style="fill: #0b6aa8"/></g>
 <path d="M 0 2 L 5 2" style="fill: #0b6aa8; opacity: 0.5"/>
 <path d="M 0 3 L 5 3" style="fill: #0b6aa8; opacity: 0.5"/></g></svg>"""


def test_what_is_alike_is_said_once_and_what_is_asked_for_stays_apart() -> None:
    svg = page_svg(ALIKE, "c1", "x", Marks({"bars": ["one", "two"]}))
    root = ElementTree.fromstring(svg)
    grid, *rest = root.findall("path")
    assert grid.get("d") == "M1 0v9M2 0v9"
    assert [t.text for t in root.findall("./g[@font-size='9']/text")] == ["1", "2"]
    points = root.findall(".//g[@class='f-s0']/path[@class='pt']")
    assert [p.get("d") for p in points] == ["M0 0h5", "M0 1h5"]
    # Two that shine through would be darker where they cross: they are not one path.
    shining = [p.get("d") for p in root.iter("path") if p.get("opacity")]
    assert shining == ["M0 2h5", "M0 3h5"]
    assert not rest


def test_a_second_drawing_names_the_values_of_the_first() -> None:
    first = page_svg(ALIKE, "c1", "x", Marks({"bars": ["one", "two"]}))
    said = values_of(first)
    assert said == ["one", "two"]
    second = page_svg(ALIKE, "c2", "x", Marks({"bars": ["two", "other"]}), said)
    points = [p for p in ElementTree.fromstring(second).iter("path") if p.get("class") == "pt"]
    assert [p.get("data-at") for p in points] == ["1", None]
    assert values_of(second) == ["other"]


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


@pytest.mark.slow
def test_charts_are_drawn_only_in_colours_of_the_theme() -> None:
    run, summary = build(CONCURRENCY)
    report = build_report([run], [summary])
    for chart in run_charts(report):
        for svg in inline_svg(chart):
            # Every colour is a class, which the style gives the colour of the theme.
            assert not re.search(r'(?:fill|stroke)="#', svg), chart.id
            assert set(
                re.findall(r"\b[fs]-[\w-]+", " ".join(re.findall(r'class="([^"]*)"', svg)))
            ) <= {f"{kind}-{name}" for kind in "fs" for name in CLASSES.values()}
            # Text is text, so that it can be read, searched and copied.
            assert "<text" in svg


def test_text_of_a_drawing_is_never_taken_for_mathematics(tmp_path: object) -> None:
    def draw(on: Canvas) -> None:
        on.figure.text(0.1, 0.1, r"$\frac{1}{2}$ <i>x</i> 模型 🦙")

    chart = Chart("c", "Title", "Message", "Caption", None, draw)
    wide, _ = inline_svg(chart)
    assert r"$\frac{1}{2}$ &lt;i&gt;x&lt;/i&gt; 模型 🦙" in wide


def test_charts_as_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("charts")

    def draw(on: Canvas) -> None:
        on.figure.add_axes((0.1, 0.2, 0.8, 0.6)).plot([1, 2], [3, 4])

    chart = Chart("c", "Title", "Message", "Caption", None, draw, simulated=True)
    save(chart, folder / "c.svg")
    save(chart, folder / "c.png")
    text = (folder / "c.svg").read_text()
    assert "SIMULATED" in text
    assert "Title" in text
    assert (folder / "c.png").read_bytes().startswith(b"\x89PNG")
