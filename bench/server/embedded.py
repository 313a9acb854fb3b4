"""A server to use from Python: in a process of its own, or on the caller's event loop.

with start_server(profile="test") as server:
    httpx.get(f"{server.url}/api/version")
    ...
records = server.truth
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from bench.children import module_command, scratch_folder
from bench.clock import Clock, RealClock
from bench.errors import EngineError
from bench.server.app import App
from bench.server.config import ServerConfig, build_app
from bench.server.serving import listening
from bench.server.truth import TruthRecord, read_truth

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server.

    Attributes:
        url: its base URL; pid: of its process; version: what /api/version says.
        engine: its engine's name; simulated: whether its numbers are invented.
        models: names of its models.
        truth_path: its truth log.
    """

    url: str
    pid: int
    version: str
    engine: str
    simulated: bool
    models: tuple[str, ...]
    truth_path: Path

    @property
    def truth(self) -> list[TruthRecord]:
        """What it has done so far: one record for each request that has ended."""
        return read_truth(self.truth_path)


@contextmanager
def start_server(
    engine: str = "simulated",
    *,
    profile: str | Path = "test",
    models: Sequence[str] = (),
    port: int = 0,
    faults: Sequence[str] = (),
    fault_plan: str | Path | None = None,
    truth_log: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[EmbeddedServer]:
    """A server in a process of its own, listening when the body begins, stopped when it ends.

    It also stops when this process dies, however that happens.

    Args:
        engine: "simulated" or "llama.cpp".
        profile: name or path of a profile.
        models: GGUF files for llama.cpp.
        port: 0 for any free one.
        faults: as for `--fault`.
        fault_plan: as for `--fault-plan`.
        truth_log: where to keep the truth log; None = a temporary file, gone at the end.
        environment: of the process; None = this one's.
        **settings: further fields of `ServerConfig`, e.g. `num_parallel=4`.

    Raises:
        EngineError: it could not start; its message is the server's.
    """
    with scratch_folder() as folder:
        path = Path(truth_log) if truth_log else folder / "truth.jsonl"
        config = ServerConfig(
            engine=engine,
            profile=str(profile),
            models=tuple(str(model) for model in models),
            port=port,
            truth_log=str(path),
            faults=tuple(faults),
            fault_plan=str(fault_plan) if fault_plan else None,
            **settings,
        )
        process = subprocess.Popen(
            [*module_command("bench.server"), msgspec.json.encode(config).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment) if environment is not None else None,
        )
        try:
            yield _greeting(process, path)
        finally:
            _stop(process)


def _greeting(process: subprocess.Popen[bytes], truth: Path) -> EmbeddedServer:
    """The line the child prints when it listens, or cannot."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise EngineError(f"the embedded server ended at once (exit code {process.wait()})")
    said = json.loads(line)
    if "error" in said:
        raise EngineError(said["error"], said["advice"])
    said["models"] = tuple(said["models"])
    return EmbeddedServer(**said, pid=process.pid, truth_path=truth)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@asynccontextmanager
async def server_here(
    config: ServerConfig | None = None, *, clock: Clock | None = None
) -> AsyncIterator[tuple[App, str]]:
    """A server on this event loop; yields it and its URL. Truth is in `app.state.truth.records`.

    Args:
        config: None = the simulated engine with the profile "test". The port defaults to any.
        clock: real by default.

    Raises:
        EngineError: it could not start.
    """
    config = config or ServerConfig(profile="test", port=0)
    app = build_app(replace(config, port=0), clock or RealClock(), keep_truth=True)
    async with listening(app, config.host, 0) as url:
        yield app, url
