"""`ollama-bench report`: render run directories again, in any format."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.judging import history_of, history_options
from bench.cli.output import echo
from bench.cli.pages import (
    RUN_FORMATS,
    also_write,
    file_option,
    format_and_file,
    format_option,
    open_option,
    own_template,
    tell_file,
    write_also,
)


@click.command(short_help="Render run directories again, in any format.")
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@format_option(RUN_FORMATS, "html")
@file_option(
    "Where to; - is stdout. For html, the default is report.html in the run directory (several: in "
    "this folder); for the others, stdout."
)
@own_template
@open_option
@click.option(
    "--charts",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write every chart as a PNG and an SVG file into DIR.",
)
@also_write
@history_options
def command(
    names: tuple[str, ...],
    format_name: str,
    output: Path | None,
    template: Path | None,
    open_report: bool,
    charts: Path | None,
    also: tuple[str, ...],
    history_path: Path | None,
    no_history: bool,
) -> None:
    """Render one or several runs as one report.

    RUN is a run directory, a directory made by `ollama-bench fidelity`, or a run of the history by
    id, part of it, or tag.
    """
    from bench.commands.stored_runs import resolve
    from bench.report.write import write_reports

    wanted = [format_and_file(text, RUN_FORMATS) for text in also]
    named = any(not Path(name).exists() for name in names)
    history = history_of(history_path, no_history) if named else None
    run_dirs = [resolve(name, history) for name in names]
    text, path = write_reports(run_dirs, format_name, output, template, charts)
    write_also(run_dirs, wanted)
    if path is None:
        echo(text)
    else:
        tell_file(path, format_name, open_report)
