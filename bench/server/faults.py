"""Faults on demand: which request gets which, by rate or by a scripted plan.

On the command line a fault is `KIND:rate=0.1,after=3`; in a plan file (YAML) it is an entry of a
list: `{fault: KIND, requests: [2, 5], after: 3}`. Requests are counted from 1 among those that ask
a model for output. What the kinds do to a reply is in `faulty_wire`.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bench.errors import EngineError
from bench.files import read_file


class Kind(StrEnum):
    """What can go wrong."""

    REFUSE = "refuse"
    """The connection is reset, and for `seconds` new ones are refused."""
    RESET = "reset"
    """The connection is reset before any header."""
    STALL = "stall"
    """After `after` lines nothing is sent for `seconds`."""
    CUT = "cut"
    """After `after` lines the connection ends, in the middle of the body."""
    ERROR_LINE = "error_line"
    """After `after` lines an `{"error": ...}` line ends the stream."""
    NO_DONE = "no_done"
    """The stream ends properly, but without its done line."""
    MALFORMED = "malformed"
    """Line `after` + 1 is not JSON: its second half is missing."""
    STATUS = "status"
    """`status` (500) is answered, to this and the next `burst` - 1 requests."""
    SLOW_HEADERS = "slow_headers"
    """Nothing is sent before `seconds` have passed; then all that was due."""
    COALESCE = "coalesce"
    """`lines` lines go out in one write."""
    SPLIT = "split"
    """Each line goes out in `parts` writes, `seconds` (0.002) apart."""
    CLOCK_JUMP = "clock_jump"
    """From line `after` + 1 on, created_at is `seconds` (3600) off."""
    HUGE_LINE = "huge_line"
    """Line `after` + 1 carries `bytes` (1 MiB) of text more."""
    MISSING_COUNTS = "missing_counts"
    """The done line has no durations and no counts."""
    ABSURD_DURATIONS = "absurd_durations"
    """The done line's durations are impossible: negative, or of years."""
    BAD_JSON = "bad_json"
    """The answer has lost its closing brackets, so it is no JSON."""
    WRONG_JSON = "wrong_json"
    """The answer stands in a list, so it is JSON but fits no schema of an object."""
    UNKNOWN_TOOL = "unknown_tool"
    """A tool is called that was not offered."""
    WRONG_ARGUMENTS = "wrong_arguments"
    """The arguments of a tool call have the wrong types."""


_SECONDS = {
    Kind.REFUSE: 0.5,
    Kind.STALL: 5.0,
    Kind.SLOW_HEADERS: 2.0,
    Kind.SPLIT: 0.002,
    Kind.CLOCK_JUMP: 3600.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault with its details; those that its kind does not use are ignored.

    Attributes:
        kind: what goes wrong.
        rate: probability per request; None if `requests` says which.
        requests: numbers of the requests that get it, from 1.
        after: lines that are sent as usual before it.
        seconds: see the kind; None for the kind's default.
        reset: a cut is a reset, not a plain end.
        status: HTTP status; burst: how many requests in a row get it.
        lines: per write. parts: writes per line. bytes: of a huge line.
    """

    kind: Kind
    rate: float | None = None
    requests: tuple[int, ...] = ()
    after: int = 3
    seconds: float | None = None
    reset: bool = False
    status: int = 500
    burst: int = 1
    lines: int = 4
    parts: int = 3
    bytes: int = 1 << 20

    @property
    def duration_s(self) -> float:
        """`seconds`, or the kind's default."""
        return _SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds


_BOUNDS: dict[str, tuple[float, float]] = {
    "rate": (0, 1),
    "requests": (1, 10**9),
    "after": (0, 10**6),
    "seconds": (-(10**9), 10**9),
    "status": (400, 599),
    "burst": (1, 10**6),
    "lines": (1, 10**6),
    "parts": (1, 10**6),
    "bytes": (0, 2**30),
}


class FaultPlan:
    """Decides, reproducibly, which request gets which fault.

    The first fault that applies to a request is taken.
    """

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._number = 0
        self._burst: list[Fault] = []

    def next(self) -> Fault | None:
        """The fault of the next request."""
        self._number += 1
        if self._burst:
            return self._burst.pop()
        for place, fault in enumerate(self._faults):
            if self._applies(fault, place):
                self._burst = [fault] * (fault.burst - 1)
                return fault
        return None

    def _applies(self, fault: Fault, place: int) -> bool:
        if fault.rate is None:
            return self._number in fault.requests
        return random.Random(f"{self._seed}/{place}/{self._number}").random() < fault.rate


def parse_fault(text: str) -> Fault:
    """`KIND:rate=0.1,after=3` or `KIND:requests=2+5`; without either every request gets it.

    Raises:
        EngineError: it is not one.
    """
    kind, _, rest = text.partition(":")
    details: dict[str, Any] = {"fault": kind.strip()}
    for item in filter(None, rest.split(",")):
        name, equals, value = item.partition("=")
        if not equals:
            raise EngineError(f"--fault {text}: {item!r} is not NAME=VALUE")
        details[name.strip()] = value.split("+") if name.strip() == "requests" else value
    return _fault(details, f"--fault {text}")


def read_plan(path: Path) -> list[Fault]:
    """The faults of a plan file.

    Raises:
        EngineError: the file cannot be read, or is not a plan.
    """
    try:
        entries = YAML(typ="safe", pure=True).load(read_file(path))
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from None
    except (YAMLError, UnicodeError) as error:
        raise EngineError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise EngineError(f"{path} is not a fault plan: it is nested too deeply") from None
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise EngineError(f"{path} is not a fault plan", "It must be a list of {fault: KIND, ...}.")
    return [_fault(entry, f"{path}, entry {i}") for i, entry in enumerate(entries, 1)]


def _fault(details: Mapping[str, Any], where: str) -> Fault:
    kind = str(details.get("fault", ""))
    if kind not in list(Kind):
        raise EngineError(
            f"{where}: there is no fault {kind!r}{_near(kind, [str(k) for k in Kind])}"
        )
    names = [f.name for f in fields(Fault) if f.name != "kind"]
    values = {str(k): v for k, v in details.items() if k != "fault"}
    for name in values:
        if name not in names:
            raise EngineError(f"{where}: a fault has no {name!r}{_near(name, names)}")
    try:
        fault = msgspec.convert({"kind": kind, **values}, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise EngineError(f"{where}: {error}") from None
    for name, (least, most) in _BOUNDS.items():
        value = getattr(fault, name)
        for one in value if isinstance(value, tuple) else (value,):
            # Written so that NaN is out of bounds as well.
            if one is not None and not least <= one <= most:
                raise EngineError(
                    f"{where}: {name} must be from {least:g} to {most:g}, not {one:g}"
                )
    if fault.rate is not None and fault.requests:
        raise EngineError(f"{where}: give a rate or the requests, not both")
    return fault if fault.requests or fault.rate is not None else replace(fault, rate=1.0)


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"
