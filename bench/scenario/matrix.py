"""The matrix: lists over options and other keys, one case per combination."""

from __future__ import annotations

import copy
import difflib
import itertools
import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from bench.errors import Problem
from bench.scenario.document import Document, Path_
from bench.scenario.messages import path_text, problems_of, show_value
from bench.scenario.options import OPTION_NAMES, explain
from bench.scenario.schema import Scenario, inconsistencies

_PATHS: dict[str, Path_] = {
    "users": ("load", "closed", "users"),
    "think_time": ("load", "closed", "think_time"),
    "rate": ("load", "open", "rate"),
    "arrivals": ("load", "open", "arrivals"),
    "input_tokens": ("prompts", "synthetic", "input_tokens"),
    "output_tokens": ("prompts", "synthetic", "output_tokens"),
    "language": ("prompts", "synthetic", "language"),
    "cache": ("prompts", "cache"),
    **{
        key: (key,)
        for key in ("think", "endpoint", "stream", "keep_alive", "format", "system", "raw", "cold")
    },
    **{name: ("options", name) for name in OPTION_NAMES},
}
"""Key of the matrix -> the key of the scenario that it varies."""

MAX_CASES = 500
"""More combinations than this are refused: surely a slip."""


def axis_name(key: str) -> str:
    """The short name of a key of the matrix: `options.num_ctx` is `num_ctx`."""
    return key.removeprefix("options.") if key.startswith("options.") else key


def dump(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain data, as it would be written to a file."""
    return scenario.model_dump(mode="json", by_alias=True, exclude_none=True)


def combinations(scenario: Scenario) -> Iterator[tuple[dict[str, Any], Scenario]]:
    """Every combination of the matrix: the values by short name, and the scenario they make."""
    keys = list(scenario.matrix)
    base = dump(scenario) | {"matrix": {}}
    for values in itertools.product(*scenario.matrix.values()):
        data = copy.deepcopy(base)
        for key, value in zip(keys, values, strict=True):
            _put(data, _PATHS[axis_name(key)], value)
        one = Scenario.model_validate(data).located(scenario.source, scenario.directory)
        yield {axis_name(k): v for k, v in zip(keys, values, strict=True)}, one


def matrix_problems(scenario: Scenario, document: Document) -> list[Problem]:
    """What is wrong with the matrix: keys, each value, and what they make together."""
    problems: list[Problem] = []
    for key, values in scenario.matrix.items():
        problems += _key_problems(scenario, document, key, values)
    if problems:
        return problems
    size = math.prod(len(values) for values in scenario.matrix.values())
    if size > MAX_CASES:
        message = f"makes {size:,} combinations, more than the {MAX_CASES} allowed"
        return [Problem("matrix", message, line=document.line(("matrix",)))]
    return _combined_problems(scenario, document) if scenario.matrix else []


def _key_problems(
    scenario: Scenario, document: Document, key: str, values: list[Any]
) -> list[Problem]:
    here: Path_ = ("matrix", key)
    line = document.line(here)
    if axis_name(key) not in _PATHS:
        return [Problem(path_text(here), _unknown(key), line=line)]
    if not values:
        return [Problem(path_text(here), "lists nothing: give at least one value", line=line)]
    problems = []
    target = _PATHS[axis_name(key)]
    base = dump(scenario) | {"matrix": {}}
    for index, value in enumerate(values):
        where = (*here, index)
        if value in values[:index]:
            problems.append(_at(where, "is there twice", value, document))
        elif (missing := _nothing_to_vary(scenario, target)) and index == 0:
            problems.append(Problem(path_text(here), missing, line=line))
        elif not missing:
            data = copy.deepcopy(base)
            _put(data, target, value)
            try:
                Scenario.model_validate(data)
            except ValidationError as error:
                found = problems_of(error, document, data)
                problems += [_at(where, p.message, value, document) for p in found]
    return problems


def _nothing_to_vary(scenario: Scenario, target: Path_) -> str:
    """Why this scenario has no such key to vary; "" if it has."""
    parts: dict[Path_, Any] = {
        ("load", "closed"): scenario.load.closed,
        ("load", "open"): scenario.load.open,
        ("prompts", "synthetic"): scenario.prompts.synthetic,
    }
    for path, part in parts.items():
        if target[:2] == path and part is None:
            return f"varies {path_text(target)}, but this scenario has no {path_text(path)}"
    return ""


def _combined_problems(scenario: Scenario, document: Document) -> list[Problem]:
    found: dict[str, None] = {}
    for values, one in combinations(scenario):
        for path, message in inconsistencies(one):
            at = ", ".join(f"{k}={show_value(v)}" for k, v in values.items())
            found.setdefault(f"with {at}: {path}: {message}")
    line = document.line(("matrix",))
    return [Problem("matrix", message, line=line) for message in found]


def _at(path: Path_, message: str, value: Any, document: Document) -> Problem:
    return Problem(path_text(path), message, show_value(value), document.line(path))


def _unknown(key: str) -> str:
    name = axis_name(key)
    if name == "model":
        return "list several models under models, not in the matrix"
    if why := explain(name):
        return why
    close = difflib.get_close_matches(name, _PATHS, n=1)
    if close:
        return f"cannot be varied; did you mean {close[0]}?"
    return "cannot be varied: give an option of Ollama, or one of " + ", ".join(
        name for name in _PATHS if name not in OPTION_NAMES
    )


def _put(data: dict[str, Any], path: Path_, value: Any) -> None:
    here: Any = data
    for step in path[:-1]:
        here = here.setdefault(step, {})
    here[path[-1]] = value
