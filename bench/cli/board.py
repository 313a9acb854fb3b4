"""`ollama-bench board`: many people's runs on one page."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.output import echo
from bench.cli.pages import PAGE_FORMATS, open_option, open_page, own_template, tell_page


@click.command(short_help="Put many runs of many machines on one page.")
@click.argument("paths", nargs=-1, required=True, metavar="RUN_DIR|FOLDER...")
@click.option("--format", "format_name", type=click.Choice(PAGE_FORMATS), default="html")
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to. Default: board.html for html, else stdout.",
)
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
        echo(f"{output}\n")
        if open_report and format_name == "html":
            open_page(output)
