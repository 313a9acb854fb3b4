"""The court: each lie is refused with its reason, and no honest reply is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.run.columns import Columns
from bench.analysis.run.plausibility import FIELDS, Reason, refuse_cut_counts
from bench.results.record import RequestRecord
from bench.wire.exchange import Outcome, ServerTimings

Made = Callable[[list[RequestRecord]], Columns]
Request = Callable[..., RequestRecord]

S, MS, US = 10**9, 10**6, 10**3
HONEST = ServerTimings(1_500 * MS, 2 * MS, 200, None, 480 * MS, 21, S)
"""Of the usual request: first text after 0.5 s, 21 tokens in 1 s."""


def refused(columns: Columns, row: int = 0) -> dict[str, Reason]:
    return {f: Reason(int(c)) for f, c in zip(FIELDS, columns.refused[row], strict=True) if c}


def judged(columns_from: Made, a_request: Request, **fields: Any) -> dict[str, Reason]:
    stream = fields.pop("stream", True)
    record = {k: fields.pop(k) for k in list(fields) if not hasattr(HONEST, k)}
    server = replace(HONEST, **fields)
    return refused(columns_from([a_request(server=server, stream=stream, **record)]))


LIES: dict[str, tuple[dict[str, Any], dict[str, Reason]]] = {
    "negative": ({"eval_duration": -5}, {"eval_ns": Reason.NEGATIVE}),
    "zero": ({"prompt_eval_duration": 0}, {"prompt_eval_ns": Reason.ZERO}),
    "hours": ({"eval_duration": 516_371 * S}, {"eval_ns": Reason.LONGER_THAN_EXCHANGE}),
    "a wrapped negative": ({"load_duration": 2**64 - 5}, {"load_ns": Reason.LONGER_THAN_EXCHANGE}),
    "beyond 64 bits": ({"total_duration": 2**70}, {"total_ns": Reason.LONGER_THAN_EXCHANGE}),
    "milliseconds": ({"eval_duration": 1_000}, {"eval_ns": Reason.TOO_FAST}),
    "a token in a microsecond": ({"eval_duration": 21 * US}, {"eval_ns": Reason.TOO_FAST}),
    "prompt in no time": ({"prompt_eval_duration": 480}, {"prompt_eval_ns": Reason.TOO_FAST}),
    "tokens above the limit": (
        {"eval_count": 65, "num_predict": 64},
        {"output_tokens": Reason.MORE_THAN_ASKED},
    ),
    "zero tokens": ({"eval_count": 0, "answer_chars": 80}, {"output_tokens": Reason.ZERO}),
    "more cached than there is": (
        {"prompt_eval_cached_count": 201},
        {"cached_tokens": Reason.MORE_THAN_PROMPT},
    ),
    "a parts sum above the total": (
        {"total_duration": 900 * MS},
        {"total_ns": Reason.SHORTER_THAN_PARTS},
    ),
    "too much text": ({"answer_chars": 9_000}, {"output_tokens": Reason.TOO_FEW_FOR_TEXT}),
}
STREAM_LIES: dict[str, tuple[dict[str, Any], dict[str, Reason]]] = {
    "load after the first text": (
        {"load_duration": 700 * MS, "prompt_eval_duration": None},
        {"load_ns": Reason.AFTER_FIRST_TEXT},
    ),
    "fewer tokens than chunks": ({"eval_count": 10}, {"output_tokens": Reason.FEWER_THAN_CHUNKS}),
    "decoding with the prompt in it": (
        {"eval_duration": 1_450 * MS},
        {"eval_ns": Reason.AFTER_STREAM},
    ),
}
WHOLE_LIES: dict[str, tuple[dict[str, Any], dict[str, Reason]]] = {
    "decoding is all of it": (
        {"eval_duration": 1_500 * MS, "prompt_eval_duration": None, "load_duration": None},
        {"eval_ns": Reason.WHOLE_REQUEST},
    ),
    "decoding with the prompt in it": (
        {"eval_duration": 1_450 * MS},
        dict.fromkeys(("load_ns", "prompt_eval_ns", "eval_ns"), Reason.PARTS_TOO_LONG),
    ),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_costs_its_field_alone(
    columns_from: Made, a_request: Request, lie: str, stream: bool
) -> None:
    fields, want = LIES[lie]
    assert judged(columns_from, a_request, stream=stream, **fields) == want


@pytest.mark.parametrize("lie", STREAM_LIES)
def test_a_stream_convicts(columns_from: Made, a_request: Request, lie: str) -> None:
    fields, want = STREAM_LIES[lie]
    assert judged(columns_from, a_request, **fields) == want


@pytest.mark.parametrize("lie", WHOLE_LIES)
def test_a_whole_reply_convicts(columns_from: Made, a_request: Request, lie: str) -> None:
    fields, want = WHOLE_LIES[lie]
    assert judged(columns_from, a_request, stream=False, **fields) == want


def test_a_refused_field_is_absent_and_the_others_stay(
    columns_from: Made, a_request: Request
) -> None:
    server = replace(HONEST, eval_duration=-1)
    columns = columns_from([a_request(server=server)])
    assert np.isnan(columns.eval_ns[0])
    assert (columns.prompt_eval_ns[0], columns.output_tokens[0]) == (480 * MS, 21)


def test_a_counter_that_is_no_number_says_so(columns_from: Made, a_request: Request) -> None:
    server = replace(HONEST, eval_duration=None)
    record = a_request(server=server, other_fields={"eval_duration": "1 s", "peak_memory": 5})
    assert refused(columns_from([record])) == {"eval_ns": Reason.NO_NUMBER}


def test_an_answer_cut_at_its_limit_has_as_many_tokens(
    columns_from: Made, a_request: Request
) -> None:
    """But not one that filled the context."""
    columns = columns_from([a_request(num_predict=40, done_reason="length", stream=False)])
    assert refused(refuse_cut_counts(columns, 4096)) == {"output_tokens": Reason.FEWER_THAN_LIMIT}
    assert not refused(refuse_cut_counts(columns, 222))
    assert not refused(refuse_cut_counts(columns, None))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    tokens=st.integers(2, 400),
    step_ms=st.floats(0.12, 200),
    prompt_ms=st.floats(0.1, 5_000),
    load_ms=st.floats(0.5, 600),
    rest_ms=st.floats(0.3, 40),
    network_ms=st.floats(0.0, 300),
    grain=st.sampled_from([1, 1_000, MS]),
    stop=st.booleans(),
    stream=st.booleans(),
)
def test_no_honest_reply_loses_a_field(
    columns_from: Made,
    a_request: Request,
    tokens: int,
    step_ms: float,
    prompt_ms: float,
    load_ms: float,
    rest_ms: float,
    network_ms: float,
    grain: int,
    stop: bool,
    stream: bool,
) -> None:
    """Whatever the machine: durations that add up, rounded to the grain of the version's clock."""
    decode = step_ms * (tokens - 1) / 1e3
    ttft = (load_ms + prompt_ms + rest_ms + network_ms) / 1e3
    total = (load_ms + prompt_ms + rest_ms) / 1e3 + decode
    ns = [round(s * 1e9 / grain) * grain for s in (prompt_ms / 1e3, decode)]
    if 0 in ns:
        return  # whole milliseconds of less than one: absent, as Ollama leaves it out
    server = ServerTimings(round(total * S), round(load_ms * MS), 9, None, ns[0], tokens, ns[1])
    record = a_request(ttft=ttft, decode=decode, tokens=tokens, server=server, stream=stream)
    if stop:
        record = replace(record, done_reason="stop", text_chunks=max(record.text_chunks - 1, 0))
    assert not refused(columns_from([record]))


RECORDINGS = Path(__file__).parents[2] / "recordings"


def test_no_recorded_reply_loses_a_field(
    columns_from: Made, recorded: Any, recorded_together: Any
) -> None:
    """0.12.11, 0.24.0 and 0.32.15: cold, cached, cut, thinking, several at once, ..."""
    seen = 0
    for folder in sorted(RECORDINGS.glob("ollama-*")):
        version = folder.name.removeprefix("ollama-")
        for file in sorted(folder.glob("*.json")):
            found = json.loads(file.read_text())
            first = found[0] if isinstance(found, list) else found
            body = first["request"]["body"]
            native = first["request"]["path"] in ("/api/chat", "/api/generate")
            if not native or not isinstance(body, dict) or first["response"]["status"] != 200:
                continue
            read = recorded_together if isinstance(found, list) else recorded
            made = read(version, file.stem)
            for record in made if isinstance(made, list) else [made]:
                if record.outcome is not Outcome.OK:
                    continue
                limit = body.get("options", {}).get("num_predict")
                columns = columns_from([replace(record, num_predict=limit)])
                assert not refused(columns), f"{version}/{file.stem}"
                seen += 1
    assert seen > 100
