"""What this program can be trusted to on this machine: measured against a server of its own.

A separate process writes chunks on a schedule and notes when (`bench.doctor.null_server`); stamp
error is this program's stamp minus that note, so it holds the server's write and the way through
the kernel as well.
"""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from bench.address import Address
from bench.children import module_command
from bench.clock import NS
from bench.doctor.checkup import Finding, Status, judged
from bench.doctor.null_server import NullRequest
from bench.errors import ServerError
from bench.load.watch import nearest_rank, quiet
from bench.ollama.line_reader import ollama_call
from bench.wire.exchange import Outcome, Reply, Transport
from bench.wire.transports import choose_transport

CHUNKS_PER_S = (1_000, 5_000, 10_000, 20_000, 40_000)
REACHED_SHARE = 0.95

EXACT_MS = 0.2  # stamp errors up to this (p99) are as good as none
USABLE_MS = 1.0  # up to this they are small against any time to a first token
ENOUGH_PER_S = 5_000  # chunks per second that a busy server of one machine may send
TOKENS_PER_S = 30  # of one answer; to say a load in users
_LATE_MS = 5.0
_STREAMS = 100
_STEP_S = 1.5
_SHORT_S = 1.0
_SHORT_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class LoadStep:
    """One load, and how well it was measured.

    Attributes:
        offered_per_s, reached_per_s: chunks per second that were asked for, and that came.
        error_p50_ms, error_p99_ms: stamp error.
        gap_error_p99_ms: error of the gaps between chunks.
        coalesced_share: chunks that shared a read with another.
        server_late_p99_ms: how late the null server itself was: then the machine is the limit.
        cpu_share: of this process, 1.0 = one core full.
    """

    offered_per_s: int
    reached_per_s: float
    error_p50_ms: float
    error_p99_ms: float
    gap_error_p99_ms: float
    coalesced_share: float
    server_late_p99_ms: float
    cpu_share: float

    @property
    def reached(self) -> bool:
        """Whether what was offered came."""
        return self.reached_per_s >= REACHED_SHARE * self.offered_per_s


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was measured.

    Attributes:
        transport: which was used, and `reason` why that one.
        requests_per_s: short requests that are not streamed, as fast as they go.
    """

    transport: str
    reason: str
    steps: tuple[LoadStep, ...]
    requests_per_s: float

    def best(self, error_ms: float) -> LoadStep | None:
        """The highest load whose stamps are as exact as this, with all lower ones as well."""
        best = None
        for step in self.steps:
            if step.error_p99_ms > error_ms or not step.reached:
                break
            best = step
        return best


async def run_self_test(
    transport: str | None = None, loads: Sequence[int] = CHUNKS_PER_S, seconds: float = _STEP_S
) -> SelfTest:
    """Measure this machine's own ceiling; the first load that is not reached is the last.

    Args:
        transport: name of the transport; None = the one that a local server would get.
        loads: chunks per second, ascending.
        seconds: how long each load is held.
    """
    steps: list[LoadStep] = []
    for load in loads:
        async with _null_server(transport) as (wire, _, notes):
            replies, cpu_share = await _stream(wire, load, seconds)
        steps.append(_step(load, replies, notes, cpu_share))
        if not steps[-1].reached:
            break
    async with _null_server(transport) as (wire, reason, _):
        rate = await _short(wire)
    return SelfTest(wire.name, reason, tuple(steps), rate)


@asynccontextmanager
async def _null_server(
    transport: str | None,
) -> AsyncIterator[tuple[Transport, str, dict[str, list[int]]]]:
    """A way to a null server, why this one, and its notes: there when the context has ended."""
    process = await asyncio.create_subprocess_exec(
        *module_command("bench.doctor.null_server"), stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = await process.stdout.readline()
    if not port:
        await process.wait()
        raise ServerError("the self-test's own server did not start", "Its error stands above.")
    address = Address.parse(f"http://127.0.0.1:{int(port)}", environ={})
    notes: dict[str, list[int]] = {}
    try:
        wire, reason = choose_transport(address, transport)
        try:
            yield wire, reason, notes
        finally:
            await wire.aclose()
    finally:
        process.stdin.close()  # it ends by that
        written = await process.stdout.read()
        await process.wait()
    if not written:
        raise ServerError("the self-test's own server ended early", "Its error stands above.")
    notes |= msgspec.json.decode(written, type=dict[str, list[int]])


async def _stream(wire: Transport, load: int, seconds: float) -> tuple[list[Reply], float]:
    """So many chunks per second over many streams, evenly spread; replies and share of a core."""
    gap_ns = _STREAMS * NS // load
    tokens = max(2, round(seconds * NS / gap_ns))
    await wire.open(_STREAMS)
    asked = [NullRequest(True, tokens, gap_ns, gap_ns * i // _STREAMS) for i in range(_STREAMS)]
    calls = [ollama_call("/api/chat", msgspec.json.encode(one)) for one in asked]
    with quiet(wire.name != "httpx"):
        began, cpu = time.monotonic(), time.process_time()
        replies = list(await asyncio.gather(*(wire.send(call) for call in calls)))
        return replies, (time.process_time() - cpu) / (time.monotonic() - began)


async def _short(wire: Transport) -> float:
    """Short requests per second, a few at once."""
    await wire.open(_SHORT_CONNECTIONS)
    call = ollama_call("/api/chat", b'{"stream":false}', stream=False)
    done = 0

    async def ask(until: float) -> None:
        nonlocal done
        while time.monotonic() < until:
            reply = await wire.send(call)
            done += reply.outcome is Outcome.OK

    with quiet(wire.name != "httpx"):  # which may take a while to become so
        began = time.monotonic()
        await asyncio.gather(*(ask(began + _SHORT_S) for _ in range(_SHORT_CONNECTIONS)))
        return done / (time.monotonic() - began)


def _step(
    load: int, replies: Sequence[Reply], notes: dict[str, list[int]], cpu_share: float
) -> LoadStep:
    """Compare stamps with notes."""
    errors: list[int] = []
    gap_errors: list[int] = []
    late: list[int] = []
    gap_ns = _STREAMS * NS // load
    for reply in replies:
        noted = notes.get(reply.created_at_first, [])
        stream = [seen - sent for seen, sent in zip(reply.chunk_ns, noted, strict=False)]
        errors += map(abs, stream)
        gap_errors += (abs(b - a) for a, b in pairwise(stream))
        late += (sent - noted[0] - k * gap_ns for k, sent in enumerate(noted))
    stamps = [stamp for r in replies if r.outcome is Outcome.OK for stamp in r.chunk_ns]
    span_ns = max(stamps, default=0) - min(stamps, default=0) + gap_ns // _STREAMS
    # The done line mostly comes right behind the last token.
    shared = max(0, sum(r.coalesced for r in replies) - len(replies))
    return LoadStep(
        offered_per_s=load,
        reached_per_s=len(stamps) * NS / span_ns,
        error_p50_ms=_ms(errors, 0.5),
        error_p99_ms=_ms(errors, 0.99),
        gap_error_p99_ms=_ms(gap_errors, 0.99),
        coalesced_share=shared / max(1, len(stamps)),
        server_late_p99_ms=_ms(late, 0.99),
        cpu_share=cpu_share,
    )


def _ms(values_ns: Sequence[int], p: float) -> float:
    found = nearest_rank(values_ns, p)
    return float("inf") if found is None else found / 1e6


def ceiling_findings(test: SelfTest) -> list[Finding]:
    """The result of a self-test in words."""
    best, usable = test.best(EXACT_MS), test.best(USABLE_MS)
    short = f"{test.requests_per_s:,.0f} short requests per second, not streamed"
    return [
        Finding("transport", Status.FINE, f"{test.transport}: {test.reason}"),
        _stamps(test, best or usable),
        _trusted(test, usable),
        Finding("requests", Status.FINE, short),
    ]


def _stamps(test: SelfTest, best: LoadStep | None) -> Finding:
    if best is not None:
        said = (
            f"right within {best.error_p99_ms:.3f} ms (p99; p50 {best.error_p50_ms:.3f}) at "
            f"{best.offered_per_s:,} chunks per second"
        )
        return judged("stamp error", best.error_p99_ms <= EXACT_MS, said)
    first = test.steps[0]
    return Finding(
        "stamp error",
        Status.CAUTION,
        f"{first.error_p99_ms:.1f} ms (p99) already at {first.offered_per_s:,} chunks per second",
        "This machine is too busy: stop other work, or measure from another one.",
    )


def _trusted(test: SelfTest, usable: LoadStep | None) -> Finding:
    steps = test.steps
    next_one = steps.index(usable) + 1 if usable is not None else 0
    why = ""
    if next_one < len(steps):
        why = f"; at {steps[next_one].offered_per_s:,} per second {_failed(steps[next_one])}"
    if usable is None:
        return Finding("trusted up to", Status.CAUTION, f"no load that was tried{why}")
    users = usable.offered_per_s // TOKENS_PER_S
    said = (
        f"{usable.offered_per_s:,} chunks per second, which is {users:,} users at {TOKENS_PER_S} "
        f"tokens per second each ({usable.cpu_share:.0%} of a core){why}"
    )
    advice = "Stop other work on this machine, or measure from another one."
    return judged("trusted up to", usable.offered_per_s >= ENOUGH_PER_S, said, advice)


def _failed(step: LoadStep) -> str:
    if step.server_late_p99_ms > _LATE_MS:
        return f"the test's own server was {step.server_late_p99_ms:.0f} ms late"
    if not step.reached:
        return f"only {step.reached_per_s:,.0f} came"
    return f"the stamp error is {step.error_p99_ms:.1f} ms (p99)"
