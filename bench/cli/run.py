"""`ollama-bench run`: run scenarios against an Ollama server."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.judging import history_of, history_options
from bench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.api import FinishedRun
    from bench.load.observer import Observer
    from bench.load.session import Settings
    from bench.scenario.plan import Plan


@click.command("run")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("-m", "--model", "models", multiple=True, help="Model to measure; repeatable.")
@click.option("--host", "hosts", multiple=True, help="Server to measure; repeatable.")
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a scenario key."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that gets the run directory.",
)
@click.option("--seed", type=int, help="Seed of everything that is drawn.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
@click.option("--pull", is_flag=True, help="Pull missing models first.")
@click.option("--transport", metavar="NAME", help="Force kernel, user or httpx.")
@click.option("--workers", default="1", show_default=True, metavar="N|auto", help="Processes.")
@click.option("--keep-text", is_flag=True, help="Keep the text of the answers.")
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@click.option("--ca-file", default="", metavar="FILE", help="Certificate authority to trust.")
@click.option("--no-report", is_flag=True, help="Do not write report.html.")
@history_options
@click.pass_context
def command(
    context: click.Context,
    scenarios: tuple[str, ...],
    models: tuple[str, ...],
    hosts: tuple[str, ...],
    overrides: tuple[str, ...],
    output: Path,
    seed: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    pull: bool,
    transport: str | None,
    workers: str,
    keep_text: bool,
    insecure: bool,
    ca_file: str,
    no_report: bool,
    history_path: Path | None,
    no_history: bool,
) -> None:
    """Run scenarios against an Ollama server.

    SCENARIO is a file, or the name of a shipped one (see `ollama-bench scenarios list`).

    Ctrl-C stops gently and writes the report of what was measured; a second one stops at once.
    A server behind a password or token takes it from the environment variable
    OLLAMA_BENCH_TOKEN or from the netrc file.
    """
    from rich.console import Console

    from bench.api import make_plan
    from bench.load.session import Settings

    console = Console(stderr=True, quiet=quiet)
    history = history_of(history_path, no_history)
    settings = Settings(
        output=output,
        transport=transport,
        workers=worker_count(workers),
        keep_text=keep_text,
        insecure=insecure,
        ca_file=ca_file,
        history=history.path if history else None,
    )
    plans = [
        make_plan(
            name, models=models, hosts=hosts, overrides=overrides, seed=seed, settings=settings
        )
        for name in scenarios
    ]
    if dry_run:
        from bench.cli.planned import plan_text

        for plan in plans:
            click.echo(plan_text(plan))
        return
    codes = []
    for plan in plans:
        run = run_and_tell(
            plan, console, settings, pull=pull, as_json=as_json, report=not no_report
        )
        codes.append(run.exit_code)
        if run.exit_code is ExitCode.INTERRUPTED:
            break
    context.exit(_worst(codes))


def run_and_tell(
    plan: Plan,
    console: Console,
    settings: Settings,
    *,
    pull: bool = False,
    as_json: bool = False,
    report: bool = True,
) -> FinishedRun:
    """Say what will be run, run it in view, and put the result on stdout, its path last.

    Args:
        plan: what to run.
        console: gets all but the result; a quiet one also keeps the result to its path.
        settings: where results go, and how to send.
        pull: pull missing models first.
        as_json: put the summary on stdout instead.
        report: write report.html.

    Raises:
        BenchError: it could not be run.
    """
    from bench.api import run_plan

    observer, view, chosen = _view(console, settings, pull)
    with view:
        run = run_plan(plan, settings=chosen, observer=observer, report=report)
    _tell(run, console, as_json, console.quiet)
    return run


def worker_count(text: str) -> int:
    """How many processes are asked for; 0 = as many as the load needs."""
    if text == "auto":
        return 0
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise UsageError(f"--workers {text}: give a number of processes, or auto")


def _view(
    console: Console, settings: Settings, pull: bool
) -> tuple[Observer, AbstractContextManager[None], Settings]:
    """What shows the run, its context, and the settings that show a pull as well."""
    from dataclasses import replace

    from bench.cli.live import view_on

    if pull:
        from bench.cli.pulling import PullBar

        settings = replace(settings, pull=PullBar(console))
    return *view_on(console), settings


def _tell(run: FinishedRun, console: Console, as_json: bool, quiet: bool) -> None:
    """The result on stdout, the path as its last line."""
    from bench.results.directory import SUMMARY_FILE

    if as_json:
        click.echo((run.path / SUMMARY_FILE).read_text(encoding="utf-8"), nl=False)
        console.print(str(run.path), highlight=False, markup=False, soft_wrap=True)
        return
    if not quiet:
        from rich.console import Console as RichConsole

        from bench.report.console import print_summary

        print_summary(run.summary, RichConsole(file=sys.stdout))
    click.echo(str(run.path))


def _worst(codes: list[ExitCode]) -> int:
    """The exit code of several runs: an interruption, then the worst."""
    order = (ExitCode.INTERRUPTED, ExitCode.INVALID, ExitCode.WORSE)
    return int(next((code for code in order if code in codes), ExitCode.OK))
