"""What the commands that judge have in common: how to judge, the history, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.completion import complete_compared, complete_size
from bench.cli.output import console, echo
from bench.cli.pages import (
    PAGE_FORMATS,
    also_write,
    format_and_file,
    format_option,
    open_option,
    own_template,
    tell_report,
    write_text,
)
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.analysis.comparison.result import Comparison
    from bench.commands.comparing import Judging
    from bench.report.page import Chart
    from bench.results.history import History

FORMATS = (*PAGE_FORMATS, "junit", "github", "benchstat")
HTML_FILE = Path("comparison.html")
DEFAULT_CATCH = "Default: 5% for speeds and times per token, 10% for other times, 20% for tails."

Command = Callable[..., Any]


def size_option(name: str, help_text: str) -> Callable[[Command], Command]:
    """An option that takes sizes of changes."""
    metavar = "[METRIC=]PERCENT"
    return click.option(
        name, multiple=True, shell_complete=complete_size, metavar=metavar, help=help_text
    )


def primary_option(help_text: str) -> Callable[[Command], Command]:
    """`--primary`, which takes metrics."""
    complete = complete_compared
    return click.option(
        "--primary", multiple=True, shell_complete=complete, metavar="METRIC", help=help_text
    )


def judging_options(command: Command) -> Command:
    """The options that say how to judge; `judging_of` takes their values."""
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--allow",
            multiple=True,
            metavar="KEY",
            help="Compare although this differs, e.g. served_context, options.num_ctx; repeatable.",
        ),
        size_option(
            "--catch",
            f"Change that must be caught, e.g. ttft_s.p50=20%; repeatable. {DEFAULT_CATCH}",
        ),
        size_option(
            "--ignore", "Change to ignore; repeatable. Default: half of the change to catch."
        ),
        primary_option("Metric that decides, in place of the scenario's; repeatable."),
        click.option(
            "--strict",
            is_flag=True,
            help="Call a change only if its whole interval lies beyond what is ignored.",
        ),
        click.option(
            "--gate", is_flag=True, help="The candidate must keep the scenario's thresholds, too."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def history_options(command: Command) -> Command:
    """The options that say where the history is; `history_of` takes their values."""
    command = click.option("--no-history", is_flag=True, help="Use no history.")(command)
    return click.option(
        "--history",
        "history_path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The history's database. Default: OLLAMA_BENCH_HISTORY, else the platform's folder.",
    )(command)


def output_options(command: Command) -> Command:
    """The options that say what comes out, in which form; `tell` takes their values."""
    return format_option(FORMATS)(own_template(open_option(also_write(command))))


def wanted_files(also: Sequence[str]) -> list[tuple[str, Path]]:
    """What `--write` says, each time."""
    return [format_and_file(text, FORMATS) for text in also]


def judging_of(
    allow: Sequence[str],
    catch: Sequence[str],
    ignore: Sequence[str],
    primary: Sequence[str],
    strict: bool,
    gate: bool,
) -> Judging:
    """How to judge, from the options."""
    from bench.commands.comparing import Judging

    for metric in primary:
        _check_metric(metric, "--primary")
    judging = Judging(
        allow=frozenset(allow),
        catch=dict(_size("--catch", text) for text in catch),
        ignore=dict(_size("--ignore", text) for text in ignore),
        primary=tuple(primary),
        strict=strict,
        gate=gate,
    )
    sizes = [*(f"--catch {text}" for text in catch), *(f"--ignore {text}" for text in ignore)]
    _check_sizes(judging, " ".join(sizes))
    return judging


def history_of(history_path: Path | None, no_history: bool) -> History | None:
    """The history, from the options; None = off."""
    from bench.results.history import History

    path = history_path_of(history_path, no_history)
    return None if path is None else History(path)


def history_path_of(history_path: Path | None, no_history: bool) -> Path | None:
    """Where the history is, from the options; None = off.

    Raises:
        ResultsError: the file that was named is no history: better said now than after a long run.
    """
    from bench.results.history_file import check_file, default_history

    if no_history:
        return None
    if history_path is not None:
        check_file(history_path)
    return history_path or default_history()


def _size(option: str, text: str) -> tuple[str, float]:
    metric, equals, value = text.rpartition("=")
    metric = metric.strip() if equals else "*"
    if metric != "*":
        _check_metric(metric, option)
    try:
        size = float(value.strip().removesuffix("%")) / 100
    except ValueError:
        raise UsageError(
            f"{option} {text}: {value!r} is no percentage", f"Write e.g. {option} ttft_s.p50=20%"
        ) from None
    if not 0 <= size < 10:
        raise UsageError(f"{option} {text}: a change lies between 0 and 1000 %")
    return metric, size


def _check_metric(metric: str, option: str) -> None:
    from bench.thresholds import parse_compared

    try:
        parse_compared(metric)
    except ValueError as error:
        raise UsageError(f"{option} {metric}: {error}") from None


def _check_sizes(judging: Judging, said: str) -> None:
    from bench.analysis.comparison.verdict_rule import sizes_of

    for metric in {*judging.catch, *judging.ignore}:
        try:
            sizes_of(metric, judging.catch, judging.ignore)
        except ValueError as error:
            raise UsageError(
                f"{said}: {error}",
                "Set both, e.g. --catch 10% --ignore 8%; to be caught by default: 5% for speeds "
                "and times per token, 10% for other times, 20% for tails.",
            ) from None


def tell(
    comparisons: Sequence[Comparison],
    format_name: str,
    output: Path | None,
    also: Sequence[tuple[str, Path]],
    benchstat: Callable[[], str],
    distributions: Callable[[], Sequence[Chart]],
    template: Path | None = None,
    open_report: bool = False,
) -> None:
    """Render comparisons with one baseline where they are wanted.

    The lines of benchstat are about runs, and charts of requests for HTML alone: both are made
    when they are needed.
    """
    from bench.report.comparison.comparison_page import shown_page
    from bench.report.console import print_page
    from bench.report.formats import render

    def rendered(name: str) -> str:
        if name == "benchstat":
            return benchstat()
        html = name == "html"
        page = shown_page(comparisons, distributions() if html else (), charts=html)
        return render(page, name, template)

    for name, path in also:
        write_text(path, rendered(name))
    if format_name == "html" and output is None:
        output = HTML_FILE
    if output is not None:
        write_text(output, rendered(format_name))
        if format_name == "html":
            tell_report(output, open_report)
        else:
            echo(f"{output}\n")
    elif format_name == "console":
        print_page(shown_page(comparisons, charts=False), console())
    else:
        echo(rendered(format_name))
