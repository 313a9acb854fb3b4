"""How a server is set up, and what its parts share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.clock import Clock
from bench.server.engine import Engine, EngineFailure, ModelCard
from bench.server.eras import EmulatedVersion
from bench.server.go import NS
from bench.server.options import load_options
from bench.server.scheduler import Loaded, Scheduler
from bench.server.stream import Clocks
from bench.server.truth import TruthLog, TruthRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What `ollama serve` reads from its environment.

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
class ServerState:
    """One server's parts, handed to the handlers."""

    engine: Engine
    era: EmulatedVersion
    settings: ServerSettings
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
        """The model of a name, in upper or lower case; without a tag "latest" is meant."""
        wanted = full_name(name).lower()
        return next((c for n, c in self.cards().items() if n.lower() == wanted), None)

    def card(self, name: str, missing: str = "") -> ModelCard:
        """The model of a name.

        Raises:
            EngineFailure: 404 with these words, or 400 for what is no name.
        """
        if name and not is_name(name):  # what to say of an empty one is for the caller
            raise EngineFailure("invalid model name", 400)
        card = self.find(name)
        if card is None:
            raise EngineFailure(missing or f"model '{name}' not found", 404)
        return card

    async def acquire(
        self,
        card: ModelCard,
        options: Mapping[str, Any],
        keep_alive_ns: int | None,
        received_ns: int,
        truth: TruthRecord,
        *,
        shift: bool = True,
    ) -> Loaded:
        """The model, loaded as these options want it; see `Scheduler.acquire`."""
        num_ctx, parallel = self.settings.num_ctx, self.settings.num_parallel
        wanted = load_options(
            options, card, self.era, num_ctx=num_ctx, parallel=parallel, shift=shift
        )
        if self.engine.simulated:
            await self.clock.sleep_until(received_ns + self.era.metadata_ns)
        return await self.scheduler.acquire(card, wanted, keep_alive_ns, truth)


_NAME = re.compile(
    r"(?:(?:\w[\w.:-]{0,349}/)?\w[\w-]{0,79}/)?\w[\w.-]{0,79}(?::\w[\w.-]{0,79})?", re.ASCII
)
"""[[HOST/]NAMESPACE/]MODEL[:TAG], as `model.Name` of Ollama takes it."""


def is_name(name: str) -> bool:
    """Whether a model can be called so."""
    return _NAME.fullmatch(name) is not None


def full_name(name: str) -> str:
    """The name with its tag, without the default registry and namespace."""
    short = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    last = short.rsplit("/", 1)[-1]
    return short if ":" in last else f"{short}:latest"
