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
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"3", "json: cannot unmarshal number into Go value of type api.Request"),
    ],
)
def test_bad_json(body: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as info:
        read_object(body)
    assert info.value.message == words
    assert info.value.status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model": 3}', "cannot unmarshal number into Go struct field .model of type string"),
        (b'{"messages": "x"}', "cannot unmarshal string into Go struct field .messages"),
        (b'{"messages": ["x"]}', "cannot unmarshal string into Go struct field ChatRequest"),
        (b'{"stream": 1}', "cannot unmarshal number into Go struct field .stream of type bool"),
        (b'{"options": []}', "cannot unmarshal array into Go struct field .options"),
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
