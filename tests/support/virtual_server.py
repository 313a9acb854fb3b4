"""The server in virtual time: requests go in as bytes, replies come out with their instants.

No socket is involved: each `Client` is a connection of the server with a transport of ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from wire_conformance import parse

from bench.clock import VirtualClock
from bench.server.app import App
from bench.server.eras import era_of
from bench.server.faults import FaultPlan
from bench.server.settings import ServerSettings
from bench.server.simulated import SimulatedEngine
from bench.server.truth import TruthLog
from bench.simulation.profile import Device, Length, ModelProfile, Profile

MS = 1_000_000


def model(name: str = "m:latest", **changes: Any) -> ModelProfile:
    """A model with round figures: 1 ms a prompt token, 10 ms a step, 50 ms to load, no jitter."""
    values: dict[str, Any] = {
        "name": name,
        "family": "llama",
        "parameters": 1e9,
        "quantization": "Q4_0",
        "size_gb": 1.0,
        "layers": 16,
        "embedding_length": 64,
        "context_length": 8192,
        "cold_load_s": 0.05,
        "warm_load_s": 0.02,
        "prefill_tok_per_s": 1000.0,
        "step_ms": 10.0,
        "output_tokens": Length(median=1000, p95=1000),
    }
    return ModelProfile(**(values | changes))


def virtual_app(
    *models: ModelProfile,
    version: str = "0.32.15",
    faults: FaultPlan | None = None,
    vram_gb: float = 0.0,
    cache_ram_mib: int = 8192,
    **settings: Any,
) -> App:
    """A server with these models (or one); call inside `run_virtual`."""
    profile = Profile(
        name="virtual",
        description="virtual",
        invented=True,
        device=Device(description="none", vram_gb=vram_gb),
        models=models or (model(),),
    )
    clock, era = VirtualClock(), era_of(version)
    engine = SimulatedEngine(
        profile, clock, llama_server=era.llama_server, cache_ram_mib=cache_ram_mib
    )
    truth = TruthLog(keep=True)
    faults = faults or FaultPlan()
    return App(engine, era, ServerSettings(**settings), clock=clock, truth=truth, faults=faults)


class Client(asyncio.Transport):
    """One connection to a server, from the client's side."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app
        self._protocol = app.listener()
        self.writes: list[tuple[int, bytes]] = []
        self.closed = asyncio.Event()
        self._protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """What the server sends, with the instant."""
        self.writes.append((self._app.state.clocks.now_ns(), bytes(data)))

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def send(self, path: str, body: Any, method: str = "POST") -> None:
        """Send one request; the server closes after its reply."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        self._protocol.data_received(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)

    async def lines(self) -> list[dict[str, Any]]:
        """The body's lines, once the reply is complete."""
        await self.closed.wait()
        return [json.loads(line) for line in parse(b"".join(d for _, d in self.writes)).lines]

    async def status(self) -> int:
        """The status, once the reply is complete."""
        await self.closed.wait()
        return parse(b"".join(d for _, d in self.writes)).status


async def ask(app: App, path: str, body: Any, method: str = "POST") -> list[dict[str, Any]]:
    """One request on a connection of its own; the lines of its reply."""
    client = Client(app)
    client.send(path, body, method)
    return await client.lines()


async def later(milliseconds: float, call: Callable[[], None]) -> None:
    """Do something after a while."""
    await asyncio.sleep(milliseconds / 1000)
    call()
