"""Reading request bodies: Ollama's fields.

What is wrong with one raises `BadRequest`, in Ollama's words or those of Go's decoder.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from bench.server.engine import EngineFailure, Message
from bench.server.go import dumps, parse_keep_alive

T = TypeVar("T")
D = TypeVar("D")
_THINK_LEVELS = ("high", "medium", "low", "max")
_GO: dict[type, tuple[str, str]] = {
    str: ("string", "string"),
    bool: ("bool", "bool"),
    int: ("number", "int"),
    float: ("number", "float64"),
    list: ("array", "[]interface {}"),
    dict: ("object", "map[string]interface {}"),
}
"""What Go calls a value in JSON, and the type that it decodes one into."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_KEY = "looking for beginning of object key string"
_WANTED = {
    "Expecting property name enclosed in double quotes": _KEY,
    "Illegal trailing comma before end of object": _KEY,
    "Expecting ':' delimiter": "after object key",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


class BadRequest(EngineFailure):
    """Answered with 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 400)


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object as Go decodes it into a struct: names in any case, null as if absent.

    Attributes:
        values: by name in lower case.
        struct: Go's name of the type, for its error texts.
    """

    values: Mapping[str, Any]
    struct: str

    def get(self, name: str) -> Any:
        """A field of any type; None if absent."""
        return self.values.get(name)

    def of(self, name: str, kind: type[T], default: D, go_type: str = "") -> T | D:
        """A field of one type.

        `go_type` is how Go calls the type, unless it is a plain one; the name is in lower case.
        """
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) is (kind is bool) and (
            isinstance(value, kind) or (kind is float and isinstance(value, int))
        ):
            return cast(T, value)
        raise self.wrong(value, name, go_type or _GO[kind][1])

    def list_of(self, name: str, kind: type, go_type: str) -> list[Any]:
        """A list of values of one type; empty if absent."""
        values: list[Any] = self.of(name, list, [], f"[]{go_type}")
        for value in values:
            if not isinstance(value, kind) or isinstance(value, bool):
                raise self.wrong(value, name, go_type)
        return values

    def wrong(self, value: Any, name: str, go_type: str) -> BadRequest:
        """A field whose type is wrong, in the words of Go's decoder."""
        given = _GO[type(value)][0] if type(value) in _GO else "null"
        field = f"{self.struct.rsplit('.', 1)[-1]}.{name}"
        return BadRequest(
            f"json: cannot unmarshal {given} into Go struct field {field} of type {go_type}"
        )


def fields_of(value: Mapping[str, Any], struct: str) -> Fields:
    """An object within a body."""
    return Fields({name.lower(): item for name, item in value.items()}, struct)


def read_object(body: bytes, struct: str) -> Fields:
    """The JSON object at the start of a body; Ollama does not look at what follows it.

    `struct` is Go's name of what it is decoded into, such as "api.ChatRequest".
    """
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise BadRequest("missing request body")
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise BadRequest(_syntax_error(error)) from None
    except RecursionError:
        raise BadRequest("exceeded max depth") from None
    except ValueError:  # Python reads no whole numbers of thousands of digits
        raise BadRequest("json: cannot unmarshal number") from None
    if value is None:
        return Fields({}, struct)
    if not isinstance(value, dict):
        name = _GO[type(value)][0]
        raise BadRequest(f"json: cannot unmarshal {name} into Go value of type {struct}")
    if _SURROGATE.search(body):
        value = _without_lone_surrogates(value)
    return fields_of(value, struct)


def _constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON does not have them."""
    if name.startswith("-"):
        raise BadRequest("invalid character 'I' in numeric literal")
    raise BadRequest(f"invalid character '{name[0]}' looking for beginning of value")


_DECODER = json.JSONDecoder(parse_constant=_constant)


def _syntax_error(error: json.JSONDecodeError) -> str:
    """What Go says about it."""
    rest = error.doc[error.pos :].lstrip(" \t\r\n" if "control" not in error.msg else "")
    if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 and later
        rest = rest[1:].lstrip()
    if error.msg.startswith("Invalid \\"):
        rest = rest[1:]
    if not rest or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    if error.msg == "Expecting ',' delimiter":
        opened = _opened(error.doc[: error.pos])
        wanted = "after array element" if opened == "[" else "after object key:value pair"
        return f"invalid character {_quoted(rest[0])} {wanted}"
    for literal in ("true", "false", "null"):
        if error.msg == "Expecting value" and rest[0] == literal[0]:
            at = next((i for i, c in enumerate(literal) if rest[i : i + 1] != c), 0)
            if at >= len(rest):
                return "unexpected EOF"
            expected = f"in literal {literal} (expecting {_quoted(literal[at])})"
            return f"invalid character {_quoted(rest[at])} {expected}"
    wanted = _WANTED.get(error.msg, "looking for beginning of value")
    return f"invalid character {_quoted(rest[0])} {wanted}"


def _opened(text: str) -> str:
    """The bracket that is still open at the end of correct JSON."""
    stack = [""]
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        if token in "[{":
            stack.append(token)
        elif token in "]}":
            stack.pop()
    return stack[-1]


def _quoted(character: str) -> str:
    if character in "'\"":
        return "'\\''" if character == "'" else "'\"'"
    return f"'{json.dumps(character)[1:-1]}'"


def _without_lone_surrogates(value: Any) -> Any:
    """Halves of surrogate pairs become U+FFFD, as in Go."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(k): _without_lone_surrogates(v) for k, v in value.items()}
    return value


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
    """A body of /api/chat or /api/generate."""
    value = read_object(body, "api.ChatRequest" if chat else "api.GenerateRequest")
    common: dict[str, Any] = {
        "model": value.of("model", str, ""),
        "stream": value.of("stream", bool, True),
        "form": value.get("format"),
        "keep_alive_ns": keep_alive_of(value),
        "options": value.of("options", dict, {}),
        "think": _think(value),
        "truncate": value.of("truncate", bool, True),
        "shift": value.of("shift", bool, True),
        "logprobs": value.of("logprobs", bool, False),
        "top_logprobs": value.of("top_logprobs", int, 0),
    }
    check_top_logprobs(common["top_logprobs"])
    if chat:
        tools = value.of("tools", list, [], "api.Tools")
        if not all(isinstance(tool, dict) for tool in tools):
            raise value.wrong(tools[0], "tools", "api.Tool")
        check_functions(value, "tools", "api.ToolFunction", tools)
        messages = tuple(map(_message, value.list_of("messages", dict, "api.Message")))
        return CompletionBody(messages=messages, tools=tuple(tools), **common)
    context = value.list_of("context", int, "int")
    if any(abs(token) >= 2**31 for token in context):
        raise BadRequest("context holds a number that is no token")
    return CompletionBody(
        prompt=value.of("prompt", str, ""),
        suffix=value.of("suffix", str, ""),
        system=value.of("system", str, ""),
        template=value.of("template", str, ""),
        raw=value.of("raw", bool, False),
        context=tuple(context),
        images=_images(value),
        **common,
    )


def check_top_logprobs(count: int) -> None:
    """Whether so many alternatives may be asked for."""
    if not 0 <= count <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")


def check_functions(value: Fields, name: str, go_type: str, items: Iterable[Any]) -> None:
    """Whether tools, or calls of them, have objects as their functions."""
    for item in items:
        function = item.get("function")
        if function is not None and not isinstance(function, dict):
            raise value.wrong(function, f"{name}.function", go_type)


def _message(item: Mapping[str, Any]) -> Message:
    value = fields_of(item, "api.Alias")  # what Ollama's decoder calls a message
    calls = value.list_of("tool_calls", dict, "api.ToolCall")
    check_functions(value, "tool_calls", "api.ToolCallFunction", calls)
    return Message(
        role=value.of("role", str, ""),
        content=value.of("content", str, ""),
        thinking=value.of("thinking", str, ""),
        images=_images(value),
        tool_calls=tuple(calls),
        tool_name=value.of("tool_name", str, ""),
        tool_call_id=value.of("tool_call_id", str, ""),
    )


def _images(value: Fields) -> tuple[str, ...]:
    images = value.list_of("images", str, "api.ImageData")
    for image in images:
        try:
            base64.b64decode(image.encode(), validate=True)
        except ValueError:
            good = len(re.split("[^A-Za-z0-9+/]", image, maxsplit=1)[0])
            byte = good if good < len(image) else good // 4 * 4
            raise BadRequest(f"illegal base64 data at input byte {byte}") from None
    return tuple(images)


def keep_alive_of(value: Fields) -> int | None:
    """`keep_alive` of any body, in nanoseconds; None if not given."""
    if value.get("keep_alive") is None:
        return None
    try:
        return parse_keep_alive(value.get("keep_alive"))
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _think(value: Fields) -> bool | str | None:
    think: Any = value.get("think")
    if think is None or isinstance(think, bool):
        return think
    if isinstance(think, str) and think in _THINK_LEVELS:
        return think
    levels = ", ".join(f'"{level}"' for level in _THINK_LEVELS)
    if isinstance(think, str):
        raise BadRequest(f"invalid think value: {dumps(think)} (must be {levels}, true, or false)")
    raise BadRequest(f"think must be a boolean or string ({levels}, true, or false)")
