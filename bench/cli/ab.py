"""`ollama-bench ab`: compare two sides in interleaved pairs of blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.judging import compared_pages, judging_options, tell
from bench.cli.measuring import Measuring, measuring_options
from bench.cli.output import echo, say, tell_not_written
from bench.cli.pages import PageOptions, flag, many
from bench.errors import ExitCode

if TYPE_CHECKING:
    from bench.commands.comparing import Judging


@click.command(short_help="Compare two sides in interleaved pairs of blocks.")
@click.argument("scenario")
@many("--a", "a", metavar="KEY=VALUE", help="Set on side a; repeatable.")
@many("--b", "b", metavar="KEY=VALUE", help="Set on side b; repeatable.")
@click.option(
    "--pairs",
    type=click.IntRange(min=2),
    default=6,
    help="Pairs of blocks for each case; at least 6 for a verdict. `plan` says how many.",
)
@flag(
    "--one-at-a-time",
    help="Unload one side's model before the other's turn, if both do not fit into memory.",
)
@compared_pages()
@judging_options
@measuring_options
@click.pass_context
def command(
    context: click.Context,
    /,
    scenario: str,
    a: tuple[str, ...],
    b: tuple[str, ...],
    pairs: int,
    one_at_a_time: bool,
    shown: PageOptions,
    also: list[tuple[str, Path]],
    measuring: Measuring,
    rules: Judging,
) -> None:
    """Compare two sides, measured in turn: A B, B A, A B, ... so that drift cancels.

    \b
    Anything can differ:
      --a model=llama3.2:3b               --b model=llama3.2:3b-instruct-q8_0
      --a host=:11434                     --b host=:11435
      --a options.num_ctx=4096            --b options.num_ctx=16384
      --a binary=/opt/old/bin/ollama      --b binary=/opt/new/bin/ollama
      --a env.OLLAMA_FLASH_ATTENTION=0    --b env.OLLAMA_FLASH_ATTENTION=1

    With binary or env a server is started for each side on a free port, and stopped afterwards.
    The number of pairs is fixed beforehand: adding pairs until the verdict pleases is no evidence.

    The run directory gets comparison.html and comparison.json; its path is the last line on stdout
    (on stderr for formats other than console). Exit codes: 0 no change or better, 1 worse,
    3 inconclusive, 4 not comparable, 5 invalid, 6 a server is unreachable, 130 interrupted.
    """  # noqa: D301 - click wants a real backspace before what it must not wrap
    from bench.cli.live import view_on
    from bench.cli.planned import plan_text
    from bench.commands.comparing import COMPARISON_PAGE, ab
    from bench.commands.runs_behind import benchstat_lines, distribution_charts
    from bench.commands.sides import ab_plan

    plan = ab_plan(scenario, a, b, pairs, **measuring.chosen)
    if measuring.dry_run:
        say(plan_text(plan), err=False)
        return
    history = measuring.open()
    settings = measuring.settings(one_at_a_time=one_at_a_time)
    observer, view = view_on(measuring.quiet)
    with view:
        run, comparison = ab(
            plan,
            judging=rules,
            settings=settings,
            observer=observer,
            report=not measuring.no_report,
            template=shown.template,
        )
    tell_not_written(run)
    if comparison is None:
        say("interrupted: there is no verdict on a part of the pairs")
        echo(f"{run.path}\n")
        context.exit(int(ExitCode.INTERRUPTED))
    tell(
        [comparison],
        replace(shown, open_report=False),
        also,
        benchstat=lambda: benchstat_lines([run.path], history, [comparison]),
        distributions=lambda: distribution_charts([run.path], history),
    )
    if not measuring.no_report and (run.path / COMPARISON_PAGE).is_file():
        shown.tell_report(run.path / COMPARISON_PAGE, measuring.quiet)
    say(str(run.path), err=shown.format_name != "console")
    context.exit(int(comparison.exit_code))
