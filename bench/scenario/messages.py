"""What pydantic found wrong, in words for whoever wrote the file."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from bench.errors import Problem
from bench.scenario.document import Document, Path_, path_text
from bench.scenario.load_schema import LoadSpec
from bench.scenario.options import explain
from bench.scenario.prompts_schema import Prompts
from bench.scenario.schema import Scenario

_PLAIN = {
    "missing": "is missing",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text; put it in quotes if it looks like something else",
    "list_type": "must be a list, e.g. [1, 2]",
    "dict_type": "must hold keys with values",
    "model_type": "must hold keys with values",
    "invalid_key": "a key must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
"""Pydantic's error types -> our words."""
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_LOOKS_OTHER = re.compile(r"^([-+.\d][\d.eE+-]*|true|false|null|~|)$")
"""Text that would be something else without its quotes."""


def show_value(value: Any) -> str:
    """A value as it would stand in the file, shortened."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{k}: ..." for k in value) + "}"
    elif isinstance(value, str) and _LOOKS_OTHER.match(value):
        text = f'"{value}"'
    else:
        text = str(value)
    text = _CREDENTIALS.sub("//***@", " ".join(text.split()))
    return text if len(text) <= 60 else text[:57] + "..."


def problems_of(error: ValidationError, document: Document, data: Any) -> list[Problem]:
    """Every problem of a validation error, with lines, in the order of the file."""
    merged: dict[tuple[str, str], Problem] = {}
    for detail in error.errors(include_url=False):
        path, value = _reach(data, tuple(detail["loc"]), detail["type"])
        message = _message(detail, path)
        without_value = detail["type"] in ("missing", "extra_forbidden") or isinstance(value, dict)
        shown = "" if without_value else show_value(value)
        text = path_text(path)
        merged.setdefault((text, message), Problem(text, message, shown, document.line(path)))
    return sorted(merged.values(), key=lambda p: p.line)


def exclusive_problems(data: Any, document: Document) -> list[Problem]:
    """Keys of which only one may be given, given together.

    Pydantic looks at this only when everything below is right; here it is found in any case.
    """
    problems = []
    for path, names in _EXCLUSIVE.items():
        part = data.get(path[0])
        given = [name for name in names if isinstance(part, dict) and name in part]
        if len(given) > 1:
            message = f"has {' and '.join(given)}: give exactly one of {', '.join(names)}"
            problems.append(Problem(path_text(path), message, line=document.line(path)))
    return problems


_EXCLUSIVE = {("load",): LoadSpec.one_of, ("prompts",): Prompts.one_of}


def _reach(data: Any, loc: Path_, kind: str) -> tuple[Path_, Any]:
    """The part of an error's place that is really in the file, and the value found there."""
    here = data
    for depth, step in enumerate(loc):
        in_list = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if in_list or (isinstance(here, dict) and step in here):
            here = here[step]
        elif kind == "missing" and step == loc[-1]:
            return loc[: depth + 1], None
        else:
            return loc[:depth], here
    return loc, here


def _message(detail: Any, path: Path_) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "literal_error":
        return "must be " + str(detail["ctx"]["expected"]).replace("'", "")
    if kind in _PLAIN:
        return _PLAIN[kind]
    message: str = detail["msg"]
    return message.replace("Input should be", "must be").replace("Value error, ", "")


def _unknown_key(path: Path_) -> str:
    """What is meant instead: the same key elsewhere, or the nearest by its spelling, here first."""
    name, place = str(path[-1]), tuple(0 if isinstance(step, int) else step for step in path[:-1])
    if place == ("options",) and (why := explain(name)):
        return why
    known = [str(key[-1]) for key in _keys() if key[:-1] == place]
    # What a part of a mix can have is there without a mix, too.
    elsewhere = [key for key in _keys() if place[:1] == key[:1] or key[0] != "mix"]
    names = {str(key[-1]) for key in elsewhere}
    meant = [name] if name in names else []
    if not meant and (near := difflib.get_close_matches(name, known, n=1)):
        return f"unknown key; did you mean {near[0]}?"
    meant = meant or difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    if meant:
        places = [path_text(key) for key in elsewhere if key[-1] == meant[0]]
        more = ", ..." if len(places) > _MOST_PLACES else ""
        return f"unknown key here; did you mean {' or '.join(places[:_MOST_PLACES])}{more}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key"


_MOST_PLACES = 3


@functools.cache
def _keys() -> tuple[Path_, ...]:
    """Where a scenario can have a key, from outside in; 0 stands for every item of a list."""
    schema = Scenario.model_json_schema(mode="validation")

    def below(node: dict[str, Any], path: Path_) -> Iterator[Path_]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        for kind in node.get("anyOf", ()):
            yield from below(kind, path)
        for key, inner in node.get("properties", {}).items():
            yield (*path, key)
            yield from below(inner, (*path, key))
        if "items" in node:
            yield from below(node["items"], (*path, 0))

    return tuple(sorted(dict.fromkeys(below(schema, ())), key=len))
