"""How a server is set up, and what its parts share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.clock import Clock
from bench.server.engine import Engine, EngineFailure, ModelCard
from bench.server.eras import Era
from bench.server.go import NS
from bench.server.scheduler import Scheduler
from bench.server.stream import Clocks
from bench.server.truth import TruthLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `ollama serve` is told by its environment.

    Attributes:
        num_parallel: slots per model.
        max_loaded: most models in memory.
        max_queue: most requests waiting for a load.
        keep_alive_ns: how long an idle model stays.
        num_ctx: context length if a request has none.
    """

    num_parallel: int = 1
    max_loaded: int = 3
    max_queue: int = 512
    keep_alive_ns: int = 300 * NS
    num_ctx: int = 4096


@dataclass(slots=True, kw_only=True)
class House:
    """One server's parts, handed to the handlers."""

    engine: Engine
    era: Era
    settings: Settings
    clock: Clock
    clocks: Clocks
    scheduler: Scheduler
    truth: TruthLog
    deleted: set[str] = field(default_factory=set)
    copies: dict[str, ModelCard] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def version(self) -> str:
        """What /api/version says: marked, so that nothing here passes for a real measurement."""
        return f"{self.era.version}-ollama-bench.{self.engine.mark}"

    def cards(self) -> dict[str, ModelCard]:
        """The models by name: the engine's, less the deleted ones, and the copies."""
        cards = {c.name: c for c in self.engine.cards() if c.name not in self.deleted}
        return cards | self.copies

    def find(self, name: str) -> ModelCard | None:
        """The model of a name; without a tag "latest" is meant."""
        return self.cards().get(full_name(name))

    def card(self, name: str) -> ModelCard:
        """The model of a name.

        Raises:
            EngineFailure: 404, as chat and generate answer.
        """
        card = self.find(name)
        if card is None:
            raise EngineFailure(f"model '{name}' not found", 404)
        return card


def full_name(name: str) -> str:
    """The name with its tag, without the default registry and namespace."""
    short = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    last = short.rsplit("/", 1)[-1]
    return short if ":" in last else f"{short}:latest"
