"""JSON, times and durations as Go writes and reads them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.server.go import FOREVER_NS, NS, dumps, parse_duration, parse_keep_alive, rfc3339


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a> & b", '"\\u003ca\\u003e \\u0026 b"'),
        ("\u2028\u2029", '"\\u2028\\u2029"'),
        ('你好 🦙 é\n\t"\\', '"你好 🦙 é\\n\\t\\"\\\\"'),
        (1e-5, "0.00001"),
        (1e-7, "1e-7"),
        (1.5e-9, "1.5e-9"),
        (1e21, "1e+21"),
        (123456789.0, "123456789"),
        (0.0, "0"),
        (-2.0374667644500732, "-2.0374667644500732"),
        (np.float32(-0.02417662), "-0.02417662"),
        ({"b": 1, "a": [True, None]}, '{"b":1,"a":[true,null]}'),
        ((), "[]"),
    ],
)
def test_dumps(value: object, text: str) -> None:
    assert dumps(value) == text


floats = st.floats(-1e15, 1e15)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | floats,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(json_values)
def test_what_is_written_reads_back(value: object) -> None:
    assert json.loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_434_571_408_080_114, "2026-11-23T11:49:31.408080114Z"),
        (1_795_434_571_408_000_000, "2026-11-23T11:49:31.408Z"),
        (1_795_434_571_000_000_010, "2026-11-23T11:49:31.00000001Z"),
    ],
)
def test_times(ns: int, text: str) -> None:
    assert rfc3339(ns) == text


@pytest.mark.parametrize(
    ("text", "ns"),
    [("5m", 300 * NS), ("1h30m", 5400 * NS), ("1.5s", 1_500_000_000), ("-1s", -NS), ("0", 0)],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("5 m", 'time: unknown unit " m" in duration "5 m"'),
        ("5M", 'time: unknown unit "M" in duration "5M"'),
        ("m", 'time: invalid duration "m"'),
        ("5m0", 'time: missing unit in duration "5m0"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_bad_durations(text: str, words: str) -> None:
    with pytest.raises(ValueError) as info:
        parse_duration(text)
    assert str(info.value) == words


def test_keep_alive() -> None:
    assert parse_keep_alive(300) == parse_keep_alive("5m") == 300 * NS
    assert parse_keep_alive(0) == 0
    assert parse_keep_alive(-1) == parse_keep_alive("-1s") == FOREVER_NS
    with pytest.raises(ValueError, match="Unsupported type"):
        parse_keep_alive([1])
