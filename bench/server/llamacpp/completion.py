"""Between the seam's words and llama.cpp's: a job as a request, its events as pieces.

Pure functions. The reply's `timings` pass on unchanged in meaning; Ollama (0.30 on) reads its own
durations and counts from the same fields.

Tools work with any model, as in llama.cpp's own generic form: under a grammar the answer is one
JSON object, a call of one of the tools or a response in words. So every call is of a tool that is
there, with arguments that fit. It is delivered whole, as Ollama does; so are the words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.server.engine import Finish, Job, Json, Message, Piece

_SAME_NAME = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p"),
    *("repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty"),
)
_RESPONSE = "response"
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


def instructions(tools: Sequence[Json]) -> Message:
    """The system message that offers the tools."""
    listed = "\n".join(json.dumps(tool.get("function", {}), ensure_ascii=False) for tool in tools)
    return Message(
        role="system",
        content=f"You can call these tools:\n{listed}\nAnswer with one JSON object: "
        '{"name": the tool, "arguments": {...}} to call one, '
        f'or {{"{_RESPONSE}": "..."}} to answer in words.',
    )


def as_text(message: Message) -> Message:
    """A message of an earlier turn with its calls written as the model writes them."""
    if not message.tool_calls:
        return message
    functions = [call.get("function", {}) for call in message.tool_calls]
    calls = [{k: f.get(k) for k in ("name", "arguments")} for f in functions]
    text = "".join(json.dumps(call, ensure_ascii=False) for call in calls)
    return Message(role=message.role, content=message.content + text)


def answer_schema(tools: Sequence[Json]) -> Json:
    """The JSON schema of an answer: a call of one of the tools, or a response."""
    calls = [_call_schema(tool.get("function", {})) for tool in tools]
    return {"anyOf": [*calls, _object({_RESPONSE: {"type": "string"}})]}


def read_answer(text: str, call_id: str) -> Piece:
    """What an answer says; one that was cut off is text as it stands."""
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return Piece(text=text)
    if not isinstance(answer, dict) or "name" not in answer:
        return Piece(text=str(answer.get(_RESPONSE, text)) if isinstance(answer, dict) else text)
    function = {"index": 0, "name": answer["name"], "arguments": answer.get("arguments", {})}
    return Piece(tool_calls=({"id": call_id, "function": function},))


def _call_schema(function: Json) -> Json:
    parameters = function.get("parameters") or {"type": "object"}
    return _object({"name": {"const": function.get("name", "")}, "arguments": parameters})


def _object(properties: dict[str, Json]) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}
