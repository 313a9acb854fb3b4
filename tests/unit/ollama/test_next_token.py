"""Replies to the question what comes next, as Ollama sends them."""

from __future__ import annotations

import pytest

from bench.errors import NotOllama
from bench.ollama.next_token import END_OF_TEXT, NO_LIST, NO_TOKEN, next_token_request
from bench.ollama.next_token import read_next_token as read

HEAD = '"model":"m","created_at":"2026-11-23T11:49:34.39830501Z"'
TAIL = '"total_duration":11000000,"prompt_eval_count":21,"eval_count":1'


def reply(response, reason, rest=""):
    said = f'{{{HEAD},"response":"{response}","done":true,"done_reason":"{reason}",{TAIL}{rest}}}'
    return said.encode()


def test_a_list():
    entry = (
        ',"logprobs":[{"token":" I","logprob":-1.3,"bytes":[32,73],"top_logprobs":['
        '{"token":" I","logprob":-1.3,"bytes":[32,73]},{"token":"","logprob":-1.9}]}]'
    )
    found = read(reply(" I", "length", entry))
    assert found.tokens == ((" I", -1.3), ("", -1.9))
    assert (found.prompt_tokens, found.missing) == (21, "")


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (reply("", "stop"), END_OF_TEXT),
        (reply("", "length"), NO_TOKEN),
        (reply(" I", "length"), NO_LIST),
        (reply(" I", "length", ',"logprobs":[{"token":" I","logprob":-1.3}]'), NO_LIST),
        (reply(" I", "length", ',"logprobs":[]'), NO_LIST),
        (reply(" I", "length", ',"logprobs":null'), NO_LIST),
    ],
)
def test_no_list_has_its_reason(body, missing):
    assert read(body).tokens == () and read(body).missing == missing


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"response":3}', b'{"logprobs":7}'])
def test_what_is_no_reply_is_said(body):
    with pytest.raises(NotOllama):
        read(body)


def test_the_request_asks_for_the_model_s_own_list():
    body = next_token_request("m", "Once", 2048)
    assert body["raw"] and not body["stream"] and body["top_logprobs"] == 20
    assert body["options"]["repeat_penalty"] == 1 and body["options"]["num_predict"] == 1
