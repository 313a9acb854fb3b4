"""`ollama-bench report`: render run directories again, in any format."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.output import echo
from bench.cli.pages import (
    PATH,
    RUN_FORMATS,
    HistoryOptions,
    PageOptions,
    also_write,
    file_option,
    history_options,
    page_options,
    write_also,
)


@click.command(short_help="Render run directories again, in any format.")
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@page_options(
    file_option(
        "Where to; - is stdout. For html, the default is report.html in the run directory "
        "(several: in this folder); for the others, stdout."
    ),
    formats=RUN_FORMATS,
    default="html",
)
@click.option(
    "--charts",
    type=PATH,
    metavar="DIR",
    help="Also write every chart as a PNG and an SVG file into DIR.",
)
@also_write(RUN_FORMATS)
@history_options
def command(
    names: tuple[str, ...],
    shown: PageOptions,
    charts: Path | None,
    also: list[tuple[str, Path]],
    history: HistoryOptions,
) -> None:
    """Render one or several runs as one report.

    RUN is a run directory, a directory made by `ollama-bench fidelity`, or a run of the history by
    id, part of it, or tag.
    """
    from bench.commands.stored_runs import resolve
    from bench.report.write import write_reports

    named = any(not Path(name).exists() for name in names)
    opened = history.open() if named else None
    run_dirs = [resolve(name, opened) for name in names]
    text, path = write_reports(run_dirs, shown.format_name, shown.file, shown.template, charts)
    write_also(run_dirs, also)
    if path is None:
        echo(text)
    else:
        shown.tell_file(path)
