"""The formats that pages come in: one registry for every page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.errors import UsageError
from bench.report.page import Page

Renderer = Callable[[Page], str]


def _html(page: Page) -> str:
    from bench.report.html import html

    return html(page)


def _markdown(page: Page) -> str:
    from bench.report.markdown import markdown

    return markdown(page)


def _console(page: Page) -> str:
    from bench.report.console import console_text

    return console_text(page)


def _json(page: Page) -> str:
    import msgspec

    from bench.shown import json_text

    return json_text(msgspec.json.format(page.data, indent=2))


def _csv(page: Page) -> str:
    from bench.report.csv import table_csv

    tables = (*page.brief, *page.provenance)
    return "\n".join(f"{table.caption}\n{table_csv(table)}" for table in tables)


RENDERERS: Final[dict[str, Renderer]] = {
    "console": _console,
    "markdown": _markdown,
    "html": _html,
    "json": _json,
    "csv": _csv,
}
"""Format name -> renderer, for every page. Other rooms add theirs with `register`."""


def register(name: str, renderer: Renderer) -> None:
    """Add a format for every page, or replace one."""
    RENDERERS[name] = renderer


def render(page: Page, format_name: str, template: Path | None = None) -> str:
    """A page in a format: one of its own (`Page.forms`), else one that every page has.

    Args:
        page: what to tell.
        format_name: see `RENDERERS`.
        template: folder of the user's own templates and style, for HTML.

    Raises:
        UsageError: there is no such format; a template of the folder is at fault.
    """
    if template is not None and format_name == "html":
        from bench.report.own_template import check_template, in_own_template

        check_template(template)
        return in_own_template(page, template)
    if own := page.forms.get(format_name):
        return own()
    try:
        renderer = RENDERERS[format_name]
    except KeyError:
        known = ", ".join({**RENDERERS, **page.forms})
        raise UsageError(f"there is no format {format_name!r}", f"Known: {known}.") from None
    return renderer(page)
