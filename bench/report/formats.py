"""The formats a report comes in: an open registry of renderers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bench.analysis.summary import Summary
from bench.errors import UsageError
from bench.results.directory import Run

Renderer = Callable[[Sequence[Run], Sequence[Summary]], str]
"""Runs with their summaries, in the same order -> the report as text."""


def _html(runs: Sequence[Run], summaries: Sequence[Summary]) -> str:
    from bench.report.html import html
    from bench.report.run_page import run_page

    return html(run_page(runs, summaries))


def _markdown(runs: Sequence[Run], summaries: Sequence[Summary]) -> str:
    from bench.report.markdown import markdown
    from bench.report.run_page import run_page

    return markdown(run_page(runs, summaries))


def _console(runs: Sequence[Run], summaries: Sequence[Summary]) -> str:
    from bench.report.console import console_text
    from bench.report.run_page import run_page

    return console_text(run_page(runs, summaries))


def _json(runs: Sequence[Run], summaries: Sequence[Summary]) -> str:
    import msgspec

    from bench.report.run_page import summary_json

    del runs
    return msgspec.json.format(summary_json(summaries), indent=2).decode() + "\n"


def _csv(runs: Sequence[Run], summaries: Sequence[Summary]) -> str:
    from bench.report.csv import csv_text

    del runs
    return csv_text(summaries)


RENDERERS: Final[dict[str, Renderer]] = {
    "html": _html,
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
    "console": _console,
}
"""Format name -> renderer. Other rooms add theirs with `register`."""


def register(name: str, renderer: Renderer) -> None:
    """Add a format, or replace one."""
    RENDERERS[name] = renderer


def render(runs: Sequence[Run], summaries: Sequence[Summary], format_name: str) -> str:
    """Render runs in a format.

    Raises:
        UsageError: there is no such format.
    """
    try:
        renderer = RENDERERS[format_name]
    except KeyError:
        known = ", ".join(RENDERERS)
        raise UsageError(f"there is no report format {format_name!r}", f"Known: {known}.") from None
    return renderer(runs, summaries)
