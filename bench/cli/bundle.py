"""`ollama-bench bundle`: the evidence of a run or comparison, for a bug report."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.output import echo, say
from bench.cli.pages import HistoryOptions, file_option, history_options


@click.command(short_help="Pack the evidence of a run or comparison for a bug report.")
@click.argument("names", nargs=-1, required=True, metavar="RUN [CANDIDATE]...")
@file_option("The zip. Default: named after the run, in this folder.")
@history_options
def command(names: tuple[str, ...], file: Path | None, history: HistoryOptions) -> None:
    """Pack the evidence of a run or comparison, and print the block to paste.

    RUN is a run directory, or a run of the history; with a CANDIDATE, both are compared first. The
    zip holds the block, run.json, summary.json, every request, the servers' logs and the scenario.
    Secrets are scrubbed and texts of answers left out. Prompts that the scenario names are in it:
    look through the zip before you publish it.
    """
    from bench.commands.bundle import bundle

    made = bundle(names, file, history=history.open())
    echo(made.markdown)
    say(f"packed: {made.path}")
