"""What disks, editors, copies and other programs do to the bytes of a file."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

Damage = Callable[[random.Random, bytes], bytes]

ODD_VALUES = (
    *("-1", "0", "1", "-0.5", "1e308", "1e400", "-1e400", "9223372036854775807", "2" + "0" * 18),
    *("9223372036854775808", "-9223372036854775809", "9" * 400, "9" * 5000, "NaN", "Infinity"),
    *("null", "true", "false", '""', '"x"', "[]", "{}", "[null]", '{"a": 1}', "[[[]]]", "[-1]"),
    *('"\\ud83d"', '"\\u0000"', '"\\u001b[31m"', '"' + "y" * 5000 + '"', "[" * 200 + "]" * 200),
    *("[" * 100_000, '{"a":' * 50_000, '"../../../etc/passwd"', '"1970-01-01"', "1.5", '"5"'),
)
"""What may stand where another value stood."""


def flip(rng: random.Random, data: bytes) -> bytes:
    """A few bytes are others."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def zeros(rng: random.Random, data: bytes) -> bytes:
    """A crash left zeros where blocks of the disk were not written."""
    at = rng.randrange(len(data))
    length = rng.choice((16, 512, 4096))
    return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]


def hole(rng: random.Random, data: bytes) -> bytes:
    """A piece is missing in the middle."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 200) :]


def double(rng: random.Random, data: bytes) -> bytes:
    """A piece is there twice."""
    at = rng.randrange(len(data))
    end = at + rng.randrange(1, 400)
    return data[:end] + data[at:end] + data[end:]


def shuffle(rng: random.Random, data: bytes) -> bytes:
    """Lines are in another order."""
    lines = data.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def encoding(rng: random.Random, data: bytes) -> bytes:
    """Another program stored it in its own encoding, or with a mark in front."""
    text = data.decode(errors="replace")
    return rng.choice(
        (
            lambda: text.encode("utf-16"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: text.replace("e", "é").encode("latin-1", "replace"),
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: data.replace(b"\n", b"\r"),
        )
    )()


def insert(rng: random.Random, data: bytes) -> bytes:
    """Something else got in between."""
    at = rng.randrange(len(data) + 1)
    odd = rng.choice(
        (b"\xff\xfe", b"\x00", b"\xed\xa0\x80", b"\x1b[2J", b"[" * 5000, b'"', b"\n\n")
    )
    return data[:at] + odd + data[at:]


def other_file(rng: random.Random, data: bytes) -> bytes:
    """It is some other file."""
    return rng.choice(
        (b"", b"\n", b"{}", b"[]", b"null", b'"x"', b"[" * 100_000, b"\x7fELF" + bytes(500), *_BIG)
    )


_BIG = (b"a" * 3_000_000, b"[1," * 100_000, b"- [" * 3000, b"a: &a [*a, *a]\n", b"{" * 50_000)

_VALUE = re.compile(
    rb'-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|"(?:[^"\\]|\\.)*"(?!\s*:)|true|false|null|\[\]|\{\}'
)


def value(rng: random.Random, data: bytes) -> bytes:
    """One value, or a few, are others: the shape of the file stays."""
    found = list(_VALUE.finditer(data))
    for match in sorted(
        rng.sample(found, min(len(found), rng.choice((1, 1, 1, 4)))),
        reverse=True,
        key=lambda m: m.start(),
    ):
        odd = rng.choice(ODD_VALUES).encode()
        data = data[: match.start()] + odd + data[match.end() :]
    return data


def structure(rng: random.Random, data: bytes) -> bytes:
    """A key or an item is missing, doubled, or has the value of another one."""
    lines = data.splitlines(keepends=True) or [b""]
    number = rng.randrange(len(lines)) if data.count(b"\n{") else None
    try:
        content = json.loads(lines[number] if number is not None else data)
    except ValueError:
        return hole(rng, data)
    places = list(_places(content))
    if not places:
        return b"[]"
    where, key = rng.choice(places)
    other, other_key = rng.choice(places)
    change = rng.choice(("drop", "other", "rename"))
    if change == "drop":
        del where[key]
    elif change == "other":
        where[key] = json.loads(json.dumps(other[other_key]))
    elif isinstance(where, dict):
        where[f"{key}x"] = where.pop(key)
    else:
        where.insert(key, where[key])
    text = json.dumps(content).encode()
    return (
        b"".join([*lines[:number], text + b"\n", *lines[number + 1 :]])
        if number is not None
        else text
    )


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, below in pairs if isinstance(content, dict | list) else ():
        yield content, key
        if isinstance(below, dict | list):
            yield from _places(below)


DAMAGES: dict[str, Damage] = {
    f.__name__: f
    for f in (
        *(flip, cut, zeros, hole, double, shuffle, encoding, insert, other_file),
        *(value, value, structure, structure),
    )
}
_WEIGHTS = {"value": 4, "structure": 4}


def damaged(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """One damaged copy, and what was done to it."""
    names = list(DAMAGES)
    name = rng.choices(names, [_WEIGHTS.get(n, 1) for n in names])[0]
    return name, DAMAGES[name](rng, data) if data else data
