"""From a scenario file or a shipped name to a `Scenario`, with every error at once."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import Problem, ScenarioError, UsageError
from bench.resources import resource_dir
from bench.scenario.document import Document, Path_, parse_value, path_text, put_at, read_document
from bench.scenario.inconsistent import inconsistencies
from bench.scenario.matrix import combined_problems, matrix_problems
from bench.scenario.messages import exclusive_problems, problems_of, show_value
from bench.scenario.promptfile import read_prompt_file
from bench.scenario.schema import Scenario
from bench.scenario.session_files import session_file
from bench.scenario.traces import load_trace
from bench.scenario.work_cases import format_value, images, replay, tools
from bench.shown import all_shown, encodable


def load_scenario(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    cwd: Path | None = None,
) -> Scenario:
    """Reads and checks a scenario.

    Args:
        source: path of a file, name of a shipped scenario, or its keys as a dict.
        overrides: `path=value` each, e.g. `load.closed.users=4`; the value is YAML.
        cwd: what a relative path is relative to; the current folder if not given.

    Raises:
        ScenarioError: the file is wrong; it carries every problem found.
        UsageError: there is no such file or scenario.
    """
    folder = cwd or Path.cwd()
    if isinstance(source, Mapping):
        document = Document("scenario", {str(key): value for key, value in source.items()})
        return resolve(document, overrides, source="", directory=folder)
    source = str(source)
    path = folder / source
    if not path.exists() or path.is_dir():
        if "/" in source or "\\" in source or Path(source).suffix in (".yaml", ".yml"):
            if path.is_dir():
                raise UsageError(f"{source} is a folder, not a scenario file")
            raise UsageError(f"there is no scenario file {source}")
        path = scenario_path(source)
    document = read_document(path, source)
    document.data.setdefault("name", path.stem)
    return resolve(document, overrides, source=source, directory=path.parent)


def resolve(
    document: Document, overrides: Sequence[str], *, source: str, directory: Path
) -> Scenario:
    """Applies overrides to the data of a scenario, then checks it.

    Raises:
        ScenarioError: it carries every problem found.
    """
    session_file.cache_clear()  # a notebook may have written it anew
    data = copy.deepcopy(document.data)
    problems, origins = _override(data, overrides)
    data = all_shown(data, encodable)
    problems += _drop_empty(document, data)
    problems += matrix_problems(data, document)
    problems += exclusive_problems(data, document)
    scenario = None
    try:
        scenario = Scenario.model_validate(data).located(source, directory)
    except ValidationError as error:
        problems += problems_of(error, document, data)
    if scenario is not None and not problems:
        problems = _combined(scenario, document)
    if scenario is None or problems:
        blamed = dict.fromkeys(_blame(problems, origins))
        raise ScenarioError(document.file, sorted(blamed, key=lambda problem: problem.line))
    return scenario


def _combined(scenario: Scenario, document: Document) -> list[Problem]:
    """What is wrong though every value alone is right."""
    if scenario.matrix:
        problems = combined_problems(scenario, document)
    else:
        problems = [
            Problem(path, message, line=document.line(parse_path(path)))
            for path, message in inconsistencies(scenario)
        ]
    return problems + _file_problems(scenario, document)


_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def parse_path(text: str) -> Path_:
    """Reads `load.closed.users[2]`.

    Raises:
        ValueError: not such a path.
    """
    found = list(_STEP.finditer(text))
    steps = tuple(m[1] if m[1] is not None else int(m[2]) for m in found)
    if not steps or "".join(m[0] for m in found) != text or isinstance(steps[0], int):
        raise ValueError(f"{text!r} is not a key path such as load.closed.users")
    return steps


def _override(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[list[Problem], dict[str, str]]:
    """Sets each override in the data; gives what was wrong, and which path came from which."""
    problems, origins = [], {}
    for text in overrides:
        key, equals, value = text.partition("=")
        try:
            if not equals:
                raise ValueError("write --set path=value, e.g. --set load.closed.users=4")
            path = parse_path(key.strip())
            put_at(data, path, parse_value(value))
            origins[path_text(path)] = text
        except ValueError as error:
            problems.append(Problem(f"--set {text}", str(error)))
    return problems, origins


def _blame(problems: list[Problem], origins: dict[str, str]) -> list[Problem]:
    """Names the override where a problem came from one."""
    blamed = []
    for problem in problems:
        for path, origin in origins.items():
            # One of the two keys is the other, or is below it.
            longer, shorter = sorted((problem.path, path), key=len, reverse=True)
            if longer == shorter or longer.startswith((f"{shorter}.", f"{shorter}[")):
                message = f"{problem.message} (from --set {origin})"
                problem = Problem(problem.path, message, problem.value)
                break
        blamed.append(problem)
    return blamed


def _drop_empty(document: Document, data: Any, path: Path_ = ()) -> list[Problem]:
    """Takes keys without a value out of the data, and reports them."""
    if path == ("format",):
        return []
    problems = []
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        below = (*path, key)
        if isinstance(value, dict | list):
            problems += _drop_empty(document, value, below)
        elif value is None:
            message = "has no value: write one, or delete the line"
            problems.append(Problem(path_text(below), message, line=document.line(below)))
            if isinstance(data, dict):
                del data[key]
    return problems


def _file_problems(scenario: Scenario, document: Document) -> list[Problem]:
    """Reads the files that the scenario names, to find what is wrong in them now."""
    problems = []

    def check(path: Path_, name: str, read: Callable[..., Any], *given: Any) -> None:
        try:
            read(*given)
        except ValueError as error:
            line, shown = document.line(path), show_value(name) if name else ""
            problems.append(Problem(path_text(path), str(error), shown, line))

    parts: list[tuple[Path_, Scenario]] = [((), scenario)]
    parts += [(("mix", i), part) for i, part in enumerate(scenario.parts().values())]
    for above, one in parts:
        if above and one.prompts == scenario.prompts:
            continue
        given, at = one.prompts, (*above, "prompts")
        if given.file is not None:
            how = (given.split, given.columns, given.encoding)
            check((*at, "file"), given.file, read_prompt_file, one.directory / given.file, *how)
        check((*at, "images", "files"), "", images, one)
        check((*at, "sessions", "file"), "", replay, one)
    trace = scenario.load.open.arrivals.trace if scenario.load.open else None
    if trace is not None:
        file, at = scenario.directory / trace.file, ("load", "open", "arrivals", "trace", "file")
        check(at, trace.file, load_trace, file, trace.window)
    check(("tools",), "", tools, scenario)
    check(("format",), "", format_value, scenario)
    return problems


def scenario_names() -> tuple[str, ...]:
    """Names of the shipped scenarios, sorted."""
    return tuple(sorted(path.stem for path in resource_dir("scenarios").glob("*.yaml")))


def headline(scenario: Scenario) -> str:
    """What it measures: the first sentence of its description, without its last mark."""
    return re.split(r"(?<=[.:])\s", scenario.description.strip())[0].rstrip(":.")


def scenario_path(name: str) -> Path:
    """The file of a shipped scenario.

    Raises:
        UsageError: there is none of this name; the message names the nearest.
    """
    names = scenario_names()
    if name in names:
        return resource_dir("scenarios") / f"{name}.yaml"
    close = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {close[0]}?" if close else f"shipped are: {', '.join(names)}"
    raise UsageError(f"there is no scenario {name!r}, neither as a file nor shipped", advice)
