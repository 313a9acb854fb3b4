"""The report on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.summary import Summary
from bench.report.page import Answer, Notice, Page
from bench.report.run_page import run_page
from bench.report.tables import Cell, Column, Table
from bench.results.directory import Run
from bench.results.run import ClockInfo, RunInfo, RunStatus
from bench.scenario.plan import Plan

_TONES = {"neutral": "", "good": "green", "bad": "red", "caution": "yellow"}
_WIDTH_OF_FILES = 120
_LEAST_WORDS = 16  # below this, a column of words is not worth showing


def print_summary(summary: Summary, console: Console) -> None:
    """Print what a finished run has to say: answers, warnings, the comparison.

    Args:
        summary: of the run.
        console: where to.
    """
    print_page(run_page([_run_of(summary)], [summary]), console)


def print_page(page: Page, console: Console) -> None:
    """Print the short form of a page."""
    console.print(_head(page))
    for answer in (*page.findings, *page.answers):
        console.print(_answer(answer))
    for notice in page.warnings:
        console.print(_notice(notice))
    for table in page.brief:
        console.print()
        console.print(_fitting(table, console))


def console_text(page: Page) -> str:
    """The short form of a page as plain text."""
    console = Console(file=io.StringIO(), width=_WIDTH_OF_FILES, color_system=None)
    print_page(page, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _head(page: Page) -> Text:
    head = Text(page.title, style="bold")
    for badge in page.badges:
        head.append(f"  [{badge.text}]", style=_TONES[badge.tone])
    return head


def _answer(answer: Answer) -> RenderableType:
    first, *more = answer.texts
    lines: list[RenderableType] = [Text(first, style=_TONES[answer.tone])]
    lines += [Padding(Text(s, style="dim"), (0, 0, 0, 2)) for s in more]
    return Group(*lines)


def _notice(notice: Notice) -> RenderableType:
    word = "invalid" if notice.invalidates else "warning"
    text = Text(f"{word}: ", style="bold red" if notice.invalidates else "bold yellow")
    text.append(". ".join(notice.texts), style="default")
    if notice.advice:
        text.append(f". {notice.advice}", style="dim")
    return text


def _fitting(table: Table, console: Console) -> RenderableType:
    """The table with as many columns as the terminal holds; says how many are left out."""
    kept = len(table.columns)
    while kept > 2 and _least_width(table, kept) > console.width:
        kept -= 1
    drawn = _rich(table, kept)
    left_out = len(table.columns) - kept
    if not left_out:
        return drawn
    return Group(drawn, Text(f"{left_out} more columns do not fit here: see the report", "dim"))


def _least_width(table: Table, kept: int) -> int:
    """What so many columns need: numbers whole, words wrapped, two for padding and one to rule."""
    total = 1
    for i, column in enumerate(table.columns[:kept]):
        texts = [row.cells[i].text for row in table.rows]
        longest = max((cell_len(t) for t in texts), default=0)
        head = max((cell_len(word) for word in column.head.split()), default=0)
        total += 3 + max(head, longest if column.numeric else min(longest, _LEAST_WORDS))
    return total


def _rich(table: Table, kept: int) -> RichTable:
    drawn = RichTable(title=table.caption, title_justify="left", title_style="bold")
    for column in table.columns[:kept]:
        drawn.add_column(
            Text(column.head),
            justify="right" if column.numeric else "left",
            overflow="fold",
            min_width=0 if column.numeric else _LEAST_WORDS,
        )
    for row in table.rows:
        drawn.add_row(*map(_unbroken, row.cells[:kept], table.columns))
    return drawn


def _unbroken(cell: Cell, column: Column) -> Text:
    return Text(cell.text.replace(" ", "\u00a0") if column.numeric else cell.text)


def _run_of(summary: Summary) -> Run:
    """As much of the run as its summary knows: enough for the short form."""
    plan = Plan(summary.name, "", (), "", summary.scenario, (), (), (), seed=0, salt=0)
    known = {s.value for s in RunStatus}
    status = RunStatus(summary.status) if summary.status in known else RunStatus.COMPLETE
    clock = ClockInfo(0, summary.created_at)
    info = RunInfo(summary.run_id, status, summary.tool_version, summary.created_at, clock, plan)
    return Run(Path(), info, [])
