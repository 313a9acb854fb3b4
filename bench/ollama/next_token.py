"""What a model thinks comes after a text: the request for it, and the reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bench.ollama.replies import decode_answer

_PATH = "/api/generate"
LISTED = 20
"""The most likely tokens that Ollama lists, since 0.12.11."""

END_OF_TEXT = "end of text likeliest"
NO_LIST = "no log-probabilities"
NO_TOKEN = "part of a character"


class _Token(msgspec.Struct):
    token: str = ""
    logprob: float = 0.0


class _Entry(msgspec.Struct):
    top_logprobs: list[_Token] | None = None


class _Reply(msgspec.Struct):
    response: str = ""
    done_reason: str = ""
    prompt_eval_count: int | None = None
    logprobs: list[_Entry] | None = None


@dataclass(frozen=True, slots=True)
class NextToken:
    """What a reply says.

    Attributes:
        tokens: the likeliest as text with natural log-probabilities; empty if there is no list.
        prompt_tokens: tokens of the text, as the server counts; None if it does not say.
        missing: why there is no list; "" if there is one.
    """

    tokens: tuple[tuple[str, float], ...]
    prompt_tokens: int | None
    missing: str = ""


def options(num_ctx: int) -> dict[str, Any]:
    """Options under which the list is the model's own.

    The list is made before temperature and penalties, but what is chosen is not, and a server's
    default may be a penalty.
    """
    return {"num_ctx": num_ctx, "num_predict": 1, "temperature": 0, "repeat_penalty": 1, "seed": 1}


def next_token_request(model: str, text: str, num_ctx: int) -> dict[str, Any]:
    """The body of `/api/generate` that asks for the tokens after a text, as it is."""
    return {
        "model": model,
        "prompt": text,
        "raw": True,
        "stream": False,
        "logprobs": True,
        "top_logprobs": LISTED,
        "options": options(num_ctx),
    }


def read_answer(body: bytes) -> tuple[str, str]:
    """Text and reason of the end of a whole reply of `/api/generate`."""
    reply = decode_answer(body, _Reply, _PATH)
    return reply.response, reply.done_reason


def read_next_token(body: bytes) -> NextToken:
    """The list in a reply.

    Where the end of the text is likeliest Ollama sends no entry at all.

    Raises:
        NotOllama: the reply is something else.
    """
    reply = decode_answer(body, _Reply, _PATH)
    entry = reply.logprobs[0] if reply.logprobs else None
    if entry is not None and entry.top_logprobs:
        tokens = tuple((t.token, t.logprob) for t in entry.top_logprobs)
        return NextToken(tokens, reply.prompt_eval_count)
    if entry is None and not reply.response:
        missing = END_OF_TEXT if reply.done_reason == "stop" else NO_TOKEN
    else:
        missing = NO_LIST
    return NextToken((), reply.prompt_eval_count, missing)
