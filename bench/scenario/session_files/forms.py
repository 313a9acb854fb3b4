"""Messages as many programs write them, made into one form: Ollama's and OpenAI's.

What cannot be read so is a ValueError that names file and line.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from bench.scenario.session_files.rows import FileRow, Notes, listed
from bench.scenario.sessions import Message
from bench.scenario.trace_rows import cell_text
from bench.shown import all_shown, encodable

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bing", "bard", "model", "ai", "bot", "claude"), "assistant"
    ),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response"), "tool"),
}
"""Names of roles -> the four there are."""

_TEXT_PARTS = ("text", "input_text", "output_text", "summary_text")
_DATA_URL = re.compile(r"data:[\w/+.-]*;base64,(.*)", re.DOTALL)
_THINKING = ("thinking", "reasoning_content", "reasoning")


def message(row: FileRow, raw: dict[str, Any], notes: Notes) -> Message:
    """A message in one form: `role`, `content`, and what else of it a server reads.

    `raw` has `role` or `from`, `content` or `value`.
    """
    made = spoken(
        row, raw.get("role", raw.get("from")), raw.get("content", raw.get("value")), notes
    )
    plain = raw.get("images")
    if isinstance(plain, list) and (texts := [i for i in plain if isinstance(i, str)]):
        made["images"] = [*made.get("images", ()), *texts]
    if made["role"] == "assistant":
        thinking = next((raw[k] for k in _THINKING if isinstance(raw.get(k), str) and raw[k]), None)
        if thinking is not None:
            made["thinking"] = thinking
        if calls := tool_calls(row, raw):
            made["tool_calls"] = calls
    if made["role"] == "tool":
        for name in ("tool_call_id", "tool_name", "name"):
            if isinstance(raw.get(name), str):
                made["tool_name" if name == "name" else name] = raw[name]
    return made


def spoken(row: FileRow, role: Any, content: Any, notes: Notes) -> Message:
    """What somebody said: text, and images where there are some."""
    known = role_of(row, role)
    text, images = content_of(row, content, notes)
    return {"role": known, "content": text, **({"images": images} if images else {})}


def tool_result(row: FileRow, content: Any, call: Any, notes: Notes) -> Message:
    """The result of a tool call, if known which."""
    named = {"tool_call_id": call} if isinstance(call, str) else {}
    return spoken(row, "tool", content, notes) | named


def answer_of(texts: list[str], calls: list[dict[str, Any]]) -> Message:
    """An answer of the assistant."""
    text = "\n".join(texts)
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def role_of(row: FileRow, role: Any) -> str:
    """One of the four roles."""
    known = ROLES.get(role.lower()) if isinstance(role, str) else None
    if known is None:
        roles = ", ".join(sorted(ROLES))
        raise row.wrong(f"a message has the role {cell_text(role)}; known: {roles}")
    return known


def content_of(row: FileRow, content: Any, notes: Notes) -> tuple[str, list[str]]:
    """Text and images (base64) of a content: text, nothing, or a list of parts."""
    if content is None:
        return "", []
    if isinstance(content, str | dict):
        content = [content]
    if not isinstance(content, list):
        raise row.wrong(f"the content of a message is {cell_text(content)}, not text")
    texts, images = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            notes.count(f"parts of messages left out, of the kind {cell_text(part)}")
        elif isinstance(part.get("text"), str) and part.get("type", "text") in _TEXT_PARTS:
            texts.append(part["text"])
        elif (image := _image(part)) is not None:
            images.append(image)
        else:
            notes.count(f"parts of messages left out, of the kind {cell_text(part.get('type'))}")
    return "\n".join(texts), images


def _image(part: dict[str, Any]) -> str | None:
    """Base64 of an image that stands in the part itself."""
    url = part.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if isinstance(url, str) and (found := _DATA_URL.match(url)):
        return found[1]
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") == "base64":
        data = source.get("data")
        return data if isinstance(data, str) else None
    return None


def tool_calls(row: FileRow, raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of an assistant message; arguments as the object that they are."""
    calls = raw.get("tool_calls") or []
    if isinstance(raw.get("function_call"), dict):  # OpenAI's form before tools
        calls = [{"function": raw["function_call"]}]
    made = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise row.wrong("a tool call has no function with a name")
        made.append(tool_call(call.get("id"), function["name"], function.get("arguments")))
    return made


def tool_call(identity: Any, name: str, arguments: Any) -> dict[str, Any]:
    """One call; arguments that are text with a JSON object in it become that object."""
    if isinstance(arguments, str):
        value = json_value(arguments)
        arguments = value if isinstance(value, dict) else arguments
    function = {"name": name, "arguments": {} if arguments is None else arguments}
    given = {"id": identity} if isinstance(identity, str) else {}
    return {**given, "type": "function", "function": function}


def tools_of(row: FileRow, value: Any) -> tuple[dict[str, Any], ...]:
    """Definitions of tools, in OpenAI's form."""
    value = json_value(value)
    if value is None or value == "null":
        return ()
    if not isinstance(value, list):
        raise row.wrong(f"tools is {cell_text(value)}, not a list of definitions")
    made = []
    for tool in value:
        if not isinstance(tool, dict):
            raise row.wrong(f"tools holds {cell_text(tool)}, which is no definition")
        if isinstance(tool.get("function"), dict):
            made.append(tool)
        elif isinstance(tool.get("name"), str):  # the form of Anthropic, and of Responses
            schema = tool.get("input_schema") or tool.get("parameters") or {"type": "object"}
            named = {"name": tool["name"], "description": tool.get("description") or ""}
            made.append({"type": "function", "function": {**named, "parameters": schema}})
        else:
            raise row.wrong(f"a tool has no name; it has {listed(tool)}")
    return tuple(made)


def json_value(value: Any) -> Any:
    """What is JSON in a text, else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            return all_shown(json.loads(value), encodable)
    return value
