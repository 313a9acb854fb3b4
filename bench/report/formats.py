"""The formats that pages come in: one registry for every page."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from bench.errors import UsageError
from bench.report.page import Page

Renderer = Callable[[Page], str]


def late(module: str, name: str) -> Callable[..., str]:
    """A function of a module of this room that is imported when it is first used."""
    return lambda *of: str(getattr(import_module(f"bench.report.{module}"), name)(*of))


def _json(page: Page) -> str:
    import msgspec

    from bench.shown import json_text

    return json_text(msgspec.json.format(page.data, indent=2))


def _csv(page: Page) -> str:
    from bench.report.csv import cell_text, table_csv

    tables = (*page.brief, *page.provenance)
    return "\n".join(f"{cell_text(table.caption)}\n{table_csv(table)}" for table in tables)


RENDERERS: Final[dict[str, Renderer]] = {
    "console": late("console", "console_text"),
    "markdown": late("markdown", "markdown"),
    "html": late("html", "html"),
    "json": _json,
    "csv": _csv,
}
"""Format name -> renderer, for every page. Other rooms add theirs with `register`."""


def register(name: str, renderer: Renderer) -> None:
    """Add a format for every page, or replace one."""
    RENDERERS[name] = renderer


def render(page: Page, format_name: str, template: Path | None = None) -> str:
    """A page in a format: one of its own (`Page.forms`), else one that every page has.

    Raises:
        UsageError: there is no such format; a template of the folder is at fault.
    """
    if template is not None and format_name == "html":
        from bench.report.html import check_template, in_own_template

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
