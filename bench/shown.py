"""Text from outside, made fit to be shown: it is shown, and never obeyed.

Names of models, cases and folders, versions, error texts and histories can hold anything. A control
character moves the cursor of a terminal and is not allowed in XML, a bidirectional control turns
the rest of a line around, half a surrogate pair (a file name that is not UTF-8) cannot be written
at all, and a line that begins with `::error::` is a command to the runner of a CI job.

Every way out has one function that all text from outside goes through: `shown` for terminals, plain
text, XML and pictures; `json_text`, `bench.report.markdown.escape`,
`bench.report.csv.cell_text`, `bench.report.ci_formats` and
`bench.report.ci_formats` build on it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar

# C0 but tab and line feed, DEL and C1; the bidirectional controls (Unicode UAX 9: marks,
# embeddings, overrides, isolates); line and paragraph separators; halves of surrogate pairs; what
# is no character.
_UNFIT: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufffe\uffff]"
)
_HALVES: Final = re.compile("[\ud800-\udfff]")
_MARK: Final = "\ufffd"

# What runners of CI jobs obey. GitHub: "::name ...::" after blanks, "##[name]" anywhere in a line
# (actions/runner, ActionCommand.cs); Azure: "##vso[" anywhere; TeamCity: "##teamcity[".
_COMMAND: Final = re.compile(
    r":(?=:[A-Za-z][\w-]*(?:[^\S\n][^\n]*?)?::)|##(?=\[|vso\[|teamcity\[)", re.IGNORECASE
)

T = TypeVar("T")
_NUMBERS: Final = (float, int, bool)


def printable(text: str) -> str:
    """The text with a mark in place of every character that cannot be shown."""
    return _UNFIT.sub(_MARK, text)


def shown(text: str) -> str:
    """The text as it may stand in any output, at the start of a line, too.

    A blank breaks what a CI job would take for a command of its own.
    """
    if text.isprintable() and "::" not in text and "##" not in text:
        return text  # nearly all are: nothing to look for
    return _COMMAND.sub(lambda found: found.group() + " ", printable(text))


def one_line(text: str) -> str:
    """The text as it may stand in any output, in one line."""
    return shown(" ".join(text.split()))


def json_text(document: bytes) -> str:
    """A JSON document with its content unchanged: what must not be printed is escaped."""
    escaped = _UNFIT.sub(lambda found: f"\\u{ord(found.group()):04x}", document.decode())
    escaped = escaped.replace("##", "#\\u0023")  # what a CI job would obey, in the middle, too
    return escaped if escaped.endswith("\n") else escaped + "\n"


def encodable(text: str) -> str:
    """The text as a JSON document can hold it: halves of surrogate pairs are joined or marked.

    That is how Ollama reads them, too.
    """
    if not _HALVES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def all_shown(content: T, fit: Callable[[str], str] = shown) -> T:
    """The same content (dataclasses, tuples, lists, dicts, texts), fit to be shown throughout."""
    return _all_shown(content, fit)  # type: ignore[no-any-return]


def _all_shown(content: Any, fit: Callable[[str], str]) -> Any:
    """What needs no change stays the same object."""
    kind: Any = type(content)
    if content is None or kind in _NUMBERS:
        return content
    if isinstance(content, str):
        return content if isinstance(content, Enum) else fit(content)
    if kind in (tuple, list):
        items = [_all_shown(item, fit) for item in content]
        same = all(map(operator.is_, items, content))
        return content if same else kind(items)
    if isinstance(content, dict):
        return {_all_shown(k, fit): _all_shown(v, fit) for k, v in content.items()}
    if names := _fields(kind):
        values = [(name, getattr(content, name)) for name in names]
        changed = {k: new for k, v in values if (new := _all_shown(v, fit)) is not v}
        return replace(content, **changed) if changed else content
    return content


@cache
def _fields(kind: type) -> tuple[str, ...]:
    """Those of a dataclass that its constructor takes; none of anything else."""
    return tuple(f.name for f in fields(kind) if f.init) if is_dataclass(kind) else ()
