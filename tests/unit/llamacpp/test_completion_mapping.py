"""A job becomes llama.cpp's request, its events become the seam's words, nothing gets lost."""

import pytest

from bench.server.engine import Job, Piece, Rendered
from bench.server.llamacpp.completion import completion_request, finish, logprobs, seed

OPTIONS = {
    "num_predict": 24,
    "seed": 7,
    "temperature": 0.5,
    "top_k": 30,
    "top_p": 0.8,
    "min_p": 0.1,
    "typical_p": 0.9,
    "repeat_last_n": 32,
    "repeat_penalty": 1.1,
    "presence_penalty": 0.2,
    "frequency_penalty": 0.3,
    "num_keep": 4,
}
# The last event of a real completion, without the fields that nobody reads.
LAST_EVENT = {
    "content": "",
    "tokens": [],
    "stop": True,
    "stop_type": "limit",
    "tokens_predicted": 4,
    "timings": {
        "cache_n": 3,
        "prompt_n": 12,
        "prompt_ms": 121.61,
        "predicted_n": 4,
        "predicted_ms": 46.473,
    },
}


def job(**changes):
    values = {"id": 1, "prompt": Rendered("hi", (28120, 5)), "options": OPTIONS}
    return Job(**(values | changes))


def test_every_sampling_option_is_passed_on_under_llama_cpps_name():
    body = completion_request(job(stop=("END",)), num_ctx=2048)
    assert body == {
        "prompt": [28120, 5],
        "stream": True,
        "cache_prompt": True,
        "return_tokens": True,
        "seed": 7,
        "stop": ["END"],
        "n_predict": 24,
        "n_keep": 4,
        "temperature": 0.5,
        "top_k": 30,
        "top_p": 0.8,
        "min_p": 0.1,
        "typical_p": 0.9,
        "repeat_last_n": 32,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
    }


@pytest.mark.parametrize(
    ("num_predict", "n_predict"), [(-1, 20480), (-2, 20480), (0, None), (1, 1), (50, 50)]
)
def test_number_of_tokens_to_predict(num_predict, n_predict):
    body = completion_request(job(options={"num_predict": num_predict}), num_ctx=2048)
    assert body.get("n_predict") == n_predict


@pytest.mark.parametrize(
    ("asked", "sent"), [(-1, 0xFFFFFFFF), (0, 0), (7, 7), (2**32 + 5, 5), (2**32 - 1, 2**32 - 1)]
)
def test_seed_fits_32_bits(asked, sent):
    assert seed(asked) == sent


@pytest.mark.parametrize(
    ("given", "schema"),
    [("json", {"type": "object"}), ({"type": "array"}, {"type": "array"}), ({}, {})],
)
def test_format_is_a_schema(given, schema):
    assert completion_request(job(format=given), num_ctx=2048)["json_schema"] == schema


def test_no_format_no_schema_and_no_logprobs_unless_asked():
    body = completion_request(job(), num_ctx=2048)
    assert "json_schema" not in body
    assert "n_probs" not in body


@pytest.mark.parametrize(("top", "n_probs"), [(0, 1), (1, 1), (5, 5)])
def test_logprobs_ask_for_at_least_the_token_itself(top, n_probs):
    body = completion_request(job(logprobs=True, top_logprobs=top), num_ctx=2048)
    assert body["n_probs"] == n_probs


def test_finish_carries_the_timings_in_nanoseconds():
    end = finish(LAST_EVENT, [1, 2], Piece(text="x"))
    assert (end.prompt_n, end.cache_n, end.predicted_n) == (12, 3, 4)
    assert (end.prompt_ns, end.predicted_ns) == (121_610_000, 46_473_000)
    assert end.done_reason == "length"
    assert end.output_tokens == [1, 2]
    assert end.piece == Piece(text="x")


@pytest.mark.parametrize(
    ("stop_type", "reason"), [("limit", "length"), ("eos", "stop"), ("word", "stop")]
)
def test_why_it_ended(stop_type, reason):
    assert finish(LAST_EVENT | {"stop_type": stop_type}, [], None).done_reason == reason


def test_an_end_without_timings_is_an_error_not_a_zero():
    with pytest.raises(KeyError):
        finish({"stop": True, "stop_type": "eos"}, [], None)


EVENT_WITH_LOGPROBS = {
    "content": "-",
    "completion_probabilities": [
        {
            "id": 29,
            "token": "-",
            "bytes": [45],
            "logprob": -0.5,
            "top_logprobs": [
                {"id": 29, "token": "-", "bytes": [45], "logprob": -0.5},
                {"id": 28, "token": ",", "bytes": [44], "logprob": -2.25},
            ],
        }
    ],
}


def test_logprobs_in_ollamas_shape():
    (entry,) = logprobs(EVENT_WITH_LOGPROBS, top=2)
    assert entry == {
        "token": "-",
        "logprob": -0.5,
        "bytes": [45],
        "top_logprobs": [
            {"token": "-", "logprob": -0.5, "bytes": [45]},
            {"token": ",", "logprob": -2.25, "bytes": [44]},
        ],
    }
    assert list(entry) == ["token", "logprob", "bytes", "top_logprobs"]


def test_logprobs_without_alternatives():
    (entry,) = logprobs(EVENT_WITH_LOGPROBS, top=0)
    assert entry == {"token": "-", "logprob": -0.5, "bytes": [45]}
    assert logprobs({}, top=0) == ()


def test_what_has_no_text_brings_no_entry():
    """The end of the text, and a part of a character: Ollama 0.24 and 0.32 send no entry."""
    assert logprobs(EVENT_WITH_LOGPROBS | {"content": ""}, top=2) == ()


def test_bytes_are_those_of_the_text():
    """As Ollama sends them: never the engine's own, of which no client would know."""
    half = {"id": 5, "token": "\ufffd", "bytes": [131], "logprob": -0.5}
    control = {"id": 2, "token": "", "bytes": [], "logprob": -3.0}
    event = {"content": "x", "completion_probabilities": [half | {"top_logprobs": [half, control]}]}
    (entry,) = logprobs(event, top=2)
    assert entry["bytes"] == [239, 191, 189]
    assert entry["top_logprobs"][1] == {"token": "", "logprob": -3.0}
