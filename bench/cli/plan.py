"""`ollama-bench plan`: what a scenario can detect, and how long that takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.certificates import certificate_options
from bench.cli.judging import history_of, history_options, judging_of

if TYPE_CHECKING:
    from bench.load.session import Settings

PILOT_BLOCKS = 6
"""Blocks of every case in a pilot: as many as three pairs."""


@click.command(short_help="Say what a scenario can detect, and how long that takes.")
@click.argument("what", metavar="SCENARIO|RUN")
@click.option("-m", "--model", "models", multiple=True, help="Model to measure; repeatable.")
@click.option("--host", "hosts", multiple=True, help="Server to measure; repeatable.")
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a scenario key."
)
@click.option(
    "--catch",
    multiple=True,
    metavar="[METRIC=]PERCENT",
    help="Change that is to be seen, e.g. 3%; repeatable. Default: 5% for speeds, 10% for times.",
)
@click.option("--primary", multiple=True, metavar="METRIC", help="Metric to plan for; repeatable.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that gets the pilot.",
)
@click.option("--format", "format_name", type=click.Choice(["console", "markdown", "json"]))
@certificate_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
@history_options
def command(
    what: str,
    models: tuple[str, ...],
    hosts: tuple[str, ...],
    overrides: tuple[str, ...],
    catch: tuple[str, ...],
    primary: tuple[str, ...],
    folder: Path,
    format_name: str | None,
    insecure: bool,
    ca_file: str,
    quiet: bool,
    history_path: Path | None,
    no_history: bool,
) -> None:
    """Say how noisy each metric is, which change can be seen, and what the wanted one takes.

    RUN is a run directory or a name in the history; for a SCENARIO a pilot of six blocks for each
    case is run first.
    """
    from bench.commands.comparing import plan_pairs
    from bench.commands.stored_runs import is_run
    from bench.load.session import Settings
    from bench.report.comparison.plan_page import render_plan

    judging = judging_of((), catch, (), primary, strict=False, gate=False)
    history = history_of(history_path, no_history)
    run: str | Path = what
    if not is_run(what, history):
        settings = Settings(
            output=folder,
            insecure=insecure,
            ca_file=ca_file,
            history=history.path if history else None,
        )
        run = _pilot(what, settings, quiet, models=models, hosts=hosts, overrides=overrides)
    planned = plan_pairs(run, judging=judging, history=history)
    click.echo(render_plan(planned, format_name or "console"), nl=False)


def _pilot(scenario: str, settings: Settings, quiet: bool, **chosen: Any) -> Path:
    """Run a pilot of a scenario, and give its run directory."""
    from bench.cli.live import view_on
    from bench.commands.run import make_plan, run_plan

    overrides = [*chosen.pop("overrides"), f"blocks={PILOT_BLOCKS}"]
    plan = make_plan(scenario, overrides=overrides, settings=settings, **chosen)
    observer, view = view_on(quiet)
    with view:
        run = run_plan(plan, settings=settings, observer=observer, report=False)
    click.echo(f"pilot: {run.path}", err=True)
    return run.path
