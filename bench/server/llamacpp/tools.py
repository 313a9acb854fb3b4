"""Tool calls of any model: what it is given, the grammar of its answer, and what the answer says.

As llama.cpp's own generic form does: under a grammar the answer is one JSON object, a call of one
of the tools or a response in words. So every call is of a tool that is there, with arguments that
fit. A call is delivered whole, as Ollama does; the words of a response come whole as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.server.engine import Message, Piece
from bench.server.model_card import Json

_RESPONSE = "response"


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
