"""The OpenAI-compatible paths: bodies turned into Ollama's, lists of models, embeddings, errors."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.server.bodies import (
    BadRequest,
    CompletionBody,
    field_of,
    read_message,
    read_object,
)
from bench.server.embedding import Embedded, normalised
from bench.server.engine import Message, ModelCard
from bench.server.go import dumps

_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
_OPTIONS = ("seed", "frequency_penalty", "presence_penalty", "temperature", "top_p")


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


def embedding_list(model: str, embedded: Embedded, value: Mapping[str, Any]) -> bytes:
    """The reply of /v1/embeddings."""
    dimensions = field_of(value, "dimensions", int, 0)
    data = []
    for index, vector in enumerate(embedded.vectors):
        unit = normalised(vector, dimensions)
        as_text = str(value.get("encoding_format")).lower() == "base64"
        entry = base64.b64encode(unit.astype("<f4").tobytes()).decode() if as_text else unit
        data.append({"object": "embedding", "embedding": entry, "index": index})
    usage = {"prompt_tokens": embedded.prompt_n, "total_tokens": embedded.prompt_n}
    return f"{dumps({'object': 'list', 'data': data, 'model': model, 'usage': usage})}\n".encode()


def read_chat(body: bytes) -> tuple[CompletionBody, bool]:
    """A body of /v1/chat/completions, and whether it wants a usage event.

    Raises:
        BadRequest: as Ollama answers.
    """
    value = read_object(body)
    if not field_of(value, "messages", list, []):
        raise BadRequest("[] is too short - 'messages'")
    form = value.get("response_format") or {}
    if form.get("type") == "json_object":
        wanted: Any = "json"
    else:
        wanted = (form.get("json_schema") or {}).get("schema")
    effort = value.get("reasoning_effort") or (value.get("reasoning") or {}).get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise BadRequest(f"invalid reasoning value: {dumps(effort)}")
    return CompletionBody(
        model=field_of(value, "model", str, ""),
        messages=tuple(m for item in value["messages"] for m in _messages(item)),
        stream=field_of(value, "stream", bool, False),
        form=wanted,
        options=_options(value),
        tools=tuple(field_of(value, "tools", list, [])),
        think=None if effort is None else _EFFORTS[effort],
    ), _include_usage(value)


def read_text(body: bytes) -> tuple[CompletionBody, bool]:
    """A body of /v1/completions, and whether it wants a usage event.

    Raises:
        BadRequest: as Ollama answers.
    """
    value = read_object(body)
    return CompletionBody(
        model=field_of(value, "model", str, ""),
        prompt=field_of(value, "prompt", str, ""),
        suffix=field_of(value, "suffix", str, ""),
        stream=field_of(value, "stream", bool, False),
        options=_options(value),
    ), _include_usage(value)


def _include_usage(value: Mapping[str, Any]) -> bool:
    return bool(field_of(value, "stream_options", dict, {}).get("include_usage"))


def _options(value: Mapping[str, Any]) -> dict[str, Any]:
    """Ollama's options; temperature and top_p are 1 here unless given."""
    options: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
    options |= {name: value[name] for name in _OPTIONS if value.get(name) is not None}
    if value.get("max_tokens") is not None:
        options["num_predict"] = value["max_tokens"]
    if value.get("stop"):
        stop = value["stop"]
        options["stop"] = [stop] if isinstance(stop, str) else stop
    return options


def _messages(item: Any) -> list[Message]:
    """One message of the client's; parts of its content become messages of their own."""
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, list):
        return [read_message(item)]
    role = str(item.get("role", ""))
    texts = [part for part in content if part.get("type") == "text"]
    return [Message(role=role, content=str(part.get("text", ""))) for part in texts]
