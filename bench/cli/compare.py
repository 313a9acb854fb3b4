"""`ollama-bench compare`: compare runs with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.judging import (
    HTML_FILE,
    history_of,
    history_options,
    judging_of,
    judging_options,
    output_options,
    tell,
    wanted_files,
)
from bench.cli.pages import file_option
from bench.errors import gravest


@click.command(short_help="Compare runs with a verdict.")
@click.argument("baseline")
@click.argument("candidates", nargs=-1, metavar="[CANDIDATE]...")
@file_option(f"Where to. Default: {HTML_FILE} for html, else stdout.")
@output_options
@judging_options
@history_options
@click.pass_context
def command(
    context: click.Context,
    /,
    baseline: str,
    candidates: tuple[str, ...],
    format_name: str,
    output: Path | None,
    also: tuple[str, ...],
    template: Path | None,
    open_report: bool,
    history_path: Path | None,
    no_history: bool,
    **judging: Any,
) -> None:
    """Compare runs: what differs, what changed, and whether that is certain.

    BASELINE and CANDIDATE are run directories, or runs of the history by id, part of it, or tag. A
    run made by `ollama-bench ab` holds both sides, so it stands alone.

    Exit codes: 0 no change or better, 1 worse (or a threshold failed, with --gate), 3 inconclusive
    or only indicative, 4 not comparable, 5 a run is invalid. Every candidate is judged; of several
    codes the first of 1, 4, 5, 3 counts, so one that cannot be compared never hides a loss.
    """
    from bench.commands.comparing import compare
    from bench.commands.runs_behind import benchstat_lines, comparable, distribution_charts

    history, files = history_of(history_path, no_history), wanted_files(also)
    runs = [baseline, *candidates]
    results = compare(baseline, candidates, judging=judging_of(**judging), history=history)
    tell(
        results,
        format_name,
        output,
        files,
        benchstat=lambda: benchstat_lines(runs, history, results),
        distributions=lambda: distribution_charts(comparable(runs, results), history),
        template=template,
        open_report=open_report,
    )
    context.exit(int(gravest(c.exit_code for c in results)))
