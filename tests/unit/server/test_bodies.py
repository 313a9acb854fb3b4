"""What is wrong with a body is said in Go's words."""

from __future__ import annotations

import pytest

from bench.server.bodies import BadRequest, read_completion, read_object
from bench.server.go import FOREVER_NS, NS


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "missing request body"),
        (b'{"model": ', "unexpected EOF"),
        (b"[1,", "unexpected EOF"),
        (b"{model: 1}", "invalid character 'm' looking for beginning of object key string"),
        (b'{"a": 1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a": 1 "b": 2}', "invalid character '\"' after object key:value pair"),
        (b'{"a": ?}', "invalid character '?' looking for beginning of value"),
        (b'{"a": [1 2]}', "invalid character '2' after array element"),
        (b'{"a": "]" 2}', "invalid character '2' after object key:value pair"),
        (b'{"a": "x', "unexpected EOF"),
        (b'{"a": "x\n"}', "invalid character '\\n' in string literal"),
        (b'{"a": "\\x"}', "invalid character 'x' in string escape code"),
        (b"nope", "invalid character 'o' in literal null (expecting 'u')"),
        (b'{"a": tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"a": NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"a": ' + b"1" * 5000 + b"}", "json: cannot unmarshal number"),
        (b"3", "json: cannot unmarshal number into Go value of type api.ChatRequest"),
    ],
)
def test_bad_json(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as info:
        read_object(body, "api.ChatRequest")
    assert info.value.message == words
    assert info.value.status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"model": 3}',
            "cannot unmarshal number into Go struct field ChatRequest.model of type string",
        ),
        (b'{"messages": "x"}', "cannot unmarshal string into Go struct field ChatRequest.messages"),
        (b'{"messages": ["x"]}', "cannot unmarshal string into Go struct field ChatRequest"),
        (
            b'{"stream": 1}',
            "cannot unmarshal number into Go struct field ChatRequest.stream of type bool",
        ),
        (b'{"options": []}', "cannot unmarshal array into Go struct field ChatRequest.options"),
        (b'{"top_logprobs": 21}', "top_logprobs must be between 0 and 20"),
        (b'{"keep_alive": "300"}', 'time: missing unit in duration "300"'),
        (b'{"think": "much"}', 'invalid think value: "much"'),
    ],
)
def test_bad_fields(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as info:
        read_completion(body, chat=True)
    assert words in info.value.message


def test_defaults_and_null() -> None:
    body = read_completion(b'{"model": "m", "stream": null, "keep_alive": null}', chat=False)
    assert (body.stream, body.keep_alive_ns, body.think, body.truncate) == (True, None, None, True)
    assert body.empty
    assert not read_completion(b'{"prompt": "x"}', chat=False).empty
    assert read_completion(b'{"messages": []}', chat=True).empty


def test_keep_alive_of_a_body() -> None:
    assert read_completion(b'{"keep_alive": -1}', chat=True).keep_alive_ns == FOREVER_NS
    assert read_completion(b'{"keep_alive": 2.5}', chat=True).keep_alive_ns == 2_500_000_000
    assert read_completion(b'{"keep_alive": "10m"}', chat=True).keep_alive_ns == 600 * NS


def test_a_body_is_read_as_go_reads_it() -> None:
    fields = read_object(b'{"MODEL": "a", "model": "b", "stream": null} trailing', "api.X")
    assert fields.of("model", str, "") == "b"
    assert fields.of("stream", bool, True) is True
    assert read_object(b"null", "api.X").get("model") is None
    assert read_object(b'{"model": "\\ud800\xff"}', "api.X").get("model") == "\ufffd\ufffd"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model": 1}', "number into Go struct field GenerateRequest.model of type string"),
        (b'{"stream": 1}', "number into Go struct field GenerateRequest.stream of type bool"),
        (b'{"options": []}', "array into Go struct field GenerateRequest.options of type map"),
        (b'{"context": [1, "a"]}', "string into Go struct field GenerateRequest.context of type i"),
        (b'{"top_logprobs": true}', "bool into Go struct field GenerateRequest.top_logprobs of ty"),
        (b'{"images": ["?"]}', "illegal base64 data at input byte 0"),
        (b'{"images": ["aGFsbG8"]}', "illegal base64 data at input byte 4"),
        (b'{"think": "x"}', 'invalid think value: "x" (must be "high", "medium", "low", "max", t'),
        (b'{"think": [1]}', 'think must be a boolean or string ("high", "medium", "low", "max", '),
        (b'{"keep_alive": [1]}', "Unsupported type: '[]interface {}'"),
        (b'{"keep_alive": {}}', "Unsupported type: 'map[string]interface {}'"),
        (b'{"keep_alive": true}', "Unsupported type: 'bool'"),
    ],
)
def test_wrong_types(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as info:
        read_completion(body, chat=False)
    assert words in info.value.message
