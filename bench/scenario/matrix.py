"""The matrix: lists over options and other keys, one case per combination."""

from __future__ import annotations

import copy
import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from bench.errors import Problem
from bench.scenario.document import Document, Path_, path_text, put_at
from bench.scenario.inconsistent import inconsistencies
from bench.scenario.messages import problems_of, show_value
from bench.scenario.options import OPTION_NAMES, explain
from bench.scenario.schema import Scenario

AXES: dict[str, Path_] = {
    "users": ("load", "closed", "users"),
    "think_time": ("load", "closed", "think_time"),
    "rate": ("load", "open", "rate"),
    "arrivals": ("load", "open", "arrivals"),
    "input_tokens": ("prompts", "synthetic", "input_tokens"),
    "output_tokens": ("prompts", "synthetic", "output_tokens"),
    "language": ("prompts", "synthetic", "language"),
    "cache": ("prompts", "cache"),
    "batch": ("prompts", "batch"),
    "pixels": ("prompts", "images", "pixels"),
    "turns": ("prompts", "conversation", "turns"),
    "scale": ("prompts", "agent", "scale"),
    "head": ("prompts", "agent", "head"),
    "titles": ("prompts", "agent", "titles"),
    "passages": ("prompts", "rag", "passages"),
    "question": ("prompts", "rag", "question"),
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
    return key.removeprefix("options.")


def combinations(scenario: Scenario) -> Iterator[tuple[dict[str, Any], Scenario]]:
    """Every combination of the matrix: the values by short name, and the scenario they make."""
    matrix = dict(scenario.matrix)
    if len(scenario.prompts.batch) > 1:
        matrix["batch"] = list(dict.fromkeys(scenario.prompts.batch))
    keys = list(matrix)
    base = scenario.as_data() | {"matrix": {}}
    for values in itertools.product(*matrix.values()):
        data = copy.deepcopy(base)
        for key, value in zip(keys, values, strict=True):
            put_at(data, AXES[axis_name(key)], value)
        one = Scenario.model_validate(data).located(scenario.source, scenario.directory)
        yield {axis_name(k): v for k, v in zip(keys, values, strict=True)}, one


def matrix_problems(data: dict[str, Any], document: Document) -> list[Problem]:
    """What is wrong with the matrix, key by key and value by value.

    What is wrong outside the matrix does not matter here.
    """
    matrix = data.get("matrix", {})
    if not isinstance(matrix, dict):
        return []
    problems: list[Problem] = []
    for key, values in matrix.items():
        if isinstance(values, list):
            problems += _key_problems(data, document, str(key), values)
    size = math.prod(len(v) for v in matrix.values() if isinstance(v, list))
    if size > MAX_CASES:
        message = f"makes {size:,} combinations, more than the {MAX_CASES} allowed"
        problems.append(Problem("matrix", message, line=document.line(("matrix",))))
    return problems


def _key_problems(
    data: dict[str, Any], document: Document, key: str, values: list[Any]
) -> list[Problem]:
    here: Path_ = ("matrix", key)
    target = AXES.get(axis_name(key))
    message = ""
    if target is None:
        message = _unknown(key)
    elif not values:
        message = "lists nothing: give at least one value"
    elif key != axis_name(key) and axis_name(key) in data["matrix"]:
        message = f"the same key as {axis_name(key)}"
    elif len(target) > 2:
        above = data.get(str(target[0]), _DEFAULT_PARTS[str(target[0])])
        if not isinstance(above, dict) or target[1] not in above:
            place = path_text(target[:2])
            message = f"varies {path_text(target)}, but this scenario has no {place}"
    if message or target is None:
        return [Problem(path_text(here), message, line=document.line(here))]
    problems = []
    for index, value in enumerate(values):
        twice = ["is there twice"] if value in values[:index] else []
        at = (*here, index)
        problems += [
            Problem(path_text(at), message, show_value(value), document.line(at))
            for message in [*twice, *_value_problems(target, value)]
        ]
    return problems


def _value_problems(target: Path_, value: Any) -> list[str]:
    """What is wrong with a value, tried out in a scenario with nothing else to be wrong."""
    if isinstance(value, list) and target[-1] in ("users", "rate"):
        return ["must be one number"]
    data: dict[str, Any] = {}
    if target[:2] == ("load", "open"):
        data["load"] = {"open": {"rate": 1}}
    if target[0] == "prompts":
        needed = {"synthetic": {"input_tokens": 1}}
        data["prompts"] = {} if target[1] in ("conversation", "agent", "rag") else needed
    put_at(data, target, value)
    try:
        Scenario.model_validate(data)
    except ValidationError as error:
        return [problem.message for problem in problems_of(error, Document("", data), data)]
    return []


_DEFAULT_PARTS: dict[str, dict[str, Any]] = {"load": {"closed": {}}, "prompts": {"synthetic": {}}}
"""What a scenario has that does not say it."""


def combined_problems(scenario: Scenario, document: Document) -> list[Problem]:
    """What the values of the matrix make that does not go together."""
    found: dict[str, None] = {}
    for values, one in combinations(scenario):
        for path, message in inconsistencies(one):
            at = ", ".join(f"{k}={show_value(v)}" for k, v in values.items())
            found.setdefault(f"with {at}: {path}: {message}")
    line = document.line(("matrix",))
    return [Problem("matrix", message, line=line) for message in found]


def _unknown(key: str) -> str:
    name = axis_name(key)
    if name == "model":
        return "list several models under models, not in the matrix"
    if why := explain(name):
        return why
    if close := difflib.get_close_matches(name, AXES, n=1):
        return f"cannot be varied; did you mean {close[0]}?"
    return "cannot be varied: give an option of Ollama, or one of " + ", ".join(
        name for name in AXES if name not in OPTION_NAMES
    )


_LONGEST: Final = 40


def axis_text(value: Any) -> str:
    """A value of an axis as text: short, and the same in every run."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        if isinstance(inner, dict):
            return f"{kind}({', '.join(f'{k} {axis_text(v)}' for k, v in inner.items())})"
        return axis_text(inner)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) for v in value):
        return "x".join(map(str, value))  # pixels
    if isinstance(value, list):
        return _short(f"[{', '.join(map(_part, value))}]", value)
    if isinstance(value, dict):
        return _short(", ".join(f"{k} {_part(v)}" for k, v in value.items()), value)
    return _short(" ".join(str(value).split()), value)


def _part(value: Any) -> str:
    """A value among others: in quotes where blanks or commas in it would mislead."""
    if isinstance(value, str) and (value.split() != [value] or {*value} & set(',[]"')):
        return json.dumps(value, ensure_ascii=False)
    return axis_text(value)


def _short(text: str, value: Any) -> str:
    if len(text) <= _LONGEST:
        return text
    identity = text if isinstance(value, str) else repr(value)
    return f"{text[: _LONGEST - 12]}~{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
