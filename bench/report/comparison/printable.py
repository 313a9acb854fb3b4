"""Text that came from elsewhere, made fit to be shown.

Names of models, cases and folders can hold anything: a control character is not allowed in XML and
moves the cursor of a terminal, half a surrogate pair (a file name that is not UTF-8) cannot be
written at all.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar

# Control characters but tab and line feed, halves of surrogate pairs, and what is no character.
_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SHOWN: Final = "\ufffd"

T = TypeVar("T")


def printable_text(text: str) -> str:
    """The text with a mark in place of every character that cannot be shown."""
    return _UNFIT.sub(_SHOWN, text)


def printable(content: T) -> T:
    """The same content (dataclasses, tuples, texts) with all its texts fit to be shown."""
    return _printable(content)  # type: ignore[no-any-return]


def _printable(content: Any) -> Any:
    if isinstance(content, str):
        return content if isinstance(content, Enum) else printable_text(content)
    if isinstance(content, tuple):
        return tuple(map(_printable, content))
    if is_dataclass(content) and not isinstance(content, type):
        texts = {f.name: getattr(content, f.name) for f in fields(content)}
        changed = {k: new for k, v in texts.items() if (new := _printable(v)) != v}
        return replace(content, **changed) if changed else content
    return content
