"""What a request asked and what was answered, in the form in which it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from bench.recorder.exchange import Exchange

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model.

    Attributes:
        messages: of the request, as the client sent them; those of other forms than chat are made
            into messages.
        answer: as far as it came; None = none did.
        tools: definitions sent along, None if there were none.
        prompt_tokens, cached_tokens, output_tokens: as the server counted; None = it did not say.
        ended: False if Ollama's own form has no line with `done`: it broke off in an error.
    """

    model: str
    messages: tuple[Message, ...]
    answer: Message | None
    tools: list[Any] | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    ended: bool = field(default=True, kw_only=True)


def read_call(exchange: Exchange) -> ModelCall | None:
    """The call of a model in an exchange; None = it was none, or one that cannot be read."""
    reader, request = _READERS.get(exchange.path), exchange.request.whole
    if exchange.method != "POST" or reader is None or not 200 <= exchange.status < 300:
        return None
    try:
        body = msgspec.json.decode(request or b"")
        return reader(body, exchange.reply.whole or b"") if isinstance(body, dict) else None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None  # another form than the one documented: it passed all the same


def _objects(reply: bytes) -> Iterator[dict[str, Any]]:
    """JSON objects of a reply: one, one a line, or one an event."""
    for line in reply.split(b"\n"):
        text = line.strip()
        if text.startswith(b"data:"):
            text = text[5:].strip()
        if text.startswith(b"{"):
            with suppress(ValueError, RecursionError):
                yield msgspec.json.decode(text)


def _body_or_events(reply: bytes) -> list[dict[str, Any]]:
    try:
        value = msgspec.json.decode(reply)
    except (ValueError, RecursionError):
        return list(_objects(reply))
    return [value] if isinstance(value, dict) else []


def _chat(body: dict[str, Any], reply: bytes) -> ModelCall | None:
    messages = _message_list(body.get("messages"))
    if not messages:
        return None  # only loads or unloads the model
    text = thinking = ""
    calls: list[Any] = []
    lines = _body_or_events(reply)
    for line in lines:
        part = line.get("message") or {}
        text += part.get("content") or ""
        thinking += part.get("thinking") or ""
        calls += part.get("tool_calls") or []
    return _native(body, messages, _answer(text, calls, thinking), lines)


def _generate(body: dict[str, Any], reply: bytes) -> ModelCall | None:
    if not body.get("prompt"):
        return None
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    images = {"images": body["images"]} if body.get("images") else {}
    messages = [*system, {"role": "user", "content": body["prompt"], **images}]
    lines = _body_or_events(reply)
    text = "".join(line.get("response") or "" for line in lines)
    return _native(body, messages, _answer(text), lines)


def _native(
    body: dict[str, Any], messages: list[Message], answer: Message, lines: list[dict[str, Any]]
) -> ModelCall:
    last: dict[str, Any] = next((line for line in reversed(lines) if line.get("done")), {})
    counts = map(last.get, ("prompt_eval_count", "prompt_eval_cached_count", "eval_count"))
    heard = answer if last or answer["content"] else None
    call = _made(body, messages, heard, body.get("tools"), *counts)
    return replace(call, ended=bool(last))


def _answer(text: str, calls: list[Any] | None = None, thinking: str = "") -> Message:
    answer: Message = {"role": "assistant", "content": text}
    answer |= {"thinking": thinking} if thinking else {}
    return answer | ({"tool_calls": calls} if calls else {})


def _made(
    body: dict[str, Any], messages: list[Message], answer: Message | None, tools: Any, *counts: Any
) -> ModelCall:
    """A call; `counts` of tokens: of the prompt, cached ones, of the answer."""
    model = str(body.get("model", ""))
    return ModelCall(model, tuple(messages), answer, tools or None, *map(_count, counts))


def _completions(body: dict[str, Any], reply: bytes) -> ModelCall | None:
    text, seen = "", False
    usage: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    for event in _body_or_events(reply):
        usage = event.get("usage") or usage
        for choice in (event.get("choices") or [])[:1]:
            delta = choice.get("delta") or choice.get("message") or {}
            text += delta.get("content") or ""
            seen = True
            for number, piece in enumerate(delta.get("tool_calls") or []):
                _add_call(calls, piece.get("index", number), piece)
    answer = _answer(text, [calls[index] for index in sorted(calls)]) if seen else None
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    counts = usage.get("prompt_tokens"), cached, usage.get("completion_tokens")
    return _made(body, _message_list(body.get("messages")), answer, body.get("tools"), *counts)


def _add_call(calls: dict[int, dict[str, Any]], index: int, piece: dict[str, Any]) -> None:
    """A piece of a tool call: the first has its name, and all of them parts of its arguments."""
    function = piece.get("function") or {}
    empty = {"type": "function", "function": {"name": "", "arguments": ""}}
    call = calls.setdefault(index, empty)
    if piece.get("id"):
        call["id"] = piece["id"]
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""


def _anthropic(body: dict[str, Any], reply: bytes) -> ModelCall | None:
    """/v1/messages."""
    messages: list[Message] = []
    if body.get("system"):
        messages.append({"role": "system", "content": _parts_text(body["system"])})
    for raw in _message_list(body.get("messages")):
        messages += _anthropic_message(raw)
    text = ""
    usage: dict[str, Any] = {}
    calls: dict[int, list[Any]] = {}
    for event in _body_or_events(reply):
        part = event.get("message") or {}
        counted = event.get("usage") or part.get("usage") or {}
        usage |= {k: v for k, v in counted.items() if v is not None}
        for index, block in enumerate(event.get("content") or []):
            text += block.get("text") or ""
            if block.get("type") == "tool_use":
                calls[index] = [block.get("id"), block["name"], json.dumps(block.get("input"))]
        block, index = event.get("content_block") or {}, event.get("index", 0)
        if block.get("type") == "tool_use":
            calls[index] = [block.get("id"), block["name"], ""]
        delta = event.get("delta") or {}
        text += delta.get("text") or ""
        if index in calls and "content_block" not in event:
            calls[index][2] += delta.get("partial_json") or ""
    answer = _answer(text, [_call(*call) for call in calls.values()]) if usage or text else None
    cached = _count(usage.get("cache_read_input_tokens"))
    # Here, other than in OpenAI's form, cached tokens stand beside the input.
    beside = (cached or 0) + (_count(usage.get("cache_creation_input_tokens")) or 0)
    fresh = _count(usage.get("input_tokens"))
    counts = None if fresh is None else fresh + beside, cached, usage.get("output_tokens")
    return _made(body, messages, answer, _anthropic_tools(body.get("tools")), *counts)


def _anthropic_message(raw: Message) -> list[Message]:
    content = raw.get("content")
    if not isinstance(content, list):
        return [{"role": raw.get("role"), "content": content}]
    made: list[Message] = []
    calls = [_call(p.get("id"), p["name"], p.get("input")) for p in _of(content, "tool_use")]
    for part in _of(content, "tool_result"):
        result = {"role": "tool", "content": _parts_text(part.get("content"))}
        made.append({**result, "tool_call_id": part.get("tool_use_id")})
    text = _parts_text(content)
    images = [p["source"]["data"] for p in _of(content, "image") if p.get("source", {}).get("data")]
    if text or calls or images or not made:
        message: Message = {"role": raw.get("role"), "content": text}
        message |= {"tool_calls": calls} if calls else {}
        made.append(message | ({"images": images} if images else {}))
    return made


def _of(parts: list[Any], kind: str) -> list[dict[str, Any]]:
    return [p for p in parts if isinstance(p, dict) and p.get("type") == kind]


def _parts_text(content: Any) -> str:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = (p.get("text") for p in content if isinstance(p, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _anthropic_tools(tools: Any) -> list[Any]:
    functions = [
        {
            "name": tool["name"],
            "description": tool.get("description", ""),
            "parameters": tool.get("input_schema") or {"type": "object"},
        }
        for tool in tools or ()
        if isinstance(tool, dict) and "name" in tool
    ]
    return [{"type": "function", "function": function} for function in functions]


def _responses(body: dict[str, Any], reply: bytes) -> ModelCall | None:
    """/v1/responses."""
    messages: list[Message] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    for item in items:
        messages += _response_item(item)
    last: dict[str, Any] = {}
    for event in _body_or_events(reply):
        last = event.get("response") or (event if "output" in event else last)
    output: list[Message] = [m for item in last.get("output") or [] for m in _response_item(item)]
    calls = [call for m in output for call in m.get("tool_calls", [])]
    answer = _answer("".join(m["content"] for m in output), calls) if output else None
    usage = last.get("usage") or {}
    tools = [
        {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
        for tool in _of(body.get("tools") or [], "function")
    ]
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens")
    counts = usage.get("input_tokens"), cached, usage.get("output_tokens")
    return _made(body, messages, answer, tools, *counts)


def _response_item(item: dict[str, Any]) -> list[Message]:
    kind = item.get("type", "message")
    if kind == "message":
        return [{"role": item.get("role"), "content": _parts_text(item.get("content"))}]
    if kind == "function_call":
        call = _call(item.get("call_id"), item["name"], item.get("arguments"))
        return [{"role": "assistant", "content": "", "tool_calls": [call]}]
    if kind == "function_call_output":
        result = _parts_text(item.get("output"))
        return [{"role": "tool", "content": result, "tool_call_id": item.get("call_id")}]
    return []


def _call(identity: Any, name: str, arguments: Any) -> dict[str, Any]:
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"id": identity, **made} if isinstance(identity, str) else made


def _message_list(value: Any) -> list[Message]:
    return [m for m in value if isinstance(m, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


_READERS: dict[str, Callable[[dict[str, Any], bytes], ModelCall | None]] = {
    "/api/chat": _chat,
    "/api/generate": _generate,
    "/v1/chat/completions": _completions,
    "/v1/messages": _anthropic,
    "/v1/responses": _responses,
}
"""Paths of model calls -> what reads them."""
