"""A server during a run: what it is, how it is controlled, and which models it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.ollama.control import Control
from bench.ollama.names import same_model
from bench.ollama.replies import ResidentModel
from bench.results.run import Residency, RunWarning, TargetInfo
from bench.scenario.plan import Case
from bench.wire.exchange import Transport


async def _not_ours() -> str:
    """Of a server that was not started here nothing is known."""
    return ""


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A target of the plan that has been reached and is ready for load.

    Attributes:
        why_ended: how a server that was started for the run ended; "" if it has not.
        notes: what its control calls have to say so far.
    """

    info: TargetInfo
    control: Control
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


async def look(control: Control, name: str) -> Residency | None:
    """What `/api/ps` says of one model now; None where the server cannot tell."""
    models = await control.ps()
    return None if models is None else residency(models, name)


_AFTER_RUN_KEEP_ALIVE = "5m"
"""Ollama's own default: what a model gets back that a run had pinned in memory."""


async def make_room(cases: Sequence[Case], targets: Mapping[str, OpenTarget]) -> None:
    """Unload the models of these cases.

    A request that was given up while it waited for its model keeps its place in the server's queue
    until another model goes: all that need a load wait behind it.
    """
    for target, model in {(c.target, c.model) for c in cases}:
        with contextlib.suppress(BenchError):
            await targets[target].control.unload(model)


async def restore_keep_alive(cases: Sequence[Case], targets: Mapping[str, OpenTarget]) -> None:
    """Give models that the run had pinned their usual time in memory back."""
    pinned = {
        (c.target, c.model): c for c in cases if str(c.keep_alive).startswith("-") and not c.cold
    }
    for (name, model), case in pinned.items():
        control = targets[name].control
        with contextlib.suppress(BenchError):
            loaded = await control.ps()
            if loaded is None or any(same_model(m.name, model) for m in loaded):
                await control.preload(model, case.options, _AFTER_RUN_KEEP_ALIVE, 60.0)
