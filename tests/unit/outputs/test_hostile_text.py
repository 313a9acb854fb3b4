"""Every output, with every hostile string in every place: shown, and never obeyed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hostile import STRINGS, commands, controls, obeyed
from hostile_outputs import cleaned, outputs_of, workload
from markdown_it import MarkdownIt
from runs import build

from bench.report.formats import render
from bench.report.run_page import run_page
from bench.shown import all_shown

EACH = pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS.keys())


@EACH
def test_no_output_obeys_it(text: str, tmp_path: Path) -> None:
    outputs = list(outputs_of(text, tmp_path))
    assert [name for name, said in outputs if obeyed(said)] == []
    assert all(len(said) >= len(text) for name, said in outputs if "error" in name)
    assert len(outputs) >= 12


@EACH
def test_json_holds_the_very_text_and_shows_none_of_it_raw(text: str) -> None:
    run, summary = build(workload(cleaned(text)))
    document = render(run_page([run], [summary]), "json")
    assert obeyed(document) == []
    assert json.loads(document)["cases"][0]["model"] == cleaned(text)


@EACH
def test_markdown_renders_as_text(text: str) -> None:
    run, summary = build(workload(text))
    page = run_page([run], [summary])
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(render(page, "markdown"))
    flat = [t for token in tokens for t in (token, *(token.children or ()))]
    assert not {t.type for t in flat} & {"link_open", "image", "s_open", "hr", "ordered_list_open"}
    html = [t.content.strip() for t in flat if t.type in ("html_block", "html_inline")]
    allowed = ("<details><summary>", "</details>", "<sub>", "</sub>")
    assert all(h.startswith(allowed) for h in html), html
    assert [t.tag for t in flat if t.type == "heading_open"] == ["h3"]


@EACH
def test_no_cell_of_csv_is_a_formula(text: str) -> None:
    run, summary = build(workload(text))
    rows = list(csv.reader(io.StringIO(render(run_page([run], [summary]), "csv"))))
    assert all(len(row) == 16 for row in rows)
    for cell in (cell for row in rows for cell in row):
        if not cell.lstrip("-").replace(".", "").replace("e-", "").isdigit():
            assert not cell.lstrip().startswith(("=", "+", "-", "@")), cell


BATCHES = [list(STRINGS.values())[n : n + 15] for n in range(0, len(STRINGS), 15)]


@pytest.mark.slow
@pytest.mark.parametrize("texts", BATCHES, ids=("first", "second", "third"))
def test_html_and_its_drawings_hold_all_of_them_as_text(texts: list[str]) -> None:
    """Pages with each string as a model, against pages with as many harmless names."""
    run, summary = build(workload(*(text[:200] for text in texts)))
    hostile = render(run_page([run], [summary]), "html")
    run, summary = build(workload(*(f"model-{n}" for n in range(len(texts)))))
    plain = render(run_page([run], [summary]), "html")
    assert controls(hostile) == []
    assert elements(hostile) == elements(plain)
    drawings = hostile.split("<svg")[1:]
    assert len(drawings) >= 6
    for drawing in drawings:
        ElementTree.fromstring("<svg" + drawing.partition("</svg>")[0] + "</svg>")


def elements(page: str) -> set[tuple[str, frozenset[str]]]:
    """Every kind of element of a page, with the names of its attributes."""
    from html.parser import HTMLParser

    found: set[tuple[str, frozenset[str]]] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("script", "img", "iframe", "style", "link", "a", "meta", "base"):
                found.add((tag, frozenset(name for name, _ in attrs)))

    Reader().feed(page)
    return found


def test_what_is_shown_is_stable_and_leaves_harmless_text_alone() -> None:
    for harmless in (
        "llama3.2:3b",
        "模型 é 🙂\u200d🔬",
        "fe80::1 ::1 std::vector",
        "a\tb\nc",
        "C:\\x",
    ):
        assert all_shown(harmless) == harmless
    for text in STRINGS.values():
        assert all_shown(all_shown(text)) == all_shown(text)


def test_the_checks_themselves_see_what_is_hostile() -> None:
    assert sum(bool(obeyed(text)) for text in STRINGS.values()) >= 28
    assert list(commands("  ::error::x\nfine")) == ["  ::error::x"]
