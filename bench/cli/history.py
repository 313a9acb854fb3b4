"""`ollama-bench history`: list, tag and plot earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from bench.cli.completion import complete_metric
from bench.cli.output import console, echo_json, say
from bench.cli.pages import (
    HISTORY,
    Command,
    HistoryOptions,
    PageOptions,
    file_option,
    flag,
    gathered,
    many,
    page_options,
)
from bench.errors import ResultsError, UsageError

if TYPE_CHECKING:
    from bench.results.history import History, IndexedRun

TREND_FILE = "trend.html"
_FILE_WIDTH = 160


@click.group(short_help="List, tag and plot earlier runs.")
def command() -> None:
    """Earlier runs: every finished run is indexed, its directory stays where it is.

    The index is a database in the platform's data folder, or where OLLAMA_BENCH_HISTORY says.
    """


def _opened(history_path: Path | None, no_history: bool) -> History:
    history = HistoryOptions(history_path, no_history).open()
    if history is None:
        raise UsageError("the history is switched off", "Name one with --history PATH.")
    damaged = history.damaged()
    if damaged:
        listed = ", ".join(damaged[:5]) + (" and more" if len(damaged) > 5 else "")
        say(
            f"damaged rows of {history.path} are left out, of: {listed}. "
            "Read them again from the run directories: ollama-bench history rebuild FOLDER"
        )
    return history


with_history = gathered(_opened, "history", *HISTORY)


def _choosing(command: Command) -> Command:
    command = click.option("--tag", help="Only runs with this tag.")(command)
    return click.option("--scenario", help="Only runs of this scenario.")(command)


@command.command("list")
@_choosing
@flag("--json", "as_json", help="As JSON.")
@with_history
def list_runs(scenario: str | None, tag: str | None, as_json: bool, history: History) -> None:
    """List the runs, oldest first."""
    runs = _chosen(history, scenario, tag)
    if as_json:
        _echo_json(runs)
        return
    if not runs:
        say(f"no runs in {history.path}")
        return
    from rich.table import Column, Table

    whole = Column("Run", no_wrap=True)
    table = Table(whole, "Time", "Server", "Models", "Status", "Tags")
    for run in runs:
        table.add_row(*_row(run))
    terminal = console()
    terminal.width = terminal.width if terminal.is_terminal else _FILE_WIDTH
    terminal.print(table)


def _chosen(history: History, scenario: str | None, tag: str | None) -> list[IndexedRun]:
    """The runs of a scenario, and with a tag; None = of any."""
    return [
        run
        for run in history.runs()
        if scenario in (None, run.name) and (tag is None or tag in run.tags)
    ]


def _row(run: IndexedRun) -> tuple[str, ...]:
    models = dict.fromkeys(c.model for c in run.cases)
    versions = dict.fromkeys(c.server_version for c in run.cases)
    notes = [run.status if run.valid else f"{run.status}, invalid"]
    notes += ["simulated"] if run.simulated else []
    notes += [] if run.path.is_dir() else ["directory gone"]
    return (
        run.id,
        run.created_at[:16].replace("T", " "),
        ", ".join(versions),
        ", ".join(models),
        ", ".join(notes),
        ", ".join(run.tags),
    )


@command.command("show")
@click.argument("run")
@with_history
def show_run(run: str, history: History) -> None:
    """Show what the history knows of a run, as JSON."""
    _echo_json(history.find(run))


@command.command("tag")
@click.argument("run")
@click.argument("tags", nargs=-1, metavar="TAG...")
@many("--remove", metavar="TAG", help="Take a tag away; repeatable.")
@with_history
def tag_run(run: str, tags: tuple[str, ...], remove: tuple[str, ...], history: History) -> None:
    """Give a run tags, by which compare finds it: the newest run of a tag."""
    found = history.find(run)
    history.tag(found.id, tags, remove)
    say(f"{found.id}: {', '.join(history.get(found.id).tags) or 'no tags'}", err=False)


@command.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@with_history
def remove_runs(runs: tuple[str, ...], history: History) -> None:
    """Forget runs; their directories stay."""
    for found in [history.find(name) for name in runs]:
        history.remove(found.id)
        say(f"forgot {found.id}; its directory stays: {found.path}", err=False)


@command.command("rebuild")
@click.argument(
    "folders",
    nargs=-1,
    metavar="[FOLDER]...",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
)
@with_history
def rebuild(folders: tuple[Path, ...], history: History) -> None:
    """Index all run directories of some folders again (default: ./runs and all known ones)."""
    from bench.commands.stored_runs import index_run
    from bench.report.units import plural
    from bench.results.directory import find_runs

    history.check()
    parents = folders or (Path("runs"), *dict.fromkeys(r.path.parent for r in history.runs()))
    done, failed = 0, 0
    for path in dict.fromkeys(p.absolute() for parent in parents for p in find_runs(parent)):
        try:
            index_run(path, history)
            done += 1
        except ResultsError as error:
            failed += 1
            say(f"left out: {error}")
    left_out = f", left out {failed}" if failed else ""
    say(f"indexed {plural(done, 'run')} in {history.path}{left_out}", err=False)


@command.command("trend")
@click.argument("metric", default="decode_tok_per_s", shell_complete=complete_metric)
@click.option("--model", help="Only cases of this model.")
@_choosing
@page_options(file_option(f"Where to. Default: {TREND_FILE} for html, else stdout."))
@with_history
def trend(
    metric: str,
    scenario: str | None,
    model: str | None,
    tag: str | None,
    shown: PageOptions,
    history: History,
) -> None:
    """Plot a metric over the runs of each identity, and over server versions.

    METRIC is a metric id with its statistic, e.g. ttft_s.p50. A report, not a gate.
    """
    from bench.analysis.comparison.trend import trends
    from bench.thresholds import parse_metric

    try:
        parse_metric(metric)
    except ValueError as error:
        raise UsageError(f"{metric}: {error}") from None
    runs = _chosen(history, scenario, tag)
    found = [t for t in trends(runs, metric) if model is None or t.model == model]
    if not found:
        raise ResultsError(
            f"no complete, valid run of the history has {metric} ({history.path})",
            "See what there is: ollama-bench history list",
        )
    from bench.report.comparison.trend_page import trend_page

    file = shown.file_of(TREND_FILE)
    links = report_links(runs, file.parent) if file is not None else {}
    shown.tell(lambda _: trend_page(found, links), TREND_FILE)


def report_links(runs: Sequence[IndexedRun], folder: Path) -> dict[str, str]:
    """Reports that lie in a folder or below it, by run, as a page in that folder links them."""
    from bench.results.directory import REPORT_FILE

    here = folder.resolve()
    reports = {r.id: r.path.resolve() / REPORT_FILE for r in runs}
    return {
        run: quote(path.relative_to(here).as_posix())
        for run, path in reports.items()
        if path.is_relative_to(here) and path.is_file()
    }


def _echo_json(content: object) -> None:
    import msgspec

    echo_json(msgspec.json.encode(content, enc_hook=str))
