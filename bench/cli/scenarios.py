"""`ollama-bench scenarios`: list, show, check and make scenario files."""

from __future__ import annotations

import re
from pathlib import Path

import click
from rich.syntax import Syntax
from rich.table import Table

from bench.cli.output import console, echo, say
from bench.cli.pages import PATH, many
from bench.cli.planned import range_text
from bench.errors import BenchError, ExitCode, UsageError
from bench.report.units import plural
from bench.resources import resource_dir
from bench.scenario.estimate import duration_text, estimate
from bench.scenario.expand import build_plan
from bench.scenario.jsonschema import json_schema_text
from bench.scenario.loading import headline, load_scenario, scenario_names, scenario_path
from bench.scenario.plan import Load, Plan
from bench.scenario.schema import Scenario
from bench.scenario.understood import notes_text

ANY_MODEL = "MODEL"
"""Stands for the model where a scenario leaves the choice open."""


@click.group(help="List, show, check and make scenario files.")
def command() -> None:
    """The group of scenario commands."""


@command.command("list", help="The scenarios that ship with the program.")
def list_scenarios() -> None:
    """One line a scenario."""
    table = Table(box=None, pad_edge=False)
    for column in ("Name", "Measures", "Cases", "Requests"):
        table.add_column(column, justify="right" if column in ("Cases", "Requests") else "left")
    for name in scenario_names():
        scenario = load_scenario(str(scenario_path(name)))
        cost = estimate(_plan(scenario))
        table.add_row(name, headline(scenario), str(cost.cases), range_text(cost.requests))
    console().print(table)
    say("\nRun one with: ollama-bench run NAME -m MODEL", err=False)


@command.command(help="Print a shipped scenario, or a file of yours.")
@click.argument("name")
def show(name: str) -> None:
    """The file as it stands."""
    path = Path(name) if Path(name).is_file() else scenario_path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    terminal = console()
    if terminal.is_terminal:
        terminal.print(Syntax(text, "yaml", background_color="default"))
    else:
        echo(text)


@command.command(help="Check scenario files: every error at once, and what they would run.")
@click.argument("files", nargs=-1, required=True)
@many("--set", "overrides", metavar="PATH=VALUE", help="Override a key.")
def validate(files: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Checks each file; exit code 2 if any is wrong."""
    wrong = False
    for file in files:
        try:
            scenario = load_scenario(file, overrides)
            plan = _plan(scenario)
        except BenchError as error:
            say(str(error))
            wrong = True
        else:
            _print_plan(file, plan)
    if wrong:
        raise click.exceptions.Exit(ExitCode.USAGE)


@command.command(help="Make a scenario file of your own from a shipped one.")
@click.argument("file", type=PATH)
@click.option("--from", "base", default="quickstart", metavar="NAME")
def new(file: Path, base: str) -> None:
    """Writes the file; never over an existing one."""
    if file.suffix not in (".yaml", ".yml"):
        file = file.with_name(file.name + ".yaml")
    text = scenario_path(base).read_text(encoding="utf-8")
    schema = resource_dir("scenarios") / "schema.json"
    text = text.replace("$schema=schema.json", f"$schema={schema.as_posix()}", 1)
    text = re.sub(r"(?m)^name: .*$", lambda _: f"name: {_name(file.stem)}", text, count=1)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists already", "give another name, or remove it") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
    say(f"{file}: edit it, then: ollama-bench scenarios validate {file}", err=False)


@command.command(help="Print the JSON Schema of scenario files, for editors.")
def schema() -> None:
    """The schema, as it ships."""
    echo(json_schema_text())


def _plan(scenario: Scenario) -> Plan:
    return build_plan(scenario, models=scenario.models or [ANY_MODEL], salt=0)


def _name(stem: str) -> str:
    return re.sub(r"^[^\w]+|[^\w .+-]", "", stem)[:60] or "scenario"


def _limit(load: Load) -> str:
    if load.requests is not None:
        return f"{load.requests:,}"
    if load.sessions is not None:
        return f"all of {plural(load.sessions, 'session')}"
    if load.duration_s is not None:
        return f"{load.duration_s:g} s"
    return f"{len(load.arrivals.times_s) if load.arrivals else 0:,}"  # a trace to its end


def _print_plan(file: str, plan: Plan) -> None:
    cost = estimate(plan)
    say(
        f"{file}: fine. Cases: {cost.cases:,}. Blocks: {cost.blocks:,}. "
        f"Requests: {range_text(cost.requests)} measured, {cost.unmeasured:,} to warm up. "
        f"Time: {duration_text(cost.seconds)}, depending on the server.",
        err=False,
    )
    table = Table(box=None, pad_edge=False)
    for column in ("Case", "Blocks", "Requests per block"):
        table.add_column(column, justify="left" if column == "Case" else "right")
    for case in plan.cases:
        blocks = sum(1 for block in plan.blocks if block.case == case.id)
        load = case.load
        table.add_row(case.id, str(blocks), _limit(load))
    console().print(table)
    if plan.notes:
        say(f"Files:\n{notes_text(plan)}", err=False)
    if plan.thresholds:
        from bench.analysis.run.thresholds import threshold_lines

        say("\n".join(["Thresholds:", *threshold_lines(plan)]), err=False)
