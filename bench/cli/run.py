"""`ollama-bench run`: run scenarios against an Ollama server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.certificates import certificate_options
from bench.cli.judging import history_options, history_path_of
from bench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from bench.commands.run import FinishedRun
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
@certificate_options
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
    from bench.commands.run import make_plan
    from bench.load.session import Settings

    settings = Settings(
        output=output,
        transport=transport,
        workers=worker_count(workers),
        keep_text=keep_text,
        insecure=insecure,
        ca_file=ca_file,
        history=history_path_of(history_path, no_history),
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
            plan, settings, quiet=quiet, pull=pull, as_json=as_json, report=not no_report
        )
        codes.append(run.exit_code)
        if run.exit_code is ExitCode.INTERRUPTED:
            break
    context.exit(_worst(codes))


def run_and_tell(
    plan: Plan,
    settings: Settings,
    *,
    quiet: bool = False,
    pull: bool = False,
    as_json: bool = False,
    report: bool = True,
) -> FinishedRun:
    """Say what will be run, run it in view, and put the result on stdout, its path last.

    Args:
        plan: what to run.
        settings: where results go, and how to send.
        quiet: show nothing, and put only the path on stdout.
        pull: pull missing models first.
        as_json: put the summary on stdout instead.
        report: write report.html.

    Raises:
        BenchError: it could not be run.
    """
    from bench.cli.live import view_on
    from bench.commands.run import run_plan

    if pull:
        settings = _pulling(settings, quiet)
    observer, view = view_on(quiet)
    with view:
        run = run_plan(plan, settings=settings, observer=observer, report=report)
    _tell(run, as_json, quiet)
    return run


def worker_count(text: str) -> int:
    """How many processes are asked for; 0 = as many as the load needs."""
    if text == "auto":
        return 0
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise UsageError(f"--workers {text}: give a number of processes, or auto")


def _pulling(settings: Settings, quiet: bool) -> Settings:
    """The settings that pull missing models and show how far that is."""
    from dataclasses import replace

    from rich.console import Console

    from bench.cli.pulling import PullBar

    return replace(settings, pull=PullBar(Console(stderr=True, quiet=quiet)))


def _tell(run: FinishedRun, as_json: bool, quiet: bool) -> None:
    """The result on stdout, the path as its last line."""
    from bench.results.directory import SUMMARY_FILE

    if as_json:
        click.echo((run.path / SUMMARY_FILE).read_text(encoding="utf-8"), nl=False)
        if not quiet:
            click.echo(str(run.path), err=True)
        return
    if not quiet:
        from bench.cli.output import Output
        from bench.report.console import print_summary

        print_summary(run.summary, Output())
    click.echo(str(run.path))


def _worst(codes: list[ExitCode]) -> int:
    """The exit code of several runs: an interruption, then the worst."""
    order = (ExitCode.INTERRUPTED, ExitCode.INVALID, ExitCode.WORSE)
    return int(next((code for code in order if code in codes), ExitCode.OK))
