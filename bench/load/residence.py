"""Models that a run leaves in the server's memory, or takes out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from bench.errors import BenchError
from bench.load.target import OpenTarget
from bench.ollama.names import same_model
from bench.scenario.plan import Case

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
