"""Between the seam's words and llama.cpp's: a job as a request, its events as pieces.

Pure functions. The reply's `timings` pass on unchanged in meaning; Ollama (0.30 on) reads its own
durations and counts from the same fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.server.engine import Finish, Job, Piece
from bench.server.llamacpp.tools import answer_schema
from bench.server.model_card import Json

_SAME_NAME = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p"),
    *("repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty"),
)
_RANDOM_SEED = 0xFFFF_FFFF
_NS_PER_MS = 1_000_000
# As Ollama does: an unlimited request may fill the context ten times over.
_CONTEXTS_AT_MOST = 10


def completion_request(job: Job, num_ctx: int) -> dict[str, Json]:
    """The body of llama.cpp's `/completion` for a job.

    `num_ctx`, the tokens of a slot, bounds an unlimited request.
    """
    options = job.options
    body: dict[str, Json] = {
        "prompt": list(job.prompt.tokens),
        "stream": True,
        "cache_prompt": True,
        "return_tokens": True,
        "seed": seed(options.get("seed", -1)),
        "stop": list(job.stop),
    }
    body.update({name: options[name] for name in _SAME_NAME if name in options})
    if "num_keep" in options:
        body["n_keep"] = options["num_keep"]
    predict = options.get("num_predict", -1)
    if predict < 0:
        body["n_predict"] = _CONTEXTS_AT_MOST * num_ctx
    elif predict > 0:  # Ollama leaves a 0 out, and the engine then has no limit
        body["n_predict"] = predict
    if job.format is not None:
        body["json_schema"] = {"type": "object"} if job.format == "json" else job.format
    elif job.tools:
        body["json_schema"] = answer_schema(job.tools)
    if job.logprobs:
        body["n_probs"] = max(1, job.top_logprobs)
    return body


def seed(value: int) -> int:
    """Ollama's seed as llama.cpp takes it: 32 bits, all ones for a random one."""
    return _RANDOM_SEED if value < 0 else value & _RANDOM_SEED


def finish(event: dict[str, Any], output_tokens: Sequence[int], piece: Piece | None) -> Finish:
    """The end of a completion from its last event.

    llama.cpp counts with a microsecond clock and shows milliseconds with three decimals.

    Raises:
        KeyError: the event carries no `timings`.
    """
    timings = event["timings"]
    return Finish(
        done_reason="length" if event.get("stop_type") == "limit" else "stop",
        prompt_n=timings["prompt_n"],
        cache_n=timings.get("cache_n", 0),
        prompt_ns=round(timings["prompt_ms"] * _NS_PER_MS),
        predicted_n=timings["predicted_n"],
        predicted_ns=round(timings["predicted_ms"] * _NS_PER_MS),
        output_tokens=output_tokens,
        piece=piece,
    )


def logprobs(event: dict[str, Any], top: int) -> tuple[Json, ...]:
    """An event's log-probabilities in Ollama's shape; `top` alternatives per token.

    As Ollama's own runner does, an event without text (the end of the text, a part of a character
    that is held back) brings no entry, and the bytes are those of the text, not the engine's: parts
    of characters all have the bytes of U+FFFD, and a token without text has none.
    """
    if not event.get("content"):
        return ()
    return tuple(
        _logprob(entry)
        | ({"top_logprobs": [_logprob(t) for t in entry["top_logprobs"][:top]]} if top else {})
        for entry in event.get("completion_probabilities", ())
    )


def _logprob(entry: dict[str, Any]) -> dict[str, Json]:
    token = entry["token"]
    kept: dict[str, Json] = {"token": token, "logprob": entry["logprob"]}
    return kept | {"bytes": list(token.encode())} if token else kept
