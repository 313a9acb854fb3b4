"""The formats that trends come in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.analysis.trend import Trend
from bench.report.comparison.trend_page import trend_json, trend_page
from bench.report.console import console_text
from bench.report.html import html
from bench.report.markdown import markdown


def render_trends(trends: Sequence[Trend], format_name: str) -> str:
    """Trends of one metric as text.

    Args:
        trends: at least one.
        format_name: console, markdown, json or html.
    """
    if format_name == "json":
        return msgspec.json.format(trend_json(trends), indent=2).decode() + "\n"
    renderer = {"markdown": markdown, "html": html, "console": console_text}[format_name]
    return renderer(trend_page(trends))
