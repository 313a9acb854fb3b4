"""/api/embed, /api/embeddings and what /v1/embeddings needs of them.

What Ollama refuses raises `EngineFailure` in its words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.server.bodies import BadRequest, Fields, keep_alive_of, read_object
from bench.server.engine import Embedding, EngineFailure, EnginePrompt, ModelCard
from bench.server.eras import EmulatedVersion
from bench.server.http_reply import Request
from bench.server.lines import TOO_LONG, llama_server_error
from bench.server.options import merged
from bench.server.scheduler import Loaded
from bench.server.settings import ServerState
from bench.server.truth import TruthRecord

_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of some inputs, and the time they took."""

    vectors: list[NDArray[np.float32]]
    prompt_n: int
    total_ns: int
    load_ns: int


def read_embed(body: bytes, struct: str = "api.EmbedRequest") -> tuple[Fields, list[str]]:
    """A body of /api/embed and its inputs."""
    value = read_object(body, struct)
    value.of("model", str, "")
    given = value.get("input")
    if given is None or given == "":
        return value, []
    inputs = [given] if isinstance(given, str) else given
    if not isinstance(inputs, list) or not all(isinstance(i, str) for i in inputs):
        raise BadRequest("invalid input type")
    return value, inputs


def find_for_embedding(state: ServerState, value: Fields, truth: TruthRecord) -> ModelCard:
    """The model a body names."""
    name = truth.model = value.of("model", str, "")
    if not name:
        raise EngineFailure("model '' not found", 404)
    return state.card(name, f'model "{name}" not found, try pulling it first')


async def embed(
    state: ServerState,
    request: Request,
    card: ModelCard,
    value: Fields,
    inputs: Sequence[str],
    truth: TruthRecord,
    *,
    refusal: int = 501,
) -> Embedded:
    """Load the model and embed the inputs, one after the other.

    `refusal` is the status with which a chat model is refused in the llama-server era.
    """
    options = merged(card, value.of("options", dict, {}), state.era)
    keep_alive_ns = keep_alive_of(value)
    truncate = value.of("truncate", bool, True)
    model = await state.acquire(card, options, keep_alive_ns, request.received_ns, truth)
    try:
        loaded = truth.loaded_ns = state.clocks.now_ns()
        if inputs and state.era.llama_server and "embedding" not in card.capabilities:
            raise EngineFailure(_NO_EMBEDDINGS, refusal)
        embeddings = [await _one(model, text, truncate, state.era) for text in inputs]
    finally:
        state.scheduler.release(model)
    if not inputs:  # only loads the model; no metrics
        return Embedded([], 0, 0, 0)
    prompt_n = sum(e.prompt_n for e in embeddings)
    truth.prompt_tokens, truth.cached_tokens = prompt_n, 0
    return Embedded(
        [np.asarray(e.vector, np.float32) for e in embeddings],
        prompt_n,
        state.clocks.now_ns() - request.received_ns,
        loaded - request.received_ns,
    )


async def _one(model: Loaded, text: str, truncate: bool, era: EmulatedVersion) -> Embedding:
    """One input, in a slot of its own turn."""
    granted = asyncio.Event()
    start = granted.set
    model.slots.enter(start)
    try:
        await granted.wait()
        return await model.runner.embed(await _fit(model, text, truncate, era))
    finally:
        if not model.slots.leave_queue(start):
            model.slots.release()


async def _fit(model: Loaded, text: str, truncate: bool, era: EmulatedVersion) -> str:
    """The text, cut at its end until it fits into the context and, for llama-server, into a batch.

    A pooled embedding needs its whole text in one batch, so a model with a context of 8192 embeds
    2048 tokens whatever is asked (ollama/ollama#14259).
    """
    context, batch = model.options.num_ctx, model.options.batch
    limit = min(context, batch) if era.llama_server else context

    async def length(text: str) -> int:
        return len((await model.runner.render(EnginePrompt(raw=text))).tokens)

    tokens = await length(text)
    if tokens <= limit:
        return text
    if not truncate:
        over = (
            f"input ({tokens} tokens) is too large to process. increase the physical batch size "
            f"(current batch size: {batch})"
        )
        raise BadRequest(TOO_LONG if tokens > context else llama_server_error(over))
    fits, beyond = 0, len(text)  # characters
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if await length(text[:middle]) <= limit:
            fits = middle
        else:
            beyond = middle
    return text[:fits]


def normalised(vector: NDArray[np.float32], dimensions: int = 0) -> NDArray[np.float32]:
    """The vector with length 1, cut to its first dimensions if asked."""
    cut = vector[:dimensions] if dimensions > 0 else vector
    length = float(np.linalg.norm(cut))
    return cut / np.float32(length) if length else cut
