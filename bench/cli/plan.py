"""`ollama-bench plan`: what a scenario can detect, and how long that takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.judging import DEFAULT_CATCH, judging_of, primary_option, size_option
from bench.cli.measuring import Measuring, measuring_options
from bench.cli.output import say
from bench.cli.pages import PageOptions, flag, format_option, gathered, many
from bench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from bench.scenario.plan import Plan

PILOT_PAIRS = 6
"""Pairs of blocks of every case in a pilot: with fewer the noise is hardly known."""


@click.command(short_help="Say what a scenario can detect, and how long that takes.")
@click.argument("what", metavar="SCENARIO|RUN")
@size_option("--catch", f"Change that is to be seen, e.g. 3%; repeatable. {DEFAULT_CATCH}")
@size_option("--ignore", "Change that will be ignored; repeatable. Default: half of that to see.")
@primary_option("Metric to plan for; repeatable.")
@flag("--strict", help="Plan for a comparison with --strict.")
@gathered(PageOptions, "shown", format_option())
@many(
    "--allow",
    type=click.Choice(["invalid"]),
    help="Plan from a pilot that is not a valid measurement.",
)
@measuring_options
def command(
    what: str,
    catch: tuple[str, ...],
    ignore: tuple[str, ...],
    primary: tuple[str, ...],
    strict: bool,
    allow: tuple[str, ...],
    shown: PageOptions,
    measuring: Measuring,
) -> None:
    """Say how noisy each metric is, which change can be seen, and what the wanted one takes.

    RUN is a run directory or a name in the history. For a SCENARIO a pilot is run first: six pairs
    of equal blocks (A/A) of each case, as `ab` would run them. A pilot that is invalid is refused.
    """
    from bench.cli.planned import plan_text
    from bench.commands.comparing import plan_pairs
    from bench.commands.stored_runs import is_run
    from bench.report.comparison.plan_page import plan_page

    judging = judging_of(allow, catch, ignore, primary, strict, gate=False)
    history = measuring.open()
    run: str | Path = what
    if not is_run(what, history):
        plan = _pilot_plan(what, measuring)
        if measuring.dry_run:
            say(plan_text(plan), err=False)
            return
        run = _pilot(plan, measuring)
    elif any(measuring.chosen.values()):
        raise UsageError(
            f"{what} is measured already: models, servers and keys cannot be chosen any more",
            "Leave them out, or name the scenario in place of the run.",
        )
    elif measuring.dry_run:
        say(f"{what} is a run: nothing would be measured", err=False)
        return
    planned = plan_pairs(run, judging=judging, history=history)
    shown.tell(lambda _: plan_page(planned))


def _pilot_plan(scenario: str, measuring: Measuring) -> Plan:
    from bench.commands.run import make_plan
    from bench.commands.sides import pilot_plan

    found = make_plan(scenario, settings=measuring.settings(), **measuring.chosen)
    models = tuple(dict.fromkeys(case.model for case in found.cases))
    return pilot_plan(scenario, PILOT_PAIRS, **{**measuring.chosen, "models": models})


def _pilot(plan: Plan, measuring: Measuring) -> Path:
    from bench.cli.live import view_on
    from bench.commands.run import run_plan
    from bench.results.run import RunStatus

    observer, view = view_on(measuring.quiet)
    with view:
        run = run_plan(plan, settings=measuring.settings(), observer=observer, report=False)
    say(f"pilot: {run.path}")
    if run.info.status is RunStatus.INTERRUPTED:
        say(f"interrupted: to plan from what there is, ollama-bench plan {run.path}")
        click.get_current_context().exit(int(ExitCode.INTERRUPTED))
    return run.path
