"""The report on a terminal."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.run.summary import Summary
from bench.report.page import Answer, Notice, Page
from bench.report.run_page import run_page
from bench.report.tables import Cell, Column, Table
from bench.report.units import NO_VALUE
from bench.results.directory import Run
from bench.results.run import ClockInfo, RunInfo, RunStatus
from bench.scenario.plan import Plan
from bench.shown import shown

_TONES = {"neutral": "", "good": "green", "bad": "red", "caution": "yellow"}
_WIDTH_OF_FILES = 120
_LEAST_WIDTH = 20
_WIDE = 100  # below this, a table that does not fit is a list
_LEAST_WORDS = 16  # below this, a column of words is hard to read


class Terminal(Console):
    """A console on which no text is markup, and none is obeyed by the terminal (`bench.shown`)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is drawn of something, with all its text fit to be shown."""
        for segment in super().render(renderable, options):
            if segment.control or (text := shown(segment.text)) == segment.text:
                yield segment
            else:
                yield Segment(text, segment.style)


def print_summary(summary: Summary, console: Console) -> None:
    """Print what a finished run has to say: answers, warnings, the comparison."""
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
        if table.note:
            console.print(Text(table.note, style="dim"))


def console_text(page: Page) -> str:
    """The short form of a page as plain text, as wide as the terminal or `COLUMNS` says."""
    width = max(_LEAST_WIDTH, shutil.get_terminal_size((_WIDTH_OF_FILES, 0)).columns)
    console = Terminal(file=io.StringIO(), width=width, color_system=None)
    print_page(page, console)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def _head(page: Page) -> Text:
    head = Text(page.title, style="bold")
    for badge in page.badges:
        head.append(f"  [{badge.text}]", style=_TONES[badge.tone])
    return head


def _answer(answer: Answer) -> RenderableType:
    first, *more = answer.texts
    indented = (Padding.indent(Text(s, style="dim"), 2) for s in more)
    return Group(Text(first, style=_TONES[answer.tone]), *indented)


def _notice(notice: Notice) -> RenderableType:
    word = "invalid" if notice.invalidates else "warning"
    text = Text(f"{word}: ", style="bold red" if notice.invalidates else "bold yellow")
    text.append(notice.text, style="default")
    if notice.advice:
        text.append(f". {notice.advice}", style="dim")
    return text


def _fitting(table: Table, console: Console) -> RenderableType:
    """The table; what the terminal does not hold follows in further tables, or all is a list."""
    parts = _parts([_least_width(table, i) for i in range(len(table.columns))], console.width)
    if len(parts) > 1 and console.width < _WIDE:
        return _listed(table)
    drawn: list[RenderableType] = []
    for number, part in enumerate(parts):
        some = replace(table.of_columns(part), caption="" if number else table.caption)
        least = [_least_width(some, i) for i in range(len(part))]
        wanted = [_wanted_width(some, i) for i in range(len(part))]
        drawn.append(_rich(some, _widths(least, wanted, console.width)))
    return Group(*drawn)


def _parts(least: Sequence[int], width: int) -> list[list[int]]:
    """Columns side by side, as many as there is room for; each part begins with the first one."""
    parts = [[0]]
    for i in range(1, len(least)):
        part = [*parts[-1], i]
        if len(part) > 2 and _with_rules([least[k] for k in part]) > width:
            parts.append([0, i])
        else:
            parts[-1] = part
    return parts


def _listed(table: Table) -> RenderableType:
    """Each row under its first cell: a line for each cell that holds something."""
    lines: list[RenderableType] = [Text(table.caption, style="bold")]
    for row in table.rows:
        head, *others = zip(table.columns, row.cells, strict=True)
        axis = head[0].head.islower() or head[1].text[:1].isdigit()  # "2" alone says little
        named = Text(f"{head[0].head}: " if axis else "")
        lines.append(named.append(_unbroken(head[1], head[0])))
        for column, cell in others:
            if cell.text and cell.text != NO_VALUE:
                said = Text(f"{column.head}: ", style="dim").append(_unbroken(cell, column))
                lines.append(Padding.indent(said, 2))
    return Group(*lines)


def _with_rules(widths: Sequence[int]) -> int:
    """Width of a table: two for padding and one to rule for each column, and the last rule."""
    return 1 + sum(3 + width for width in widths)


def _widths(least: list[int], wanted: list[int], available: int) -> list[int]:
    """Each column's least width, and what is left for those that want more, from the left."""
    left, widths = available - _with_rules(least), []
    for low, high in zip(least, wanted, strict=True):
        widths.append(low + max(0, min(left, high - low)))
        left -= widths[-1] - low
    return widths


def _least_width(table: Table, i: int) -> int:
    """What a column needs: numbers and the words of the head whole, texts wrapped."""
    column = table.columns[i]
    head = max((cell_len(word) for word in column.head.split()), default=0)
    longest = _longest(table, i)
    return max(head, longest if column.numeric else min(longest, _LEAST_WORDS))


def _wanted_width(table: Table, i: int) -> int:
    """What a column looks well with: texts in one line, the heads of numbers in about two."""
    head = cell_len(table.columns[i].head)
    head = head // 2 + 2 if table.columns[i].numeric else head
    return max(head, _longest(table, i), _least_width(table, i))


def _longest(table: Table, i: int) -> int:
    return max((cell_len(row.cells[i].text) for row in table.rows), default=0)


def _rich(table: Table, widths: Sequence[int]) -> RichTable:
    drawn = RichTable(title=table.caption or None, title_justify="left", title_style="bold")
    for column, width in zip(table.columns, widths, strict=True):
        justify: JustifyMethod = "right" if column.numeric else "left"
        drawn.add_column(Text(column.head), justify=justify, overflow="fold", width=width)
    for row in table.rows:
        drawn.add_row(*map(_unbroken, row.cells, table.columns))
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
