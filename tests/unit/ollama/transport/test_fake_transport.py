"""The in-memory transport, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bench.clock import NS, VirtualClock, run_virtual
from bench.ollama.line_reader import ollama_call
from bench.ollama.scripted import scripted_chat, scripted_error
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.transports import FakeTransport, ScriptedReply

CALL = ollama_call("/api/chat", b"{}", keep_text=True)
LINE = b'{"message":{"content":"a"},"done":false}\n'


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@virtual
async def test_a_chat_to_the_nanosecond() -> None:
    script = scripted_chat(["Hi", " you"], thinking=["hm"], first_s=0.2, gap_s=0.05)
    reply = await FakeTransport([script], VirtualClock()).send(CALL)
    assert (reply.outcome, reply.thinking, reply.answer) == (Outcome.OK, "hm", "Hi you")
    assert list(reply.chunk_ns) == [200_000_000, 250_000_000, 300_000_000, 350_000_000]
    assert (reply.sent_ns, reply.headers_ns, reply.end_ns) == (0, 200_000_000, 350_000_000)
    assert (reply.first_thinking_ns, reply.first_answer_ns) == (200_000_000, 250_000_000)
    assert (reply.server.eval_count, reply.server.eval_duration) == (3, 150_000_000)
    assert reply.server.total_duration == 350_000_000


@virtual
async def test_not_streamed() -> None:
    script = scripted_chat(["Hi", " you"], stream=False)
    reply = await FakeTransport([script], VirtualClock()).send(
        ollama_call("/api/chat", b"{}", stream=False, keep_text=True)
    )
    assert (reply.outcome, reply.answer, len(reply.chunk_ns)) == (Outcome.OK, "Hi you", 0)


@pytest.mark.parametrize(
    ("script", "outcome", "end_s"),
    [
        (scripted_error(404, "model 'x' not found"), Outcome.HTTP_ERROR, 0.001),
        (ScriptedReply(((0.1, LINE),)), Outcome.ABORTED, 0.1),
        (ScriptedReply(((0.1, LINE),), ending="disconnect"), Outcome.DISCONNECTED, 0.1),
        (ScriptedReply(((0.1, LINE),), ending="disconnect", end_s=3), Outcome.DISCONNECTED, 3),
        (ScriptedReply(((0.1, LINE),), ending="hang"), Outcome.TIMEOUT, 120.1),
        (ScriptedReply(ending="hang"), Outcome.TIMEOUT, 600),
        (ScriptedReply(((0.1, b"rubbish\n"),)), Outcome.MALFORMED, 0.1),
        (ScriptedReply(((0.1, b'{"error":"boom"}\n'),)), Outcome.STREAM_ERROR, 0.1),
        (ScriptedReply(connect_error="refused"), Outcome.CONNECT_ERROR, 0),
    ],
)
def test_every_end(script: ScriptedReply, outcome: Outcome, end_s: float) -> None:
    async def main() -> Reply:
        return await FakeTransport([script], VirtualClock()).send(CALL)

    reply = run_virtual(main())
    assert reply.outcome is outcome and reply.error
    assert reply.end_ns == pytest.approx(end_s * NS)


@virtual
async def test_an_empty_piece_is_the_head_alone() -> None:
    script = ScriptedReply(((0.1, b""), *scripted_chat(["a"], first_s=0.5).body))
    reply = await FakeTransport([script], VirtualClock()).send(CALL)
    assert (reply.outcome, reply.headers_ns, len(reply.chunk_ns)) == (Outcome.OK, 0.1 * NS, 2)


@virtual
async def test_time_outs_of_a_thousand_calls_at_once() -> None:
    transport = FakeTransport([ScriptedReply(ending="hang")], VirtualClock())
    calls = [ollama_call("/api/chat", b"", first_byte_s=1 + i / 100) for i in range(1000)]
    replies = await asyncio.gather(*(transport.send(c) for c in calls))
    assert [r.end_ns for r in replies] == [round((1 + i / 100) * NS) for i in range(1000)]


@virtual
async def test_script_as_a_function_and_the_calls_it_got() -> None:
    def script(call: Call, number: int) -> ScriptedReply:
        return scripted_chat([str(number)])

    transport = FakeTransport(script, VirtualClock())
    replies = [await transport.send(CALL) for _ in range(3)]
    assert [r.answer for r in replies] == ["0", "1", "2"]
    assert [sent for sent, _ in transport.calls] == [r.sent_ns for r in replies]


@virtual
async def test_cancellation() -> None:
    transport = FakeTransport([scripted_chat(["a"] * 100)], VirtualClock())
    first, second, third = (transport.send(CALL) for _ in range(3))
    await asyncio.sleep(0.5)
    transport.cancel(first)
    reply = first.result()
    assert (reply.outcome, reply.end_ns) == (Outcome.CANCELLED, NS // 2)
    assert reply.text_chunks == 20 or reply.text_chunks == 21
    assert second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await transport.aclose()
    assert third.result().outcome is Outcome.CANCELLED


def test_hours_take_milliseconds() -> None:
    async def main() -> None:
        transport = FakeTransport([scripted_chat(["a"] * 10, gap_s=100)], VirtualClock())
        for _ in range(10):
            assert (await transport.send(CALL)).outcome is Outcome.OK

    start = time.monotonic()
    run_virtual(main())
    assert time.monotonic() - start < 30
