"""`ollama-bench board`: many people's runs on one page."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.pages import (
    PAGE_FORMATS,
    file_option,
    format_option,
    open_option,
    own_template,
    tell_file,
    tell_page,
)


@click.command(short_help="Put many runs of many machines on one page.")
@click.argument("paths", nargs=-1, required=True, metavar="RUN_DIR|FOLDER...")
@format_option(PAGE_FORMATS, "html")
@file_option("Where to. Default: board.html for html, else stdout.")
@own_template
@open_option
def command(
    paths: tuple[str, ...],
    format_name: str,
    output: Path | None,
    template: Path | None,
    open_report: bool,
) -> None:
    """Put many runs of many machines, models and versions on one page.

    The runs may be anybody's: unpack what people send below one folder and name that. The page is
    one file: filter and sort in it, mail it. Nothing is uploaded anywhere.
    """
    from bench.commands.board import board

    page = board(paths)
    if format_name == "html" and output is None:
        output = Path("board.html")
    tell_page(page, format_name, output, template=template)
    if output is not None:
        tell_file(output, format_name, open_report)
