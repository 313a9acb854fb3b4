"""`ollama-bench compare`: compare runs with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.judging import HTML_FILE, compared_pages, judging_options, tell
from bench.cli.pages import HistoryOptions, PageOptions, file_option, history_options
from bench.errors import gravest

if TYPE_CHECKING:
    from bench.commands.comparing import Judging


@click.command(short_help="Compare runs with a verdict.")
@click.argument("baseline")
@click.argument("candidates", nargs=-1, metavar="[CANDIDATE]...")
@compared_pages(file_option(f"Where to. Default: {HTML_FILE} for html, else stdout."))
@judging_options
@history_options
@click.pass_context
def command(
    context: click.Context,
    /,
    baseline: str,
    candidates: tuple[str, ...],
    shown: PageOptions,
    also: list[tuple[str, Path]],
    history: HistoryOptions,
    rules: Judging,
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

    opened, runs = history.open(), [baseline, *candidates]
    results = compare(baseline, candidates, judging=rules, history=opened)
    tell(
        results,
        shown,
        also,
        benchstat=lambda: benchstat_lines(runs, opened, results),
        distributions=lambda: distribution_charts(comparable(runs, results), opened),
    )
    context.exit(int(gravest(c.exit_code for c in results)))
