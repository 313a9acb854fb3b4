"""What differs for a client between the Ollama versions the server can play.

Sources: the recordings in `tests/recordings/ollama-*`, and Ollama's source for what they do not
show. The word "runner era" means the Go runners (up to 0.24), "llama-server era" 0.30 and later.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from bench.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedVersion:
    """One version, and what it does differently.

    Attributes:
        version: as Ollama numbers it.
        llama_server: 0.30 and later: llama-server is the engine.
        metadata_ns: time a warm request spends before it has its runner (it is in load_duration);
            applied to the simulated engine only.
        default_repeat_penalty: of the options.
        rich_tags: /api/tags has capabilities, context_length and embedding_length.
        new_v1: /v1 chat streams send the role once and a separate finish chunk.
        show_full_name: the 404 of /api/show names the model with its tag.
        cached_count: the done line has `prompt_eval_cached_count` (0.33.3 and later).
    """

    version: str
    llama_server: bool
    metadata_ns: int
    default_repeat_penalty: float
    rich_tags: bool
    new_v1: bool
    show_full_name: bool
    cached_count: bool = False

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


_LATEST_RECORDED = EmulatedVersion(
    version="0.32.15",
    llama_server=True,
    metadata_ns=1_000_000,
    default_repeat_penalty=1.0,
    rich_tags=True,
    new_v1=True,
    show_full_name=True,
)
ERAS = {
    era.version: era
    for era in (
        replace(_LATEST_RECORDED, version="0.33.3", cached_count=True),
        _LATEST_RECORDED,
        EmulatedVersion(
            version="0.24.0",
            llama_server=False,
            metadata_ns=36_000_000,
            default_repeat_penalty=1.1,
            rich_tags=False,
            new_v1=False,
            show_full_name=False,
        ),
        EmulatedVersion(
            version="0.12.11",
            llama_server=False,
            metadata_ns=34_000_000,
            default_repeat_penalty=1.1,
            rich_tags=False,
            new_v1=False,
            show_full_name=False,
        ),
    )
}
DEFAULT_VERSION = "0.32.15"


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
