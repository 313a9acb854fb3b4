"""Markdown, CSV, JSON and the terminal."""

import csv
import io
import json
import re

import pytest
from rich.console import Console
from runs import CHAT, CONCURRENCY, HARD, Workload, build

from bench.analysis.run.summary_json import to_json
from bench.errors import UsageError
from bench.report.console import print_page, print_summary
from bench.report.formats import RENDERERS, register, render
from bench.report.html import words as html_words
from bench.report.markdown import escape, words
from bench.report.run_page import run_page


def test_markdown_holds_answer_comparison_and_evidence() -> None:
    run, summary = build(CHAT)
    text = render(run_page([run], [summary]), "markdown")
    assert re.search(r"- \*\*llama3\.2:3b-instruct-q4\\_K\\_M writes [\d.]+ tok/s ± [\d.]+", text)
    assert "| Model | Requests | Decode speed (tok/s) |" in text
    assert "**Identity: results are comparable only where these agree**" in text
    for evidence in ("0.32.15", "Q4\\_K\\_M", "NVIDIA GeForce RTX 3060", "550.54", "8,192"):
        assert evidence in text


def test_markdown_rows_have_as_many_cells_as_heads() -> None:
    run, summary = build(HARD)
    for block in render(run_page([run], [summary]), "markdown").split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(widths) <= 1, block


def test_markdown_shows_hostile_text_as_it_is() -> None:
    run, summary = build(HARD)
    text = render(run_page([run], [summary]), "markdown")
    assert "<script>" not in re.sub(r"\\<script\\>", "", text)
    assert "<img" not in text.replace("\\<img", "")
    assert escape("@everyone # | *x*\n`y`") == "@\u200beveryone \\# \\| \\*x\\* \\`y\\`"


def test_commands_in_our_texts_are_code_and_all_else_is_text() -> None:
    assert words("See `a|b_c` for <b>") == "See `a|b_c` for \\<b\\>"
    assert words("an odd ` is text_") == "an odd \\` is text\\_"
    assert html_words("Run `x < y` & <b>") == "Run <code>x &lt; y</code> &amp; &lt;b&gt;"


@pytest.mark.slow
def test_csv_is_the_whole_summary_in_full_precision() -> None:
    run, summary = build(CONCURRENCY)
    rows = list(csv.DictReader(io.StringIO(render(run_page([run], [summary]), "csv"))))
    stable = (
        "run_id scenario simulated case model target axes metric unit n statistic value low high"
    )
    assert list(rows[0]) == [*stable.split(), "needs", "method"]
    expected = {
        (c.id, m.id, name): estimate
        for c in summary.cases
        for m in c.metrics.values()
        for name, estimate in m.stats.items()
    }
    assert len(rows) == len(expected)
    for row in rows:
        estimate = expected[row["case"], row["metric"], row["statistic"]]
        for column in ("value", "low", "high"):
            exact = getattr(estimate, column)
            assert row[column] == ("" if exact is None else str(exact))


def test_csv_cells_are_not_formulas() -> None:
    run, summary = build(Workload(name="=cmd|' /C calc'!A0"))
    rows = list(csv.DictReader(io.StringIO(render(run_page([run], [summary]), "csv"))))
    assert rows[0]["scenario"] == "'=cmd|' /C calc'!A0"


@pytest.mark.slow
def test_json_is_the_summary_and_a_list_of_several() -> None:
    run, summary = build(CHAT)
    one = json.loads(render(run_page([run], [summary]), "json"))
    assert one == json.loads(json.dumps(to_json(summary)))
    assert json.loads(render(run_page([run, run], [summary, summary]), "json")) == [one, one]


def printed(workload: Workload, width: int) -> list[str]:
    _, summary = build(workload)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_terminal_of_any_width_shows_whole_numbers(width: int) -> None:
    lines = printed(CONCURRENCY, width)
    assert max(map(len, lines)) <= width
    assert "…" not in "\n".join(lines)
    assert any("saturates at 4 users" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("workload", [CHAT, CONCURRENCY, HARD])
def test_terminal_tables_are_not_cut_off(workload: Workload, width: int) -> None:
    rows = [line.rstrip() for line in printed(workload, width) if line.startswith(tuple("┏┃┡│└"))]
    assert rows or width < 100
    assert all(row.endswith(tuple("┓┃┩│┘")) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_gets_every_number_as_a_list(width: int) -> None:
    run, summary = build(CONCURRENCY)
    page = run_page([run], [summary])
    out = io.StringIO()
    print_page(page, Console(file=out, width=width, color_system=None))
    flat = " ".join(out.getvalue().replace("\u00a0", " ").split())
    assert max(map(len, out.getvalue().splitlines())) <= width
    for table in page.brief:
        for row in table.rows:
            for column, cell in zip(table.columns[1:], row.cells[1:], strict=True):
                assert f"{column.head}: {cell.text.replace(chr(0xA0), ' ')}" in flat


def test_terminal_markup_in_names_is_text() -> None:
    evil = Workload(name="[red]x[/red] [link=http://x]y[/link]")
    assert any("[red]x[/red]" in line for line in printed(evil, 120))


def test_terminal_warns() -> None:
    lines = "\n".join(printed(HARD, 160))
    assert "warning: " in lines
    assert "[simulated]" in lines


@pytest.mark.slow
def test_formats_are_an_open_registry() -> None:
    run, summary = build(CHAT)
    with pytest.raises(UsageError, match="no format 'pdf'"):
        render(run_page([run], [summary]), "pdf")
    register("length", lambda page: page.data_name)
    try:
        assert render(run_page([run], [summary]), "length").endswith("-summary.json")
    finally:
        del RENDERERS["length"]


def numbers_in(text: str) -> set[str]:
    return set(re.findall(r"\d[\d.,]*", text.replace("\n", " ")))


def test_the_text_form_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    run, summary = build(CONCURRENCY)
    page = run_page([run], [summary])
    texts = {}
    for width in (40, 80, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        texts[width] = render(page, "console")
        lines = texts[width].splitlines()
        assert 0.8 * width < max(len(line) for line in lines) <= width
        assert all(line == line.rstrip() for line in lines)
    assert numbers_in(texts[40]) == numbers_in(texts[80]) == numbers_in(texts[160])


def test_the_text_form_is_120_wide_where_nothing_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    run, summary = build(CONCURRENCY)
    lines = render(run_page([run], [summary]), "console").splitlines()
    assert 100 < max(len(line) for line in lines) <= 120
