"""A server during a run: what it is, how it is controlled, how it is loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.ollama.control import ServerVersion
from bench.ollama.names import same_model
from bench.ollama.replies import ResidentModel
from bench.results.run import Residency, RunWarning, TargetInfo
from bench.wire.exchange import Transport


class BlockControl(Protocol):
    """The control calls that a block needs; `bench.ollama.control.Control` has them."""

    async def ps(self) -> tuple[ResidentModel, ...] | None:
        """The models in memory; None where the server cannot tell."""
        ...

    async def preload(
        self, model: str, options: Mapping[str, Any], keep_alive: str | int, timeout_s: float
    ) -> int:
        """Get a model ready; how long that took, in nanoseconds."""
        ...

    async def version(self) -> ServerVersion:
        """The server's version."""
        ...

    async def unload(self, model: str) -> None:
        """Unload a model and wait until it is gone."""
        ...


async def _not_ours() -> str:
    """Of a server that was not started here nothing is known."""
    return ""


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A target of the plan that has been reached and is ready for load.

    Attributes:
        why_ended: tells how a server that was started for the run ended; "" if it has not.
        notes: what its control calls have to say so far.
    """

    info: TargetInfo
    control: BlockControl
    transport: Transport
    why_ended: Callable[[], Awaitable[str]] = _not_ours
    notes: Callable[[], Sequence[RunWarning]] = tuple


def residency(models: tuple[ResidentModel, ...], name: str) -> Residency:
    """What `/api/ps` says of one model."""
    found = next((m for m in models if same_model(m.name, name)), None)
    others = tuple(m.name for m in models if m is not found)
    if found is None:
        return Residency(loaded=False, others=others)
    return Residency(
        loaded=True,
        digest=found.digest,
        size_bytes=found.size_bytes,
        vram_bytes=found.vram_bytes,
        served_context=found.served_context,
        expires_at=found.expires_at,
        others=others,
    )


async def look(control: BlockControl, name: str) -> Residency | None:
    """What `/api/ps` says of one model now; None where the server cannot tell."""
    models = await control.ps()
    return None if models is None else residency(models, name)
