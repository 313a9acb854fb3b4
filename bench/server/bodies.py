"""Reading request bodies: Ollama's fields, and its words for what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.server.engine import EngineFailure, Message
from bench.server.go import dumps, parse_keep_alive

_THINK_LEVELS = ("low", "medium", "high", "max")
_GO_NAMES: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


class BadRequest(EngineFailure):
    """Answered with 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 400)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        BadRequest: worded as Go's decoder words it.
    """
    if not body.strip():
        raise BadRequest("missing request body")
    try:
        value = json.loads(body)
    except UnicodeDecodeError:
        raise BadRequest("invalid character '\\ufffd' looking for beginning of value") from None
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        if not rest:
            raise BadRequest("unexpected EOF") from None
        wanted = {
            "Expecting property name enclosed in double quotes": (
                "looking for beginning of object key string"
            ),
            "Expecting ':' delimiter": "after object key",
            "Expecting ',' delimiter": "after object key:value pair",
            "Extra data": "after top-level value",
        }.get(error.msg, "looking for beginning of value")
        raise BadRequest(f"invalid character {_quoted(rest[0])} {wanted}") from None
    if not isinstance(value, dict):
        name = _GO_NAMES[type(value)]
        raise BadRequest(f"json: cannot unmarshal {name} into Go value of type api.Request")
    return value


def _quoted(character: str) -> str:
    return "'\\''" if character == "'" else f"'{character}'"


def field_of(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """One field; absent and null give the default.

    Raises:
        BadRequest: its type is wrong.
    """
    value = body.get(name)
    if value is None:
        return default
    number_for_int = kind is float and isinstance(value, int)
    if isinstance(value, bool) and kind is not bool:
        number_for_int = False
    elif isinstance(value, kind) or number_for_int:
        return value
    raise BadRequest(
        f"json: cannot unmarshal {_GO_NAMES[type(value)]} into Go struct field "
        f".{name} of type {_GO_NAMES[kind].replace('number', 'int').replace('object', 'struct')}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionBody:
    """What a body of /api/chat or /api/generate asks for (and what one of /v1 is turned into).

    Attributes:
        model: as the client wrote it.
        messages: of a chat; None for generate.
        prompt, suffix, system, template, raw, context, images: of generate.
        keep_alive_ns: None if not given.
        think: True, False, a level, or None if not given.
    """

    model: str
    messages: tuple[Message, ...] | None = None
    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    raw: bool = False
    context: tuple[int, ...] = ()
    images: tuple[str, ...] = ()
    stream: bool = True
    form: Any = None
    keep_alive_ns: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Any, ...] = ()
    think: bool | str | None = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0

    @property
    def empty(self) -> bool:
        """Nothing to complete: a request to load or unload."""
        return not (self.messages if self.messages is not None else self.prompt)


def read_completion(body: bytes, *, chat: bool) -> CompletionBody:
    """A body of /api/chat or /api/generate.

    Raises:
        BadRequest: as Ollama answers.
    """
    value = read_object(body)
    common: dict[str, Any] = {
        "model": field_of(value, "model", str, ""),
        "stream": field_of(value, "stream", bool, True),
        "form": value.get("format"),
        "keep_alive_ns": _keep_alive(value),
        "options": field_of(value, "options", dict, {}),
        "think": _think(value),
        "truncate": field_of(value, "truncate", bool, True),
        "shift": field_of(value, "shift", bool, True),
        "logprobs": field_of(value, "logprobs", bool, False),
        "top_logprobs": field_of(value, "top_logprobs", int, 0),
    }
    if not 0 <= common["top_logprobs"] <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")
    if chat:
        messages = tuple(read_message(m) for m in field_of(value, "messages", list, []))
        tools = tuple(field_of(value, "tools", list, []))
        return CompletionBody(messages=messages, tools=tools, **common)
    return CompletionBody(
        prompt=field_of(value, "prompt", str, ""),
        suffix=field_of(value, "suffix", str, ""),
        system=field_of(value, "system", str, ""),
        template=field_of(value, "template", str, ""),
        raw=field_of(value, "raw", bool, False),
        context=tuple(field_of(value, "context", list, [])),
        images=tuple(field_of(value, "images", list, [])),
        **common,
    )


def read_message(value: Any) -> Message:
    """One message of a chat.

    Raises:
        BadRequest: it is not one.
    """
    if not isinstance(value, dict):
        raise BadRequest(
            f"json: cannot unmarshal {_GO_NAMES[type(value)]} into Go struct field "
            "ChatRequest.messages of type api.Message"
        )
    return Message(
        role=field_of(value, "role", str, ""),
        content=field_of(value, "content", str, ""),
        thinking=field_of(value, "thinking", str, ""),
        images=tuple(field_of(value, "images", list, [])),
        tool_calls=tuple(field_of(value, "tool_calls", list, [])),
        tool_name=field_of(value, "tool_name", str, ""),
        tool_call_id=field_of(value, "tool_call_id", str, ""),
    )


def _keep_alive(value: Mapping[str, Any]) -> int | None:
    if value.get("keep_alive") is None:
        return None
    try:
        return parse_keep_alive(value["keep_alive"])
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _think(value: Mapping[str, Any]) -> bool | str | None:
    think = value.get("think")
    if think is None or isinstance(think, bool) or think in _THINK_LEVELS:
        return think
    levels = '"low", "medium", "high", "max"'
    raise BadRequest(f"invalid think value: {dumps(think)} (must be true, false, {levels})")


def keep_alive_of(body: Mapping[str, Any]) -> int | None:
    """`keep_alive` of any body, in nanoseconds; None if not given.

    Raises:
        BadRequest: as Ollama answers.
    """
    return _keep_alive(body)
