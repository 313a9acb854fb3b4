"""The formats that comparisons come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bench.analysis.comparison import Comparison
from bench.errors import UsageError
from bench.report.comparison.printable import printable
from bench.report.page import Chart

Renderer = Callable[[Sequence[Comparison], Sequence[Chart]], str]
"""Comparisons with one baseline, charts of the requests behind them -> text."""


def _html(comparisons: Sequence[Comparison], distributions: Sequence[Chart]) -> str:
    from bench.report.comparison.page import comparison_page
    from bench.report.html import html

    return html(comparison_page(comparisons, distributions))


def _markdown(comparisons: Sequence[Comparison], distributions: Sequence[Chart]) -> str:
    from bench.report.comparison.page import comparison_page
    from bench.report.markdown import markdown

    del distributions
    return markdown(comparison_page(comparisons, charts=False))


def _console(comparisons: Sequence[Comparison], distributions: Sequence[Chart]) -> str:
    from bench.report.comparison.page import comparison_page
    from bench.report.console import console_text

    del distributions
    return console_text(comparison_page(comparisons, charts=False))


def _json(comparisons: Sequence[Comparison], distributions: Sequence[Chart]) -> str:
    import msgspec

    from bench.report.comparison.json_form import comparison_json

    del distributions
    return msgspec.json.format(comparison_json(comparisons), indent=2).decode() + "\n"


def _junit(comparisons: Sequence[Comparison], distributions: Sequence[Chart]) -> str:
    from bench.report.comparison.junit import junit

    del distributions
    return junit(comparisons)


def _github(comparisons: Sequence[Comparison], distributions: Sequence[Chart]) -> str:
    from bench.report.comparison.annotations import github_annotations

    del distributions
    return github_annotations(comparisons)


COMPARISON_RENDERERS: Final[dict[str, Renderer]] = {
    "console": _console,
    "markdown": _markdown,
    "json": _json,
    "html": _html,
    "junit": _junit,
    "github": _github,
}
"""Format name -> renderer. `benchstat` is a format of runs, not of comparisons."""


def render_comparisons(
    comparisons: Sequence[Comparison], format_name: str, distributions: Sequence[Chart] = ()
) -> str:
    """Render comparisons in a format.

    Raises:
        UsageError: there is no such format.
    """
    try:
        renderer = COMPARISON_RENDERERS[format_name]
    except KeyError:
        known = ", ".join(COMPARISON_RENDERERS)
        raise UsageError(f"there is no format {format_name!r}", f"Known: {known}.") from None
    return renderer([printable(c) for c in comparisons], distributions)
