"""Every output, with every hostile string in every place: shown, and never obeyed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hostile import STRINGS, commands, controls, obeyed
from markdown_it import MarkdownIt
from runs import FakeModel, Workload, build

from bench.cli import doctor, models
from bench.cli.history import command as history_command
from bench.cli.output import say
from bench.cli.planned import plan_text
from bench.cli.progress import PlainView
from bench.cli.screen import Screen
from bench.doctor.checkup import Finding, Status
from bench.errors import BenchError, Problem, ScenarioError
from bench.report.console import Terminal
from bench.report.formats import render
from bench.report.run_page import run_page
from bench.results.history import History
from bench.results.history_entries import IndexedRun
from bench.results.run import RunWarning
from bench.shown import all_shown

EACH = pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS.keys())


def workload(*names: str) -> Workload:
    """A small run in which a text stands in every place that it can come to."""
    names = tuple(cleaned(name) for name in names)
    text = names[0]
    return Workload(
        name=text[:60],
        models=tuple(FakeModel(n, quantization=n, parameter_size=n) for n in names),
        requests=4,
        blocks=2,
        warmup=0,
        description=text,
        failures=0.4,
        error_text=text,
        version=text,
        warnings=(RunWarning("odd", f"{text} said `{text}`", text),),
        environment={"os": text, "cpu": {"model": text}, "gpus": [{"name": text, "driver": text}]},
    )


def cleaned(text: str) -> str:
    """A text as `run.json` can hold it: no half of a surrogate pair gets into a file."""
    return text.encode(errors="replace").decode()


@EACH
def test_forms_of_a_report(text: str) -> None:
    run, summary = build(workload(text))
    for form in ("console", "markdown", "csv"):
        assert obeyed(render(run_page([run], [summary]), form)) == [], form


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


@EACH
def test_an_error_is_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"ollama-bench: {BenchError(text, text)}")
    say(text)
    say(str(ScenarioError(text, [Problem(text, text, text)])))
    said = capsys.readouterr().err
    assert obeyed(said) == []
    assert len(said) >= len(text)


@EACH
def test_a_dry_run_and_the_live_views(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = build(workload(text))
    case = run.info.plan.cases[0]
    say(plan_text(run.info.plan), err=False)
    plain = PlainView()
    plain.run_started(run.info)
    plain.block_started(run.info.plan.blocks[0], case)
    plain.warned(RunWarning("odd", text, text))
    plain.block_ended(run.info.blocks[0])
    printed = capsys.readouterr()
    assert obeyed(printed.out + printed.err) == []
    plain.last_error = text
    out = io.StringIO()
    screen = Screen(plain, Terminal(file=out, width=100, height=30, color_system=None))
    screen.say(text)
    screen._console.print(screen.draw())
    assert obeyed(out.getvalue()) == []


@EACH
def test_doctor_models_and_history(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli.output import console

    doctor._print([Finding(text, Status.BAD, text, text)], None, console())
    row = {
        "model": text, "parameters": text, "quantization": text, "size_bytes": 1, "cloud": False,
        "context_limit": 1, "capabilities": [text], "loaded": True, "served_context": 1,
        "gpu_share": 0.5, "digest": text,
    }  # fmt: skip
    models._print([row])
    assert obeyed(capsys.readouterr().out) == []
    stored = cleaned(text)
    history = History(tmp_path / "history.sqlite")
    history.add(
        IndexedRun(
            stored, tmp_path / "gone", stored, stored, stored, True, False, stored, (stored,)
        )
    )
    for what in (["list"], ["list", "--json"], ["show", stored], ["tag", stored]):
        done = CliRunner().invoke(
            history_command, [*what, "--history", str(tmp_path / "history.sqlite")]
        )
        if done.exception is None:
            assert obeyed(done.output) == [], what


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
