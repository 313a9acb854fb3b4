"""The model library over HTTP: version, tags, show, ps, and the no-op pull, copy, delete.

What Ollama refuses raises `EngineFailure` in its words.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.server.bodies import BadRequest, Fields, read_object
from bench.server.engine import EngineFailure, ModelCard
from bench.server.go import dumps, rfc3339
from bench.server.lines import error_body
from bench.server.settings import ServerState, full_name, is_name

JSON = "application/json; charset=utf-8"
_NO_MANIFEST = "pull model manifest: file does not exist"


def version(state: ServerState) -> bytes:
    """GET /api/version."""
    return dumps({"version": state.version}).encode()


def tags(state: ServerState) -> bytes:
    """GET /api/tags: the newest model first."""
    return dumps({"models": [_tag(state, card) for card in newest_first(state)]}).encode()


def newest_first(state: ServerState) -> list[ModelCard]:
    """The models as lists show them."""
    return sorted(state.cards().values(), key=lambda card: card.modified_at, reverse=True)


def _tag(state: ServerState, card: ModelCard) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": card.name,
        "model": card.name,
        "modified_at": card.modified_at,
        "size": card.size,
        "digest": card.digest,
        "details": dataclasses.asdict(card.details),
    }
    if state.era.llama_server:
        entry["details"]["context_length"] = card.context_length
        entry["details"]["embedding_length"] = card.embedding_length
        entry["capabilities"] = card.capabilities
    return entry


def shown(state: ServerState, name: str) -> ModelCard:
    """The model of a name."""
    wanted = full_name(name) if state.era.llama_server else name
    return state.card(name, f"model '{wanted}' not found")


def show(state: ServerState, body: bytes) -> bytes:
    """POST /api/show."""
    value = read_object(body, "api.ShowRequest")
    value.of("options", dict, {})
    name = _named(value)
    if not name:
        raise BadRequest("model is required")
    card = shown(state, name)
    texts = ("license", "modelfile", "parameters", "template", "system")
    entry: dict[str, Any] = {name: text for name in texts if (text := getattr(card, name))}
    entry |= {"details": dataclasses.asdict(card.details), "model_info": card.model_info}
    entry |= {"tensors": card.tensors} if card.tensors else {}
    entry |= {"capabilities": card.capabilities, "modified_at": card.modified_at}
    return dumps(entry).encode()


def ps(state: ServerState) -> bytes:
    """GET /api/ps."""
    models = []
    for model in state.scheduler.loaded():
        memory = model.runner.memory
        models.append(
            {
                "name": model.card.name,
                "model": model.card.name,
                "size": memory.size,
                "digest": model.card.digest,
                "details": dataclasses.asdict(model.card.details),
                "expires_at": rfc3339(state.clocks.wall_ns(state.scheduler.expires_at(model))),
                "size_vram": memory.size_vram,
                "context_length": model.options.num_ctx,
            }
        )
    return dumps({"models": models}).encode()


def pull(state: ServerState, body: bytes) -> list[bytes]:
    """POST /api/pull: the lines of a pull of a model that is there already."""
    value = read_object(body, "api.PullRequest")
    name = _named(value)
    stream = value.of("stream", bool, True)
    if not is_name(name):
        raise BadRequest("invalid model name")
    lines: list[Any] = [{"status": "pulling manifest"}]
    card = state.find(name)
    if card is None and not stream:
        raise EngineFailure(_NO_MANIFEST)
    if card is None:
        return [dumps(lines[0]).encode(), error_body(_NO_MANIFEST)]
    layer = {"status": f"pulling {card.digest[:12]}", "digest": f"sha256:{card.digest}"}
    lines.append(layer | {"total": card.size, "completed": card.size})
    lines += [{"status": s} for s in ("verifying sha256 digest", "writing manifest", "success")]
    return [dumps(line).encode() for line in (lines if stream else lines[-1:])]


def copy(state: ServerState, body: bytes) -> None:
    """POST /api/copy: another name for the same model."""
    value = read_object(body, "api.CopyRequest")
    source = value.of("source", str, "")
    destination = value.of("destination", str, "")
    for what, given in (("source", source), ("destination", destination)):
        if not is_name(given):
            raise BadRequest(f"{what} {dumps(given)} is invalid")
    card = state.find(source)
    if card is None:
        raise EngineFailure(f"model {dumps(source)} not found", 404)
    name = full_name(destination)
    state.copies[name] = dataclasses.replace(card, name=name)


def delete(state: ServerState, body: bytes) -> None:
    """DELETE /api/delete: forgets a name until the server ends; what is loaded stays loaded."""
    value = read_object(body, "api.DeleteRequest")
    name = _named(value)
    if not name:
        raise BadRequest("model is required")
    if not is_name(name):
        raise BadRequest(f"name {dumps(name)} is invalid")
    card = state.find(name)
    if card is None:
        raise EngineFailure(f"model '{name}' not found", 404)
    if state.copies.pop(card.name, None) is None:
        state.deleted.add(card.name)


def _named(value: Fields) -> str:
    """The model a body is about; "name" is the older field."""
    return value.of("model", str, "") or value.of("name", str, "")
