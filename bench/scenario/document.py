"""A YAML file as plain data, with the line of every key: what loading works on.

A file that cannot be read, or is not a YAML mapping, is a ScenarioError.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from bench.errors import Problem, ScenarioError
from bench.files import read_file

Path_ = tuple[str | int, ...]
"""Where something is in the data: keys and list indices."""

MAX_BYTES = 1_000_000
"""A scenario is written by hand; a larger file is some other file."""
MAX_VALUES = 20_000
MAX_DEPTH = 40
"""No scenario has more values, or values deeper in one another."""
_TOO_BIG = "is no scenario: too many values, or values too deep in one another"


def path_text(path: Path_) -> str:
    """`("load", "users", 2)` as `load.users[2]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def put_at(data: dict[str, Any], path: Path_, value: Any) -> None:
    """Sets the value at this place; keys above it that are not there are made.

    Raises:
        ValueError: there cannot be such a place.
    """
    here: Any = data
    for index, step in enumerate(path):
        above = path_text(path[:index])
        if isinstance(step, int):
            if not isinstance(here, list) or step >= len(here):
                raise ValueError(f"{above} has no item {step}")
        elif isinstance(here, list):
            raise ValueError(f"{above} is a list: its first item is {above}[0]")
        elif not isinstance(here, dict):
            raise ValueError(f"{above} is a value, it has no keys")
        elif index < len(path) - 1 and here.get(step) is None:
            here[step] = {}
        if index == len(path) - 1:
            here[step] = value
        here = here[step]


@dataclass(frozen=True, slots=True)
class Document:
    """A scenario file as it was read.

    Attributes:
        file: how messages name it.
        data: plain dicts, lists and scalars.
        lines: 1-based line of every key and list item.
    """

    file: str
    data: dict[str, Any]
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, path: Path_) -> int:
        """The line of this key, or of the nearest thing above it that has one; 0 if none."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get((), 0)


def read_document(path: Path, file: str) -> Document:
    """Reads a scenario file; `file` is how messages name it."""
    try:
        raw = read_file(path, MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise _wrong(file, f"is no scenario: more than {MAX_BYTES:,} bytes long")
        return parse_document(raw.decode("utf-8-sig"), file)
    except IsADirectoryError:
        raise _wrong(file, "is a folder, not a scenario file") from None
    except OSError as error:
        raise _wrong(file, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _wrong(file, "is not a text file in UTF-8") from None


def _wrong(file: str, message: str) -> ScenarioError:
    return ScenarioError(file, [Problem("", message)])


def parse_document(text: str, file: str) -> Document:
    """Reads the text of a scenario file."""
    try:
        if len(text) > _LONG and not _is_readable(text):
            raise _wrong(file, _TOO_BIG)
        root = YAML(typ="safe", pure=True).compose(text)
        if root is not None and _expanded(root, {}) > MAX_VALUES:
            raise _wrong(file, _TOO_BIG)
        data = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        raise ScenarioError(file, [_marked(error)]) from None
    except _UNREADABLE as error:
        raise _wrong(file, f"is not YAML: {_first_line(error)}") from None
    if data is None:
        raise _wrong(file, "is empty: a scenario has at least a load")
    if not isinstance(data, dict):
        what = "a list" if isinstance(data, list) else "a single value"
        raise _wrong(file, f"holds {what}, not keys with values such as `models: [llama3.2]`")
    if not _is_small(data, [MAX_VALUES]):
        raise _wrong(file, _TOO_BIG)
    lines: dict[Path_, int] = {}
    _note_lines(root, (), lines)
    return Document(file, data, lines)


def parse_value(text: str) -> Any:
    """A YAML value as it is written on the command line.

    Raises:
        ValueError: not YAML.
    """
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except _UNREADABLE as error:
        problem = getattr(error, "problem", None) or _first_line(error)
        raise ValueError(f"not a YAML value: {problem}") from None
    if not _is_small(value, [MAX_VALUES]):
        raise ValueError(_TOO_BIG)
    return value


# What ruamel raises for texts that are not YAML, or hold values that Python does not (0x... of
# thousands of digits, `!!bool x`, a month 99).
_UNREADABLE = (
    *(YAMLError, ValueError, RecursionError),
    *(KeyError, TypeError, AttributeError, IndexError, OverflowError),
)
_LONG = 2000
_MAX_BITS = 1024
"""No number that a scenario holds is longer; one of thousands of digits cannot even be shown."""


def _first_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "values too deep in one another"
    return next(iter(str(error).strip().splitlines()), "cannot be understood")


def _is_readable(text: str) -> bool:
    """Whether a long text has few values, and none deep in others: else reading takes minutes."""
    depth = 0
    for number, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if number > 2 * MAX_VALUES or depth > MAX_DEPTH:
            return False
    return True


def _expanded(node: Node, known: dict[int, float]) -> float:
    """How many values a node stands for: aliases and merges can make few bytes endless."""
    if id(node) not in known:
        known[id(node)] = math.inf  # one that holds itself
        below = node.value if isinstance(node, MappingNode | SequenceNode) else ()
        parts = [part for item in below for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_expanded(part, known) for part in parts)
    return known[id(node)]


def _is_small(data: Any, left: list[int], depth: int = 0) -> bool:
    """Whether a walk through the data ends soon: aliases can make few bytes endless."""
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH:
        return False
    if isinstance(data, int) and data.bit_length() > _MAX_BITS:
        return False
    items = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return all(_is_small(item, left, depth + 1) for item in items)


def _note_lines(node: Node, path: Path_, lines: dict[Path_, int]) -> None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            lines[below] = key.start_mark.line + 1
            _note_lines(value, below, lines)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            below = (*path, index)
            lines[below] = item.start_mark.line + 1
            _note_lines(item, below, lines)


def _marked(error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    what = error.problem or error.context or "cannot be understood"
    if isinstance(error, DuplicateKeyError):
        found = re.search(r'found duplicate key "([^"]*)"', what)
        return Problem(found[1] if found else "", "this key is there twice", line=line)
    hint = "; indent with spaces" if "\\t" in what else ""
    return Problem("", f"is not YAML: {what}{hint}", line=line)
