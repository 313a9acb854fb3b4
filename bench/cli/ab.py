"""`ollama-bench ab`: compare two sides in interleaved pairs of blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.certificates import certificate_options
from bench.cli.judging import (
    history_of,
    history_options,
    judging_of,
    judging_options,
    output_options,
    tell,
)
from bench.errors import ExitCode


@click.command(short_help="Compare two sides in interleaved pairs of blocks.")
@click.argument("scenario")
@click.option("--a", "a", multiple=True, metavar="KEY=VALUE", help="Set on side a; repeatable.")
@click.option("--b", "b", multiple=True, metavar="KEY=VALUE", help="Set on side b; repeatable.")
@click.option(
    "--pairs",
    type=click.IntRange(min=2),
    default=6,
    show_default=True,
    help="Pairs of blocks for each case; at least 6 for a verdict. `plan` says how many.",
)
@click.option("-m", "--model", "models", multiple=True, help="Model of both sides; repeatable.")
@click.option("--host", "hosts", multiple=True, help="Server of both sides; repeatable.")
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a scenario key."
)
@click.option(
    "--one-at-a-time",
    is_flag=True,
    help="Unload one side's model before the other's turn, if both do not fit into memory.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that gets the run directory.",
)
@click.option("--seed", type=int, help="Seed of everything that is drawn.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@certificate_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
@click.option("--no-report", is_flag=True, help="Write no report.html and comparison.html.")
@output_options
@judging_options
@history_options
@click.pass_context
def command(
    context: click.Context,
    /,
    scenario: str,
    a: tuple[str, ...],
    b: tuple[str, ...],
    pairs: int,
    models: tuple[str, ...],
    hosts: tuple[str, ...],
    overrides: tuple[str, ...],
    one_at_a_time: bool,
    folder: Path,
    seed: int | None,
    dry_run: bool,
    insecure: bool,
    ca_file: str,
    quiet: bool,
    format_name: str,
    no_report: bool,
    also: tuple[str, ...],
    history_path: Path | None,
    no_history: bool,
    **judging: Any,
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
    from bench.analysis.comparison import worst
    from bench.cli.live import view_on
    from bench.cli.planned import plan_text
    from bench.commands.comparing import ab
    from bench.commands.runs_behind import benchstat_lines, distribution_charts
    from bench.commands.sides import ab_plan
    from bench.load.session import Settings

    rules = judging_of(**judging)
    plan = ab_plan(
        scenario, a, b, pairs, models=models, hosts=hosts, overrides=overrides, seed=seed
    )
    if dry_run:
        click.echo(plan_text(plan))
        return
    history = history_of(history_path, no_history)
    settings = Settings(
        output=folder,
        one_at_a_time=one_at_a_time,
        insecure=insecure,
        ca_file=ca_file,
        history=history.path if history else None,
    )
    observer, view = view_on(quiet)
    with view:
        run, comparison = ab(
            plan, judging=rules, settings=settings, observer=observer, report=not no_report
        )
    if comparison is None:
        click.echo("interrupted: there is no verdict on a part of the pairs", err=True)
        click.echo(str(run.path))
        context.exit(int(ExitCode.INTERRUPTED))
    tell(
        [comparison],
        format_name,
        None,
        also,
        benchstat=lambda: benchstat_lines([run.path], history, [comparison]),
        distributions=lambda: distribution_charts([run.path], history),
    )
    click.echo(str(run.path), err=format_name != "console")
    context.exit(int(worst([comparison])))
