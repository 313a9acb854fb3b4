"""`ollama-bench board`: many people's runs on one page."""

from __future__ import annotations

import click

from bench.cli.pages import PageOptions, file_option, page_options


@click.command(short_help="Put many runs of many machines on one page.")
@click.argument("paths", nargs=-1, required=True, metavar="RUN_DIR|FOLDER...")
@page_options(file_option("Where to. Default: board.html for html, else stdout."), default="html")
def command(paths: tuple[str, ...], shown: PageOptions) -> None:
    """Put many runs of many machines, models and versions on one page.

    The runs may be anybody's: unpack what people send below one folder and name that. The page is
    one file: filter and sort in it, mail it. Nothing is uploaded anywhere.
    """
    from bench.commands.board import board

    shown.tell(lambda _: board(paths), "board.html")
