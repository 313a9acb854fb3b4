"""Environment variables whose values are never written anywhere."""

from __future__ import annotations

HIDDEN = "(hidden)"
"""Written in place of such a value."""

_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "AUTH")


def is_secret(variable: str) -> bool:
    """Whether a variable's name says that its value is a secret."""
    return any(word in variable.upper() for word in _WORDS)
