"""What differs for a client between the Ollama versions the server can play.

Sources: the recordings in `tests/recordings/ollama-*`, and Ollama's source for what they do not
show. The word "runner era" means the Go runners (up to 0.24), "llama-server era" 0.30 and later.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from bench.errors import EngineError


@dataclass(frozen=True, slots=True)
class EmulatedVersion:
    """One version, and what it does differently.

    Attributes:
        version: as Ollama numbers it.
        metadata_ns: time a warm request spends before it has its runner (it is in load_duration);
            applied to the simulated engine only.
        llama_server: llama-server is the engine (0.30 and later). Of the versions that can be
            played, these also have capabilities and lengths in /api/tags, the role once and a
            finish chunk in streams of /v1 chats, and the tag in the 404 of /api/show.
        cached_count: the done line has `prompt_eval_cached_count` (0.33.3 and later).
    """

    version: str
    metadata_ns: int
    llama_server: bool = True
    cached_count: bool = False

    @property
    def default_repeat_penalty(self) -> float:
        """Of the options."""
        return 1.0 if self.llama_server else 1.1

    def room(self, num_ctx: int) -> int:
        """Most prompt tokens that are taken whole; llama-server keeps one token of headroom."""
        return num_ctx - 1 if self.llama_server else num_ctx

    def automatic_batch(self, context: int) -> int:
        """`num_batch` if none is asked for, by the context of all slots.

        llama-server era: `automaticGenerationBatch`, with memory enough.
        """
        if context <= 4096 or not self.llama_server:
            return 512
        return 1024 if context <= 32768 else 2048

    def prompt_limit(self, num_ctx: int, num_keep: int) -> int:
        """Most prompt tokens that are kept when an over-long prompt is cut.

        llama-server era: `contextShiftPromptLimit` (0.30.11), room for half the context to shift.
        """
        if not self.llama_server:
            return num_ctx
        return num_ctx - max((num_ctx - num_keep) // 2, 1)


DEFAULT_VERSION = "0.32.15"
_LATEST_RECORDED = EmulatedVersion(DEFAULT_VERSION, 1_000_000)
ERAS = {
    era.version: era
    for era in (
        replace(_LATEST_RECORDED, version="0.33.3", cached_count=True),
        _LATEST_RECORDED,
        EmulatedVersion("0.24.0", 36_000_000, llama_server=False),
        EmulatedVersion("0.12.11", 34_000_000, llama_server=False),
    )
}


def era_of(version: str) -> EmulatedVersion:
    """The era of a version the server can play.

    Raises:
        EngineError: it cannot play that version.
    """
    if version in ERAS:
        return ERAS[version]
    near = difflib.get_close_matches(version, ERAS, n=1, cutoff=0.3)
    advice = f"Did you mean {near[0]}? " if near else ""
    raise EngineError(
        f"the server cannot play Ollama {version!r}", f"{advice}It can play: {', '.join(ERAS)}."
    )
