"""Replies and control replies that are wrong in every way, and what must hold for each of them."""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
from recorded_exchanges import Recorded, held, native, recorded
from scripted_wire import Make, Peer, WireServer

from bench.address import Address
from bench.errors import BenchError
from bench.ollama.control import Control
from bench.wire.exchange import Call, Outcome, Reply, Transport
from bench.wire.http_reader import HttpReader
from bench.wire.reply_reader import ReplyReader

HANG_S = 20.0
"""No exchange here takes a hundredth of it."""
_NUMBERS = [b"9" * 400, b"-1", b"1e400", b"NaN", b"18446744073709551615", b"0.5", b'"12"', b"null"]
_TEXTS = [b"\\ud83d", b"\\u0000", b"\xff\xfe", b"\xed\xa0\xbd", b"\x1b[2J", b"\xe2\x80\xae", b"\\"]
_DEEP = [b"[" * 1500, b'{"a":' * 1500, b"[" * 100_000]
_HTTP = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"5;" + b"x" * 3000 + b"\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    b"HTTP/9.9 999 \xff\r\n",
]
_PARTS = [*_NUMBERS, *_TEXTS, *_DEEP, *_HTTP]


@dataclass
class Figures:
    """What was tried, and what did not hold."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory_mib = memory / (1024 if sys.platform == "linux" else 1024 * 1024)
        told = ", ".join(f"{n} {name}" for name, n in sorted(self.outcomes.items()))
        return (
            f"{self.tried} tried, {len(self.faults)} did not hold; {told}; "
            f"at most {memory_mib:.0f} MiB of memory"
        )


def mutated(wire: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A reply with one to four things wrong with it."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, to = sorted(rng.randrange(len(wire) + 1) for _ in range(2))
        to = min(to, at + 200)
        match rng.randrange(9):
            case 0:
                wire = wire[:at]
            case 1 if wire:
                at = min(at, len(wire) - 1)
                wire = wire[:at] + bytes([wire[at] ^ (1 << rng.randrange(8))]) + wire[at + 1 :]
            case 2:
                wire = wire[:at] + wire[to:]
            case 3:
                wire = wire[:to] + wire[at:]
            case 4:
                wire = wire[:at] + rng.choice(_PARTS) + wire[at:]
            case 5:
                wire = _number_replaced(wire, rng)
            case 6:
                other = rng.choice(others)
                wire = wire[:at] + other[rng.randrange(len(other)) :]
            case 7:
                wire = wire[:at] + rng.randbytes(rng.randrange(1, 40)) + wire[at:]
            case _:
                wire = wire.replace(b"200", rng.choice((b"200", b"500", b"204", b"302")), 1)
    return wire


def _number_replaced(wire: bytes, rng: random.Random) -> bytes:
    places = [
        i for i in range(len(wire) - 1) if wire[i : i + 1] == b":" and wire[i + 1 : i + 2].isdigit()
    ]
    if not places:
        return wire
    start = rng.choice(places) + 1
    end = start
    while wire[end : end + 1].isdigit():
        end += 1
    return wire[:start] + rng.choice(_NUMBERS) + wire[end:]


def storable(reply: Reply) -> None:
    """Whatever came, the reply can be written down, and its stamps make sense."""
    msgspec.json.encode(
        [
            reply.error,
            reply.done_reason,
            reply.server,
            reply.other_fields,
            reply.created_at_first,
            reply.created_at_last,
            reply.remote_model,
            reply.answered_by,
            reply.answer,
            reply.thinking,
            reply.odd,
        ]
    )
    assert reply.outcome is not None and len(reply.error) <= 1000
    assert bool(reply.error) == (reply.outcome is not Outcome.OK)
    assert list(reply.chunk_ns) == sorted(reply.chunk_ns)
    assert reply.coalesced == len(reply.chunk_ns) - len(set(reply.chunk_ns))


def read(wire: bytes, call: Call, rng: random.Random) -> Reply:
    """A reply read without a socket, cut at random places, as a connection does it."""
    reader, http = ReplyReader(call), HttpReader()
    http.start(reader)
    cuts = sorted({rng.randrange(len(wire) + 1) for _ in range(rng.choice((0, 1, 3, 30)))})
    stamp = 0
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        stamp += 1000
        if start < end:
            http.feed(wire[start:end], stamp)
        if http.ended or reader.broken:
            return reader.finish(Outcome.OK, "", stamp)
    outcome, text = http.eof()
    return reader.finish(outcome, text, stamp)


def read_replies(n: int, seed: int) -> Figures:
    """Read mutated replies, and every recorded one cut at every byte of its beginning and end."""
    rng = random.Random(seed)
    seeds = native()
    wires = [s.wire() for s in seeds]
    figures = Figures()
    for wire, call, whole in _cases(seeds, wires, n, rng):
        start = time.process_time()
        try:
            reply = read(wire, call, rng)
            storable(reply)
            assert whole or reply.outcome is not Outcome.OK, "a cut reply was taken for whole"
            assert time.process_time() - start < 2.0
        except Exception as error:
            figures.faults.append(f"{type(error).__name__}: {error}: {wire[:2000]!r}")
            continue
        finally:
            figures.tried += 1
        figures.outcomes[str(reply.outcome)] += 1
    return figures


def _cases(
    seeds: list[Recorded], wires: list[bytes], n: int, rng: random.Random
) -> Iterator[tuple[bytes, Call, bool]]:
    """(bytes, call, whether it could be whole)"""
    for number in range(n // 4):
        place = number % len(seeds)
        wire = wires[place]
        yield wire[: (number * 7) % len(wire)], seeds[place].call, False
    for _ in range(n - n // 4):
        place = rng.randrange(len(seeds))
        yield mutated(wires[place], wires, rng), seeds[place].call, True


async def exchange_replies(name: str, tls: bool, n: int, seed: int, make: Make) -> Figures:
    """Mutated replies over a socket, each followed by a good one that must be what it is."""
    rng = random.Random(seed)
    seeds = [s for s in native() if s.status == 200 and s.chunked]
    wires = [s.wire() for s in seeds]
    figures, planned = Figures(), [b""]

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            wire = planned[0]
            cut = rng.randrange(len(wire) + 1)
            await peer.say(*(p for p in (wire[:cut], wire[cut:]) if p))
            if wire not in wires:
                if rng.random() < 0.1:
                    peer.reset()
                return

    async with WireServer(handler, tls=tls) as server:
        scheme = "https" if tls else "http"
        trust = {"insecure": True} if tls else {}
        transport = make(name, f"{scheme}://127.0.0.1:{server.port}", **trust)
        for _ in range(n):
            place = rng.randrange(len(seeds))
            for good in (False, True):
                planned[0] = wires[place] if good else mutated(wires[place], wires, rng)
                await _exchanged(transport, planned[0], seeds[place], good, figures)
            _forget_closed(server)
        await transport.aclose()
    return figures


def _forget_closed(server: WireServer) -> None:
    server.peers[:] = [p for p in server.peers if not p.writer.is_closing()]


async def _exchanged(
    transport: Transport, wire: bytes, asked: Recorded, good: bool, figures: Figures
) -> None:
    figures.tried += 1
    try:
        async with asyncio.timeout(HANG_S):
            reply = await transport.send(asked.call)
            if good and reply.status is None:
                # The server had closed the connection when the request was on its way already.
                assert reply.outcome in (Outcome.CONNECT_ERROR, Outcome.DISCONNECTED)
                figures.outcomes["crossed"] += 1
                await asyncio.sleep(0.01)
                reply = await transport.send(asked.call)
        storable(reply)
        if good:
            rng = random.Random(0)
            assert held(reply) == held(read(wire, asked.call, rng)), "a good reply came out wrong"
    except Exception as error:
        figures.faults.append(f"{type(error).__name__}: {error}: {wire[:2000]!r}")
        return
    figures.outcomes[str(reply.outcome)] += 1


async def ask_control(n: int, seed: int) -> Figures:
    """Control calls that are answered wrongly: a result or one clear error, never anything else."""
    rng = random.Random(seed)
    seeds = [
        s for s in recorded() if s.path in ("/api/version", "/api/tags", "/api/show", "/api/ps")
    ]
    wires = [s.wire() for s in seeds]
    figures, planned = Figures(), [b""]

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(planned[0])

    async with WireServer(handler) as server:
        address = Address.parse(f"http://127.0.0.1:{server.port}", environ={})
        async with Control.of(address) as control:
            calls: list[Callable[[], object]] = [
                control.version,
                control.tags,
                control.ps,
                lambda: control.show("m"),
                lambda: control.preload("m", {}, "5m", 5.0),
                lambda: _drained(control),
            ]
            for _ in range(n):
                planned[0] = mutated(rng.choice(wires), wires, rng)
                figures.tried += 1
                try:
                    async with asyncio.timeout(HANG_S):
                        await rng.choice(calls)()  # type: ignore[misc]
                    figures.outcomes["answered"] += 1
                except BenchError as error:
                    figures.outcomes[type(error).__name__] += 1
                    if len(error.message) > 1500 or "\n" in error.message:
                        figures.faults.append(f"not one clear message: {error.message[:2000]!r}")
                except Exception as error:
                    figures.faults.append(f"{type(error).__name__}: {error}: {planned[0][:2000]!r}")
                _forget_closed(server)
    return figures


async def _drained(control: Control) -> None:
    async for _ in control.pull("m"):
        pass
