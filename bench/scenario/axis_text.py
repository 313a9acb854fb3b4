"""Values of a matrix as the names of cases show them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

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
