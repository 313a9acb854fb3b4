"""Tool calls of the real engine, without it: the grammar's schema, and what answers say."""

from __future__ import annotations

import json

import jsonschema
import pytest

from bench.server.engine import Message
from bench.server.llamacpp.completion import answer_schema, as_text, instructions, read_answer

TOOLS = [
    {"function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}},
    {"function": {"name": "now"}},
]


def test_the_schema_takes_calls_and_words_and_nothing_else() -> None:
    schema = answer_schema(TOOLS)
    for answer in (
        {"name": "weather", "arguments": {"city": "Rome"}},
        {"name": "now", "arguments": {}},
        {"response": "It is late."},
    ):
        jsonschema.validate(answer, schema)
    for answer in ({"name": "other", "arguments": {}}, {"name": "now"}, "words"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(answer, schema)


def test_an_answer_is_a_call_or_words() -> None:
    call = read_answer('{"name": "weather", "arguments": {"city": "Rome"}}', "call_1")
    assert call.text == ""
    (told,) = call.tool_calls
    assert told["id"] == "call_1"
    assert told["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}
    assert read_answer('{"response": "It is late."}', "x").text == "It is late."
    assert read_answer('{"name": "wea', "x").text == '{"name": "wea'


def test_earlier_calls_are_shown_as_the_model_writes_them() -> None:
    call = {"id": "1", "function": {"index": 0, "name": "now", "arguments": {"zone": "UTC"}}}
    shown = as_text(Message(role="assistant", content="", tool_calls=(call,)))
    assert json.loads(shown.content) == {"name": "now", "arguments": {"zone": "UTC"}}
    assert shown.tool_calls == ()
    assert all(name in instructions(TOOLS).content for name in ("weather", "now", "response"))
