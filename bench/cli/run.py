"""`ollama-bench run`: run scenarios against an Ollama server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.measuring import Measuring, measuring_options
from bench.cli.output import console, echo, echo_json, say, tell_not_written
from bench.cli.pages import RUN_FORMATS, also_write, flag, open_page, write_also
from bench.cli.web import Forwarding, LivePage, web_page
from bench.errors import ExitCode, gravest

if TYPE_CHECKING:
    from bench.commands.run import FinishedRun
    from bench.load.session import Settings
    from bench.scenario.plan import Plan


@click.command("run")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@flag(
    "--json",
    "as_json",
    help="Print summary.json on stdout; of several scenarios, a list. With --dry-run: the plan.",
)
@flag("--open", "open_report", help="Open the reports in the browser.")
@also_write(RUN_FORMATS)
@click.option(
    "--web",
    "web_port",
    is_flag=False,
    flag_value=0,
    type=click.IntRange(0, 65535),
    metavar="[PORT]",
    help="Show the run as it goes on a page of this host; without PORT, at any free one.",
)
@measuring_options
@click.pass_context
def command(
    context: click.Context,
    scenarios: tuple[str, ...],
    as_json: bool,
    open_report: bool,
    also: list[tuple[str, Path]],
    web_port: int | None,
    measuring: Measuring,
) -> None:
    """Run scenarios against an Ollama server.

    SCENARIO is a file, or the name of a shipped one (see `ollama-bench scenarios list`).

    Ctrl-C stops gently and writes the report of what was measured; a second one stops at once.
    A server behind a password or token takes it from the environment variable
    OLLAMA_BENCH_TOKEN or from the netrc file.
    """
    from bench.commands.run import make_plan

    settings = measuring.settings()
    plans = [make_plan(name, settings=settings, **measuring.chosen) for name in scenarios]
    if measuring.dry_run and as_json:
        tell_plans(plans)
        return
    if measuring.dry_run:
        from bench.cli.planned import plan_text

        for plan in plans:
            say(plan_text(plan), err=False)
        return
    runs: list[FinishedRun] = []
    shown = {"quiet": measuring.quiet, "report": not measuring.no_report}
    with web_page(web_port) as page:
        if page is not None:
            settings = replace(settings, page_cpu_s=page.cpu_s)
        try:
            for plan in plans:
                run = run_in_view(plan, settings, page=page, **shown)
                runs.append(run)
                if not as_json:
                    tell(run, measuring.quiet)
                elif not measuring.quiet:
                    say(str(run.path))
                if run.exit_code is ExitCode.INTERRUPTED:
                    break
        finally:
            if as_json and runs:
                tell_json(runs)
            if runs:
                write_also([run.path for run in runs], also)
    for report in (run.report for run in runs if open_report and run.report is not None):
        open_page(report)
    context.exit(int(gravest(run.exit_code for run in runs)))


def run_in_view(
    plan: Plan,
    settings: Settings,
    *,
    quiet: bool = False,
    report: bool = True,
    page: LivePage | None = None,
) -> FinishedRun:
    """Say what will be run, run it in view, and say what could not be written.

    `page` is that of `--web`, which receives where the run is written.
    """
    from bench.cli.live import view_on
    from bench.commands.run import run_plan

    observer, view = view_on(quiet)
    watching: Any = observer if page is None else Forwarding(observer, page, Path(settings.output))
    with view:
        run = run_plan(plan, settings=settings, observer=watching, report=report)
    tell_not_written(run)
    return run


def tell(run: FinishedRun, quiet: bool = False) -> None:
    """The result on stdout, the path as its last line."""
    if not quiet:
        from bench.report.console import print_page, print_summary
        from bench.results.fidelity_files import RESULT_FILE

        if (run.path / RESULT_FILE).is_file():  # the speeds of its models are needed whole
            from bench.report.write import page_of

            print_page(page_of([run.path]), console())
        else:
            print_summary(run.summary, console())
        if run.report is not None:
            echo(f"Report: {run.report}\n")
    echo(f"{run.path}\n")


def tell_json(runs: Sequence[FinishedRun]) -> None:
    """The summaries on stdout, as one document: an object, or of several runs a list."""
    from bench.report.run_page import summary_json

    echo_json(summary_json([run.summary for run in runs]))


def tell_plans(plans: Sequence[Plan]) -> None:
    """What would be run on stdout, as one document: an object, or of several plans a list."""
    import msgspec

    from bench.scenario.described import described

    made = [described(plan) for plan in plans]
    echo_json(msgspec.json.encode(made[0] if len(made) == 1 else made))
