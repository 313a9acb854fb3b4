"""How Go writes JSON, times and durations, so that replies are Ollama's to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

NS = 1_000_000_000
FOREVER_NS = 2**63 - 1
"""Go's longest duration, about 292 years: what a negative keep_alive means."""

_ESCAPED = re.compile("[<>&\u2028\u2029]")
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": NS,
    "m": 60 * NS,
    "h": 3600 * NS,
}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)", re.ASCII)


def dumps(value: Any) -> str:
    """A value as `encoding/json` writes it: compact, keys in the given order, `<>&` escaped."""
    match value:
        case str():
            return _ESCAPED.sub(lambda m: f"\\u{ord(m[0]):04x}", _quote(value))
        case bool() | None:
            return json.dumps(value)
        case int():
            return str(value)
        case float() | np.floating():
            return _number(value)
        case Mapping():
            return "{" + ",".join(f"{dumps(str(k))}:{dumps(v)}" for k, v in value.items()) + "}"
        case Iterable():
            return "[" + ",".join(map(dumps, value)) + "]"
    raise TypeError(f"{type(value).__name__} is not JSON")


_quote = json.JSONEncoder(ensure_ascii=False).encode


def _number(value: Any) -> str:
    """A float with the fewest digits; Go uses exponents below 1e-6 and from 1e21 on only.

    A numpy float32 gets the digits of a float32, as Go's does.
    """
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return np.format_float_positional(value, trim="-")
    mantissa, _, exponent = np.format_float_scientific(value, trim="-").partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0').rjust(2, '0')}".replace("e-0", "e-")


def rfc3339(wall_ns: int) -> str:
    """Wall time (ns since 1970) as time.RFC3339Nano in UTC: trailing zeros dropped."""
    seconds, ns = divmod(wall_ns, NS)
    fraction = f".{ns:09d}".rstrip("0") if ns else ""
    return f"{_whole_second(seconds)}{fraction}Z"


_last_second: tuple[int, str] = (-1, "")


def _whole_second(seconds: int) -> str:
    """The date and time of a second; the last one is remembered, for streams ask often."""
    global _last_second
    if seconds != _last_second[0]:
        moment = datetime.fromtimestamp(seconds, UTC)
        _last_second = (seconds, moment.strftime("%Y-%m-%dT%H:%M:%S"))
    return _last_second[1]


def parse_duration(text: str) -> int:
    """A Go duration ("1h30m", "300ms") in nanoseconds.

    Raises:
        ValueError: worded as time.ParseDuration words it.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    while term := _TERM.match(rest):
        number, unit = term.groups()
        if not unit:
            raise ValueError(f"time: missing unit in duration {dumps(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {dumps(unit)} in duration {dumps(text)}")
        total += int(min(float(number) * _UNITS[unit], 2.0 * FOREVER_NS))
        rest = rest[term.end() :]
        if not rest and total <= FOREVER_NS:
            return -total if text.startswith("-") else total
    raise ValueError(f"time: invalid duration {dumps(text)}")


def parse_keep_alive(value: Any) -> int:
    """`keep_alive` in nanoseconds: a number of seconds or a Go duration; negative means forever.

    Raises:
        ValueError: worded as Ollama words it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        composite = "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
        name = "bool" if isinstance(value, bool) else composite
        raise ValueError(f"Unsupported type: '{name}'")
    ns = parse_duration(value) if isinstance(value, str) else value * NS
    return FOREVER_NS if ns < 0 else int(min(ns, FOREVER_NS))


def human_number(count: int) -> str:
    """A count as Ollama words it (`format.HumanNumber`): 134.52M, 3.2B, 8B."""
    for unit, letter, digits in ((10**12, "T", 1), (10**9, "B", 1), (10**6, "M", 2)):
        if count >= unit:
            return f"{count / unit:.{0 if count % unit == 0 else digits}f}{letter}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)
