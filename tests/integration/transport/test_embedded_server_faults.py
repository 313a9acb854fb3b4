"""Every fault of the embedded server becomes the outcome it is, and the same in each transport.

Stamps are held against what the server noted right before each write.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from recorded_exchanges import times
from scripted_wire import Make

from bench.ollama.line_reader import ollama_call
from bench.server.app import App
from bench.server.config import ServerConfig
from bench.server.embedded import server_here
from bench.server.faults import Kind
from bench.wire.exchange import Call, Outcome, Reply

BODY: dict[str, Any] = {
    "model": "sim-small",
    "messages": [{"role": "user", "content": "hello"}],
    "options": {"num_predict": 8, "temperature": 0, "seed": 1},
    "keep_alive": -1,
}
CALL = ollama_call("/api/chat", json.dumps(BODY).encode(), keep_text=True, idle_s=30)
WHOLE = dataclasses.replace(
    CALL, body=json.dumps(BODY | {"stream": False}).encode(), stream=False, first_byte_s=30
)
LINES = 9
"""Of a good stream: eight tokens and the done line."""


async def replies(
    faults: tuple[str, ...], name: str, make: Make, *calls: Call
) -> tuple[list[Reply], App]:
    """The replies to calls one after the other on one transport."""
    async with server_here(ServerConfig(profile="test", faults=faults)) as (app, url):
        transport = make(name, url)
        found = [await transport.send(call) for call in calls]
        await transport.aclose()
        await asyncio.sleep(0.01)
    return found, app


@dataclass(frozen=True)
class Expected:
    """What a fault becomes.

    Attributes:
        error: the whole text, as a pattern.
        lines: how many came, of a stream.
        tokens: what the server says it counted.
        patience_s: time-out of the call, where the fault is a silence.
    """

    outcome: Outcome = Outcome.OK
    error: str = ""
    status: int | None = 200
    lines: int = LINES
    tokens: int | None = 8
    patience_s: float | None = None


def broken(outcome: Outcome, error: str, lines: int = 0, **more: Any) -> Expected:
    """An exchange that did not come to its end."""
    return Expected(outcome, error, lines=lines, tokens=None, **more)


LOST = "the connection broke in mid-reply"
RESET = "the connection broke: Connection reset by peer"
CRASHED = "an error was encountered while running the model: unexpected EOF"
STOPPED = "model runner has unexpectedly stopped, .*"
NOT_JSON = 'not what Ollama sends: .*: \'{"model":"sim-small".*'
MUTE = "no response within 0.2 s of the request"

STREAMED = {
    "reset": broken(Outcome.DISCONNECTED, RESET, status=None),
    "stall:after=0,seconds=60": broken(Outcome.TIMEOUT, MUTE, status=None, patience_s=0.2),
    "stall:after=3,seconds=60": broken(
        Outcome.TIMEOUT, "nothing came for 0.2 s in mid-reply", lines=3, patience_s=0.2
    ),
    "cut:after=0": broken(
        Outcome.DISCONNECTED, "the server closed the connection without a response", status=None
    ),
    "cut:after=3": broken(Outcome.DISCONNECTED, LOST, lines=3),
    "error_line:after=0": broken(Outcome.STREAM_ERROR, CRASHED, lines=1),
    "error_line:after=2": broken(Outcome.STREAM_ERROR, CRASHED, lines=3),
    "no_done": broken(Outcome.ABORTED, "the reply ended without done: true", lines=8),
    "malformed:after=0": broken(Outcome.MALFORMED, NOT_JSON, lines=1),
    "malformed:after=2": broken(Outcome.MALFORMED, NOT_JSON, lines=3),
    "malformed:after=8": broken(Outcome.MALFORMED, NOT_JSON, lines=9),
    "status:status=500": broken(Outcome.HTTP_ERROR, STOPPED, status=500),
    "status:status=503": broken(Outcome.HTTP_ERROR, "server busy, .*", status=503),
    "slow_headers:seconds=0.1": Expected(),
    "slow_headers:seconds=60": broken(Outcome.TIMEOUT, MUTE, status=None, patience_s=0.2),
    "coalesce:lines=4": Expected(),
    "coalesce:lines=20": Expected(),
    "split:parts=3": Expected(),
    "split:parts=30,seconds=0.0005": Expected(),
    "clock_jump:seconds=-7200": Expected(),
    "huge_line:after=2": Expected(),
    "huge_line:after=2,bytes=20000000": broken(
        Outcome.MALFORMED, "a line is longer than 4194304 bytes", lines=2
    ),
    "missing_counts": Expected(tokens=None),
    "absurd_durations": Expected(),
}
UNSTREAMED = {
    "reset": STREAMED["reset"],
    "stall:seconds=60": STREAMED["stall:after=0,seconds=60"],
    "cut": broken(Outcome.DISCONNECTED, LOST),
    "malformed": broken(Outcome.MALFORMED, NOT_JSON),
    "status:status=500": STREAMED["status:status=500"],
    "slow_headers:seconds=0.1": Expected(lines=0),
    "missing_counts": Expected(lines=0, tokens=None),
    "absurd_durations": Expected(lines=0),
}
CASES = [(fault, CALL, e) for fault, e in STREAMED.items()]
CASES += [(fault, WHOLE, e) for fault, e in UNSTREAMED.items()]


def content(reply: Reply) -> dict[str, object]:
    """All of a reply that is no time and does not depend on how the bytes fell into reads."""
    found = {f: getattr(reply, f) for f in Reply.__dataclass_fields__ if not f.endswith("_ns")}
    for timed in ("coalesced", "user_stamps", "server", "created_at_first", "created_at_last"):
        del found[timed]
    if reply.outcome is Outcome.MALFORMED:
        # It quotes the line, in which a time stands that is not always equally long.
        del found["error"]
    found["counts"] = (reply.server.prompt_eval_count, reply.server.eval_count)
    found["lines"] = len(reply.chunk_ns)
    stamped = ("sent_ns", "headers_ns", "first_chunk_ns", "first_answer_ns", "last_text_ns")
    found["stamped"] = [f for f in stamped if getattr(reply, f) is not None]
    return found


@pytest.mark.parametrize(
    ("fault", "call", "expected"),
    CASES,
    ids=[f"{fault}{'' if call.stream else ' whole'}" for fault, call, _ in CASES],
)
async def test_fault(
    fault: str, call: Call, expected: Expected, transports: list[str], make: Make
) -> None:
    """It has its outcome in every transport, all tell the same, and the next request is served."""
    first = call
    if expected.patience_s is not None:
        patience_s = expected.patience_s
        first = dataclasses.replace(call, first_byte_s=patience_s, idle_s=patience_s)
    only_once = f"{fault}{',' if ':' in fault else ':'}requests=1"
    told = []
    for name in transports:
        (reply, after), app = await replies((only_once,), name, make, first, call)
        assert app.state.truth.records[0].fault == fault.partition(":")[0]
        assert (reply.outcome, reply.status) == (expected.outcome, expected.status)
        assert re.fullmatch(expected.error, reply.error, re.DOTALL), reply.error
        assert len(reply.chunk_ns) == expected.lines
        assert reply.server.eval_count == expected.tokens
        stamps = times(reply)
        assert stamps == sorted(stamps)
        assert (after.outcome, after.answer_chars) == (Outcome.OK, 45)
        told.append(content(reply))
    assert told == [told[0]] * len(told)


def test_no_fault_is_left_out() -> None:
    """`refuse` spoils the requests behind it too, so it has a test of its own.

    Faults of what an answer says are in tests/unit/server/test_answers_and_inputs.py.
    """
    answers = {Kind.BAD_JSON, Kind.WRONG_JSON, Kind.UNKNOWN_TOOL, Kind.WRONG_ARGUMENTS}
    assert {f.partition(":")[0] for f in STREAMED} == set(Kind) - {Kind.REFUSE} - answers


async def test_a_reset_in_mid_stream(wire: str, make: Make) -> None:
    """What had not been read yet is lost with it, so how many lines came is left open."""
    (reply,), _ = await replies(("cut:after=3,reset=true",), wire, make, CALL)
    assert (reply.outcome, reply.error) == (Outcome.DISCONNECTED, RESET)
    assert len(reply.chunk_ns) <= 3


async def test_a_fault_does_not_touch_the_next_request(wire: str, make: Make) -> None:
    faults = ("reset:requests=2", "cut:requests=4", "status:requests=6,burst=2")
    found, _ = await replies(faults, wire, make, *[CALL] * 8)
    good, lost, failed = Outcome.OK, Outcome.DISCONNECTED, Outcome.HTTP_ERROR
    assert [r.outcome for r in found] == [good, lost, good, lost, good, failed, failed, good]


async def test_refused_connections(wire: str, make: Make) -> None:
    (first, second), _ = await replies(("refuse:requests=1,seconds=30",), wire, make, CALL, CALL)
    assert (first.outcome, first.error) == (Outcome.DISCONNECTED, RESET)
    assert (second.outcome, second.sent_ns) == (Outcome.CONNECT_ERROR, None)
    assert second.error == "no connection: Connection refused"


async def test_lines_that_share_a_read_are_counted(wire: str, make: Make) -> None:
    (reply,), _ = await replies(("coalesce:lines=4",), wire, make, CALL)
    assert reply.coalesced >= 6
    assert len(set(reply.chunk_ns)) <= LINES - 6


async def test_details_of_what_came(wire: str, make: Make) -> None:
    (huge,), _ = await replies(("huge_line:after=2,bytes=1000000",), wire, make, CALL)
    assert huge.answer_chars > 1_000_000
    (bare,), _ = await replies(("missing_counts",), wire, make, CALL)
    assert bare.server.eval_count is None and bare.server.total_duration is None
    (absurd,), app = await replies(("absurd_durations",), wire, make, CALL)
    assert absurd.server.total_duration == app.state.truth.records[0].metrics["total_duration"]
    (jumped,), _ = await replies(("clock_jump:after=4,seconds=-7200",), wire, make, CALL)
    assert jumped.created_at_last < jumped.created_at_first


async def test_stamps_follow_what_the_server_noted(wire: str, make: Make) -> None:
    """No stamp lies before its write; the kernel's follow it closely whatever this loop does."""
    found, app = await replies((), wire, make, *[CALL] * 5)
    for reply, truth in zip(found, app.state.truth.records, strict=True):
        lags = [c - s for c, s in zip(reply.chunk_ns, truth.line_sent_ns, strict=True)]
        assert min(lags) > -100_000
        if wire == "kernel":
            assert reply.user_stamps == 0
            # Slack: between its note and its write the server's process may be stopped, too.
            assert sorted(lags)[len(lags) // 2] < 100_000_000
