"""The OpenAI-compatible paths: bodies turned into Ollama's, lists of models, embeddings, errors.

What Ollama refuses raises `BadRequest` in its words.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bench.server.bodies import (
    BadRequest,
    CompletionBody,
    Fields,
    check_functions,
    fields_of,
    read_object,
)
from bench.server.embedding import Embedded, normalised, read_embed
from bench.server.engine import Message, ModelCard
from bench.server.go import dumps

_EFFORTS: dict[str, bool | str] = {
    **{level: level for level in ("low", "medium", "high", "max")},
    **{"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"},
}
_OPTIONS: dict[str, type[Any]] = {
    **dict.fromkeys(("max_tokens", "seed"), int),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "temperature", "top_p"), float),
}
_IMAGE = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,")


def error_body(status: int, message: str) -> bytes:
    """An error as /v1 words it."""
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    error = {"message": message, "type": kind, "param": None, "code": None}
    return f"{dumps({'error': error})}\n".encode()


def model_list(cards: list[ModelCard]) -> bytes:
    """GET /v1/models."""
    return f"{dumps({'object': 'list', 'data': [_model(c, c.name) for c in cards]})}\n".encode()


def one_model(card: ModelCard, name: str) -> bytes:
    """GET /v1/models/NAME."""
    return f"{dumps(_model(card, name))}\n".encode()


def _model(card: ModelCard, name: str) -> dict[str, Any]:
    second = datetime.fromisoformat(f"{card.modified_at[:19]}+00:00")
    owner = name.split("/")[-2] if "/" in name else "library"
    return {
        "id": name,
        "object": "model",
        "created": round(second.timestamp()),
        "owned_by": owner,
    }


def embedding_list(embedded: Embedded, value: Fields) -> bytes:
    """The reply of /v1/embeddings."""
    dimensions, model = value.of("dimensions", int, 0), value.of("model", str, "")
    data = []
    for index, vector in enumerate(embedded.vectors):
        unit = normalised(vector, dimensions)
        as_text = str(value.get("encoding_format")).lower() == "base64"
        entry = base64.b64encode(unit.astype("<f4").tobytes()).decode() if as_text else unit
        data.append({"object": "embedding", "embedding": entry, "index": index})
    usage = {"prompt_tokens": embedded.prompt_n, "total_tokens": embedded.prompt_n}
    return f"{dumps({'object': 'list', 'data': data, 'model': model, 'usage': usage})}\n".encode()


def read_embeddings(body: bytes) -> tuple[Fields, list[str]]:
    """A body of /v1/embeddings and its inputs."""
    value, inputs = read_embed(body, "openai.EmbedRequest")
    encoding = value.of("encoding_format", str, "")
    if encoding.lower() not in ("", "float", "base64"):
        raise BadRequest(
            f"Invalid value for 'encoding_format' = {encoding}. "
            "Supported values: ['float', 'base64']."
        )
    value.of("dimensions", int, 0)
    if not inputs and value.get("input") != "":
        raise BadRequest("invalid input")
    return value, inputs or [""]


def read_chat(body: bytes) -> tuple[CompletionBody, bool]:
    """A body of /v1/chat/completions, and whether it wants a usage event."""
    value = read_object(body, "openai.ChatCompletionRequest")
    messages = value.list_of("messages", dict, "openai.Message")
    options = _options(value)
    form = value.of("response_format", dict, {}, "openai.ResponseFormat")
    reasoning = value.of("reasoning", dict, None, "openai.Reasoning")
    effort = value.of("reasoning_effort", str, "")
    if reasoning is not None:
        effort = fields_of(reasoning, "openai.Reasoning").of("effort", str, "")
    tools = value.list_of("tools", dict, "api.Tool")
    check_functions(value, "tools", "api.ToolFunction", tools)
    usage = _include_usage(value)
    if not messages:
        raise BadRequest("[] is too short - 'messages'")
    if effort and effort not in _EFFORTS:
        raise BadRequest(
            f"invalid reasoning value: {dumps(effort)} (must be "
            '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none")'
        )
    return CompletionBody(
        model=value.of("model", str, ""),
        messages=tuple(m for item in messages for m in _messages(item)),
        stream=value.of("stream", bool, False),
        form=_format(fields_of(form, "openai.ResponseFormat")),
        options=options,
        tools=tuple(tools),
        think=_EFFORTS[effort] if effort else None,
        logprobs=value.of("logprobs", bool, False),
        top_logprobs=value.of("top_logprobs", int, 0),
    ), usage


def read_text(body: bytes) -> tuple[CompletionBody, bool]:
    """A body of /v1/completions, and whether it wants a usage event."""
    value = read_object(body, "openai.CompletionRequest")
    return CompletionBody(
        model=value.of("model", str, ""),
        prompt=value.of("prompt", str, ""),
        suffix=value.of("suffix", str, ""),
        stream=value.of("stream", bool, False),
        options=_options(value),
    ), _include_usage(value)


def _include_usage(value: Fields) -> bool:
    options = value.of("stream_options", dict, {}, "openai.StreamOptions")
    return fields_of(options, "openai.StreamOptions").of("include_usage", bool, False)


def _format(form: Fields) -> Any:
    """Ollama's `format` for a response format."""
    kind = form.of("type", str, "").strip().lower()
    if kind == "json_object":
        return "json"
    if kind != "json_schema":
        return None
    return form.of("json_schema", dict, {}, "openai.JsonSchema").get("schema")


def _options(value: Fields) -> dict[str, Any]:
    """Ollama's options; temperature and top_p are 1 here unless given."""
    options: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
    for name, kind in _OPTIONS.items():
        given = value.of(name, kind, None)
        if given is not None:
            options["num_predict" if name == "max_tokens" else name] = given
    stop = value.get("stop")
    if isinstance(stop, str):
        options["stop"] = [stop]
    elif isinstance(stop, list):
        options["stop"] = [text for text in stop if isinstance(text, str)]
    return options


def _messages(item: Mapping[str, Any]) -> list[Message]:
    """One message of the client's; parts of its content become messages of their own."""
    value = fields_of(item, "openai.Message")
    role = value.of("role", str, "")
    content = value.get("content")
    calls = tuple(map(_call, value.list_of("tool_calls", dict, "openai.ToolCall")))
    if isinstance(content, list):
        parts = [_part(role, part) for part in content]
        if parts and calls:
            parts[-1] = replace(parts[-1], tool_calls=calls)
        return parts
    if not isinstance(content, str) and not (content is None and calls):
        kind = _GO_VALUES.get(type(content), "<nil>")
        raise BadRequest(f"invalid message content type: {kind}")
    return [
        Message(
            role=role,
            content=content or "",
            thinking=value.of("reasoning", str, ""),
            tool_calls=calls,
            tool_name=value.of("name", str, ""),
            tool_call_id=value.of("tool_call_id", str, ""),
        )
    ]


_GO_VALUES = {int: "float64", float: "float64", bool: "bool", dict: "map[string]interface {}"}


def _part(role: str, part: Any) -> Message:
    """One part of a message's content."""
    wrong = BadRequest("invalid message format")
    if not isinstance(part, dict):
        raise wrong
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return Message(role=role, content=part["text"])
    if part.get("type") != "image_url":
        raise wrong
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str):
        raise wrong
    if url.startswith(("http://", "https://")):
        raise BadRequest(
            "image URLs are not currently supported, please use base64 encoded data instead"
        )
    head = _IMAGE.match(url)
    try:
        base64.b64decode(url[head.end() if head else 0 :].encode(), validate=True)
    except ValueError:
        head = None
    if head is None:
        raise BadRequest("invalid image input")
    return Message(role=role, images=(url[head.end() :],))


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call of an earlier turn: here its arguments are JSON in a string."""
    function = item.get("function")
    function = function if isinstance(function, dict) else {}
    try:
        arguments = json.loads(function.get("arguments", ""))
    except (TypeError, ValueError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadRequest("invalid tool call arguments")
    call = {"name": function.get("name", ""), "arguments": arguments}
    return {"id": item.get("id", ""), "function": call}
