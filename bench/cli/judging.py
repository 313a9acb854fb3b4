"""What the commands that judge have in common: how to judge, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.completion import complete_compared, complete_size
from bench.cli.output import console, echo
from bench.cli.pages import (
    PAGE_FORMATS,
    Option,
    PageOptions,
    also_write,
    flag,
    gathered,
    many,
    open_page,
    page_options,
    write_text,
)
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.analysis.comparison.result import Comparison
    from bench.commands.comparing import Judging
    from bench.report.page import Chart

FORMATS = (*PAGE_FORMATS, "junit", "github", "benchstat")
HTML_FILE = Path("comparison.html")
DEFAULT_CATCH = "Default: 5% for speeds and times per token, 10% for other times, 20% for tails."


def size_option(name: str, help_text: str) -> Option:
    """An option that takes sizes of changes."""
    return many(name, shell_complete=complete_size, metavar="[METRIC=]PERCENT", help=help_text)


def primary_option(help_text: str) -> Option:
    """`--primary`, which takes metrics."""
    complete = complete_compared
    return many("--primary", shell_complete=complete, metavar="METRIC", help=help_text)


_JUDGING = (
    many(
        "--allow",
        metavar="KEY",
        help="Compare although this differs, e.g. served_context, options.num_ctx; repeatable.",
    ),
    size_option(
        "--catch", f"Change that must be caught, e.g. ttft_s.p50=20%; repeatable. {DEFAULT_CATCH}"
    ),
    size_option("--ignore", "Change to ignore; repeatable. Default: half of the change to catch."),
    primary_option("Metric that decides, in place of the scenario's; repeatable."),
    flag("--strict", help="Call a change only if its whole interval lies beyond what is ignored."),
    flag("--gate", help="The candidate must keep the scenario's thresholds, too."),
)


def compared_pages(*more: Option) -> Option:
    """The options that say what comes out, in which form; `tell` takes `shown` and `also`."""
    shown = page_options(*more, formats=FORMATS)
    return lambda command: shown(also_write(FORMATS)(command))


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


judging_options = gathered(judging_of, "rules", *_JUDGING)
"""The options that say how to judge; the command gets `rules`."""


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
    shown: PageOptions,
    also: Sequence[tuple[str, Path]],
    benchstat: Callable[[], str],
    distributions: Callable[[], Sequence[Chart]],
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
        return render(page, name, shown.template)

    for name, path in also:
        write_text(path, rendered(name))
    html = shown.format_name == "html"
    if file := shown.file or (HTML_FILE if html else None):
        write_text(file, rendered(shown.format_name))
        echo(f"Report: {file}\n" if html else f"{file}\n")
        if html and shown.open_report:
            open_page(file)
    elif shown.format_name == "console":
        print_page(shown_page(comparisons, charts=False), console())
    else:
        echo(rendered(shown.format_name))
