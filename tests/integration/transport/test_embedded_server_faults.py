"""Every fault of the embedded server becomes the outcome it is, in each transport.

Stamps are held against what the server noted right before each write.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from scripted_wire import Make

from bench.ollama.exchange import Call, Outcome, Reply
from bench.server.app import App
from bench.server.config import ServerConfig
from bench.server.embedded import server_here

BODY = {
    "model": "sim-small",
    "messages": [{"role": "user", "content": "hello"}],
    "options": {"num_predict": 8, "temperature": 0},
    "keep_alive": -1,
}
CALL = Call("/api/chat", json.dumps(BODY).encode(), keep_text=True, idle_s=30)


async def replies(
    faults: tuple[str, ...], name: str, make: Make, calls: int = 1, call: Call = CALL
) -> tuple[list[Reply], App]:
    """The replies to calls one after the other on one transport."""
    async with server_here(ServerConfig(profile="test", faults=faults)) as (app, url):
        transport = make(name, url)
        found = [await transport.send(call) for _ in range(calls)]
        await transport.aclose()
        await asyncio.sleep(0.01)
    return found, app


@pytest.mark.parametrize(
    ("fault", "outcome", "lines"),
    [
        ("reset", Outcome.DISCONNECTED, 0),
        ("cut:after=3", Outcome.DISCONNECTED, 3),
        ("cut:after=3,reset=true", Outcome.DISCONNECTED, None),
        ("error_line:after=2", Outcome.STREAM_ERROR, 3),
        ("no_done", Outcome.ABORTED, 8),
        ("malformed:after=2", Outcome.MALFORMED, 3),
        ("status:status=503", Outcome.HTTP_ERROR, 0),
        ("slow_headers:seconds=0.1", Outcome.OK, 9),
        ("coalesce:lines=4", Outcome.OK, 9),
        ("split:parts=3", Outcome.OK, 9),
        ("clock_jump", Outcome.OK, 9),
        ("huge_line:after=2", Outcome.OK, 9),
        ("missing_counts", Outcome.OK, 9),
        ("absurd_durations", Outcome.OK, 9),
    ],
)
async def test_fault(
    fault: str, outcome: Outcome, lines: int | None, wire: str, make: Make
) -> None:
    (reply,), app = await replies((fault,), wire, make)
    assert app.house.truth.records[0].fault == fault.partition(":")[0]
    assert reply.outcome is outcome
    assert bool(reply.error) == (outcome is not Outcome.OK)
    if lines is not None:
        assert len(reply.chunk_ns) == lines


async def test_a_fault_does_not_touch_the_next_request(wire: str, make: Make) -> None:
    faults = ("reset:requests=2", "cut:requests=4", "status:requests=6")
    found, _ = await replies(faults, wire, make, calls=7)
    good, reset, cut, status = (
        Outcome.OK,
        Outcome.DISCONNECTED,
        Outcome.DISCONNECTED,
        Outcome.HTTP_ERROR,
    )
    assert [r.outcome for r in found] == [good, reset, good, cut, good, status, good]


async def test_refused_connections(wire: str, make: Make) -> None:
    found, _ = await replies(("refuse:requests=1,seconds=30",), wire, make, calls=2)
    assert [r.outcome for r in found] == [Outcome.DISCONNECTED, Outcome.CONNECT_ERROR]


async def test_stall(wire: str, make: Make) -> None:
    impatient = Call(CALL.path, CALL.body, idle_s=0.15)
    (reply,), _ = await replies(("stall:after=3,seconds=30",), wire, make, call=impatient)
    assert (reply.outcome, len(reply.chunk_ns)) == (Outcome.TIMEOUT, 3)


async def test_details_of_what_came(sockets: str, make: Make) -> None:
    (together,), _ = await replies(("coalesce:lines=4",), sockets, make)
    assert together.coalesced >= 6
    (huge,), _ = await replies(("huge_line:after=2,bytes=1000000",), sockets, make)
    assert huge.answer_chars > 1_000_000
    (bare,), _ = await replies(("missing_counts",), sockets, make)
    assert bare.server.eval_count is None and bare.server.total_duration is None
    (absurd,), app = await replies(("absurd_durations",), sockets, make)
    assert absurd.server.total_duration == app.house.truth.records[0].metrics["total_duration"]


async def test_stamps_follow_what_the_server_noted(sockets: str, make: Make) -> None:
    """No stamp lies before its write; the kernel's follow it closely whatever this loop does."""
    found, app = await replies((), sockets, make, calls=5)
    for reply, truth in zip(found, app.house.truth.records, strict=True):
        lags = [c - s for c, s in zip(reply.chunk_ns, truth.line_sent_ns, strict=True)]
        assert min(lags) > -100_000
        if sockets == "kernel":
            assert reply.user_stamps == 0
            # Slack: between its note and its write the server's process may be stopped, too.
            assert sorted(lags)[len(lags) // 2] < 100_000_000
