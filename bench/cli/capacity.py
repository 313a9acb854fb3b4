"""`ollama-bench capacity`: how much load keeps a promise, here and on other machines."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.completion import complete_threshold
from bench.cli.measuring import Measuring, measuring_options
from bench.cli.output import echo, say, tell_not_written
from bench.cli.pages import PATH, PageOptions, file_option, many, page_options, write_text
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.analysis.capacity.probe import By
    from bench.load.session import Settings
    from bench.report.page import Page

PAGE_FILE = "capacity.html"
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")

_slo = many(
    "--slo",
    "promises",
    required=True,
    metavar="EXPR",
    shell_complete=complete_threshold,
    help="What must hold, e.g. 'ttft_s.p95<=2'; repeatable.",
)


class _Finite(click.FloatRange):
    """A number; neither infinite nor "nan", which a `FloatRange` lets through."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


_ABOVE_ZERO = _Finite(0, min_open=True)


class _SearchByDefault(click.Group):
    """`capacity SCENARIO ...` is `capacity search SCENARIO ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, *self.get_help_option_names(ctx)}
        if args and args[0] not in known:
            args = ["search", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_SearchByDefault, short_help="Find the highest load that keeps a promise.")
def command() -> None:
    """Find the highest load that keeps a promise, or predict it for other machines.

    `ollama-bench capacity SCENARIO --slo 'ttft_s.p95<=2'` searches on a running server; `fit` turns
    a run into a profile, and `what-if` asks a profile about other loads and numbers of servers.
    """


@command.command("search", short_help="Search on a running server (the default).")
@click.argument("scenario")
@_slo
@click.option(
    "--by",
    type=click.Choice(["rate", "users", "sessions"]),
    default="rate",
    help="What the load counts.",
)
@click.option("--budget", default="30m", help="Time allowed, e.g. 2h.")
@click.option("--most", "ceiling", type=_ABOVE_ZERO, help="Highest load to try.")
@click.option(
    "--num-parallel",
    "slots_asked",
    type=click.IntRange(1),
    help="What the server was set to, to compare with what is seen.",
)
@click.option(
    "--gpu-memory",
    metavar="SIZE",
    help="Memory of the server's GPUs, e.g. 12GB: what context fits?",
)
@click.option(
    "--kv-cache",
    "cache_type",
    type=click.Choice(sorted(CACHE_TYPES)),
    help="OLLAMA_KV_CACHE_TYPE of the server.",
)
@click.option(
    "--requests-per-hour",
    type=_ABOVE_ZERO,
    help="Translate the answer into people who ask so often.",
)
@click.option("--peak", type=_ABOVE_ZERO, default=1.0, help="Peak factor of these.")
@click.option("--think", type=_Finite(0), help="Translate it into users who pause so many seconds.")
@page_options()
@measuring_options
@click.pass_context
def search(
    context: click.Context,
    /,
    scenario: str,
    promises: tuple[str, ...],
    by: By,
    budget: str,
    gpu_memory: str | None,
    requests_per_hour: float | None,
    peak: float,
    think: float | None,
    shown: PageOptions,
    measuring: Measuring,
    **sought: Any,
) -> None:
    """Search for the highest load at which every promise holds.

    The scenario's load is replaced: first a few users at once, then probes at rising rates (or
    numbers of users, with --by users). Each probe is a test, and the answer is confirmed by a
    longer one. With --by sessions each user plays whole conversations or agents, and promises are
    about their turns: --slo 'user_turn_s.p90<=20'.

    Exit codes: 0 an answer, 1 the promise held at no load, 3 the time did not suffice, 5 this
    program was the limit or the server changed meanwhile, 6 server unreachable.
    """
    from bench.analysis.capacity.promises import parse_promises
    from bench.analysis.capacity.users import UserModel
    from bench.cli.live import view_on
    from bench.commands.run import with_file
    from bench.commands.sizing import find_capacity
    from bench.durations import duration_s
    from bench.report.capacity.capacity_page import capacity_page
    from bench.report.formats import render

    try:
        budget_s = duration_s(budget)
    except ValueError:
        raise UsageError(f"--budget {budget} is no duration: write e.g. 30m or 2h") from None
    if by != "rate" and (requests_per_hour or think is not None):
        raise UsageError(
            f"--by {by} finds {by}, and not a rate that could be translated",
            "Leave out --requests-per-hour and --think, or search with --by rate.",
        )
    gpu_bytes = None if gpu_memory is None else _bytes(gpu_memory)
    settings = measuring.settings()
    parse_promises(promises, by)
    if measuring.dry_run:
        _say_plan(scenario, settings, measuring, by, budget)
        return
    observer, view = view_on(measuring.quiet)
    if not measuring.quiet:
        say(f"Allowed time: {budget}. Promise: {', '.join(promises)}.")
    with view:
        found = find_capacity(
            scenario,
            promises,
            by=by,
            budget_s=budget_s,
            gpu_bytes=gpu_bytes,
            settings=settings,
            observer=observer,
            **sought,
            **measuring.chosen,
        )
    people = UserModel(1, requests_per_hour, peak) if requests_per_hour else None

    def page(charts: bool) -> Page:
        return capacity_page(found.result, people=people, think_s=think, charts=charts)

    run = found.run
    if not measuring.no_report:
        html = render(page(charts=True), "html", shown.template).encode()
        run = with_file(run, PAGE_FILE, html)
    shown.tell(lambda _: page(charts=False), quiet=measuring.quiet)
    tell_not_written(run)
    if not measuring.no_report and (found.path / PAGE_FILE).is_file():
        shown.tell_report(found.path / PAGE_FILE, measuring.quiet)
    if shown.format_name == "console":
        echo(f"{found.path}\n")
    context.exit(int(found.exit_code))


@command.command(short_help="Fit a profile to a run.")
@click.argument("run", type=PATH, metavar="RUN_DIR")
@click.option("--slots", type=click.IntRange(1), help="Of the server. Default: as observed.")
@click.option("--model", help="Which model of the run.")
@file_option("Where to. Default: profile.yaml in the run directory.")
def fit(run: Path, slots: int | None, model: str | None, file: Path | None) -> None:
    """Fit the service model to a run, and write a profile.

    `capacity what-if` and `serve --profile` take the profile. Measure several numbers of users
    before, from one to more than the slots: the scenario concurrency does.
    """
    from ruamel.yaml import YAML

    from bench.commands.fitting import fit_run

    fitted = fit_run(run, slots=slots, model=model)
    path = file or run / "profile.yaml"
    text = io.StringIO()
    YAML().dump(fitted.document, text)
    write_text(path, text.getvalue())
    p = fitted.fit.parameters
    say(
        f"{fitted.fit.requests} requests, {p.slots} slots: prefill "
        f"{1e9 / max(p.prefill_ns_per_token, 1e-3):,.0f} tok/s, a step {p.base_ns / 1e6:.2f} ms "
        f"+ {p.per_sequence_ns / 1e6:.2f} ms a sequence + {p.per_token_ns / 1e3:.2f} ms per 1,000 "
        f"tokens of context; median error of a step {fitted.fit.decode_error:.1%}."
    )
    for caution in fitted.cautions:
        say(f"caution: {caution}")
    echo(f"{path}\n")


@command.command("what-if", short_help="Ask a profile about other loads and servers.")
@click.argument("profile")
@_slo
@click.option("--users", type=_ABOVE_ZERO, help="People to serve.")
@click.option("--requests-per-hour", type=_ABOVE_ZERO, default=6.0)
@click.option("--peak", type=_ABOVE_ZERO, default=1.0, help="Peak factor.")
@click.option("--rate", "rate_per_s", type=_ABOVE_ZERO, help="Arrivals per second.")
@click.option(
    "--trace",
    type=PATH,
    help="File of arrivals: CSV, JSONL or text; Azure's and BurstGPT's columns are known.",
)
@click.option("--time-scale", type=_ABOVE_ZERO, default=1.0, help="Multiplies the trace's times.")
@click.option(
    "--window", "window_s", type=(float, float), help="Seconds of the trace to replay: FROM TO."
)
@click.option("--model", help="Model of the profile. Default: its first.")
@click.option("--slots", type=click.IntRange(1), help="Of each server. Default: the profile's.")
@click.option(
    "--prefill",
    "prefill_factor",
    type=_ABOVE_ZERO,
    default=1.0,
    help="2 = reads prompts twice as fast.",
)
@many(
    "--servers",
    type=click.IntRange(1, 10_000),
    help="Just these numbers of servers; repeatable. Default: search for the fewest.",
)
@click.option(
    "--routing",
    type=click.Choice(["least-loaded", "round-robin", "prefix-affine"]),
    default="least-loaded",
)
@click.option("--seed", type=click.IntRange(0), default=1)
@page_options(file_option("Where to. Default: what-if.html for html, else stdout."))
@click.pass_context
def what_if(
    context: click.Context,
    /,
    profile: str,
    promises: tuple[str, ...],
    users: float | None,
    requests_per_hour: float,
    peak: float,
    shown: PageOptions,
    **options: Any,
) -> None:
    """Predict how many servers a load needs, in virtual time.

    PROFILE is a file written by `capacity fit`, or the name of a shipped (invented) machine.

    Exit codes: 0 an answer, 1 no number of servers suffices.
    """
    from bench.analysis.capacity.users import UserModel
    from bench.commands.what_if import study
    from bench.report.capacity.what_if_page import what_if_page

    people = UserModel(users, requests_per_hour, peak) if users is not None else None
    found = study(profile, promises, people=people, **options)
    shown.tell(lambda charts: what_if_page(found, charts=charts), "what-if.html")
    context.exit(0 if found.needed is not None else 1)


def _say_plan(scenario: str, settings: Settings, measuring: Measuring, by: By, budget: str) -> None:
    from bench.commands.run import make_plan
    from bench.commands.sizing import capacity_plan

    plan = capacity_plan(make_plan(scenario, settings=settings, **measuring.chosen), by)
    where = ", ".join(t.url or t.name for t in plan.targets)
    how = f"probes by {by}, for at most {budget}"
    say(f"{plan.name}: {plan.cases[0].model} on {where}; {how}", err=False)


def _bytes(size: str) -> int:
    """A size in bytes: "12GB", "12GiB"."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(size))
    except ValidationError:
        raise UsageError(f"--gpu-memory {size} is no size: write e.g. 12GB or 12GiB") from None
