"""Traces of tokens and blocks: units, prefixes, sub-agents, counts."""

import json

import pytest
from session_rows import read_rows, said, shared

MOON = {"timestamp": 0, "input_length": 1024, "output_length": 9, "hash_ids": [1, 2]}


def test_mooncake_rows_of_a_session_hold_only_what_is_new(tmp_path):
    second = {
        "session_id": "s",
        "delay": 1500,
        "input_length": 512,
        "output_length": 3,
        "hash_ids": [7],
    }
    file = read_rows(tmp_path, {**MOON, "session_id": "s"}, second)
    one, two = file.sessions[0].steps
    assert (file.format, two.prompt_tokens, two.gap_s) == ("mooncake", 1024 + 9 + 512, 1.5)
    assert shared(one, two) == 1024
    assert "session_id" in said(file)


def test_mooncake_counts_whole_milliseconds(tmp_path):
    with pytest.raises(ValueError, match=r"t\.jsonl:2: timestamp is 2\.5.*unit"):
        read_rows(tmp_path, MOON, {**MOON, "timestamp": 2.5})


def test_blocks_that_fit_both_sizes_are_refused(tmp_path):
    row = {"timestamp": 0, "input_length": 10, "output_length": 1, "hash_ids": [1]}
    with pytest.raises(ValueError, match=r"t\.jsonl:1: .*Mooncake.*Bailian.*format"):
        read_rows(tmp_path, row)
    assert read_rows(tmp_path, row, format="bailian").format == "bailian"


def test_blocks_that_fit_neither_are_refused(tmp_path):
    row = {"timestamp": 0, "input_length": 1000, "output_length": 1, "hash_ids": [1] * 9}
    with pytest.raises(ValueError, match="neither"):
        read_rows(tmp_path, row)


def test_bailian_without_chat_ids_is_told_by_its_blocks(tmp_path):
    row = {"timestamp": 1.5, "input_length": 40, "output_length": 1, "hash_ids": [1, 2, 3]}
    file = read_rows(tmp_path, row, {**row, "timestamp": 2.75, "hash_ids": [1, 2, 9]})
    one, two = (session.steps[0] for session in file.sessions)
    assert (one.at_s, two.at_s, shared(one, two)) == (0.0, 1.25, 32)


def test_bailian_chat_without_its_beginning(tmp_path):
    row = {
        "chat_id": 5,
        "parent_chat_id": 4,
        "timestamp": 0.0,
        "input_length": 16,
        "output_length": 1,
        "type": "text",
        "turn": 2,
        "hash_ids": [1],
    }
    file = read_rows(tmp_path, row, {**row, "chat_id": 6, "parent_chat_id": 5})
    assert [s.id for s in file.sessions] == ["5"]
    assert "beginning is not in the file: 1" in said(file)


def weka(name="w", **more):
    first = {"t": 0.0, "type": "s", "in": 128, "out": 5, "hash_ids": [1, 2], "api_time": 1.0}
    return {"id": name, "block_size": 64, "requests": [first], **more}


def agent(at_s, times, **more):
    nested = [
        {"t": t, "type": "s", "in": 64, "out": 1, "hash_ids": [50 + i], "api_time": 0.5}
        for i, t in enumerate(times)
    ]
    return {"t": at_s, "type": "subagent", "agent_id": "a", "requests": nested, **more}


def test_weka_block_ids_are_local_unless_said(tmp_path):
    file = read_rows(tmp_path, weka("a"), weka("b"))
    one, two = (session.steps[0] for session in file.sessions)
    assert shared(one, two) == 0
    assert "local" in said(file)
    file = read_rows(tmp_path, *(weka(n, hash_id_scope="global") for n in "ab"))
    assert shared(file.sessions[0].steps[0], file.sessions[1].steps[0]) == 128
    assert [s.start_s for s in file.sessions] == [None, None]  # each counts from its own start


@pytest.mark.parametrize(
    ("times", "note"), [([0.0, 8.0], "sub-agent's start"), ([100.0, 108.0], "session's start")]
)
def test_weka_times_of_sub_agents_are_told_by_what_fits(tmp_path, times, note):
    row = weka()
    row["requests"].append(agent(100.0, times, duration_ms=10_000))
    file = read_rows(tmp_path, row)
    nested = [s for s in file.sessions[0].steps if s.thread]
    assert [s.at_s for s in nested] == [100.0, 108.0]
    assert {s.kind for s in nested} == {"subagent"} and nested[0].fresh
    assert note in said(file)


def test_weka_times_of_sub_agents_that_fit_both_are_refused(tmp_path):
    row = weka()
    row["requests"].append(agent(3.0, [3.5, 4.0], duration_ms=60_000))
    with pytest.raises(ValueError, match=r"requests\[1\]: the times of this sub-agent.*cannot be"):
        read_rows(tmp_path, row)


def lab(index, at, total, prefix, kind="user_message", **more):
    events = [
        {"event_type": kind, "timestamp": f"2026-06-01T09:00:{at:06.3f}Z"},
        {"event_type": "text", "timestamp": f"2026-06-01T09:00:{at + 1:06.3f}Z"},
    ]
    return {
        "session_id": "claude:x",
        "round_index": index,
        "input_tokens_total": total,
        "prefix_tokens": prefix,
        "newly_append_tokens": total - prefix,
        "output_tokens": 5,
        "timing_events": events,
        "tools": [],
        "first_input_event_type": kind,
        **more,
    }


def test_tracelab_rounds_in_any_order(tmp_path):
    file = read_rows(tmp_path, lab(1, 10, 600, 500, "tool_result"), lab(0, 0, 500, 0))
    one, two = file.sessions[0].steps
    assert (one.at_s, two.at_s, two.gap_s, two.kind) == (0.0, 10.0, 9.0, "tool")
    assert shared(one, two) == 500


def test_tracelab_counts_that_do_not_add_up_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"t\.jsonl:1: prefix_tokens 400"):
        read_rows(tmp_path, {**lab(0, 0, 500, 400), "newly_append_tokens": 500})


def test_tracelab_first_rounds_share_what_they_had_cached(tmp_path):
    file = read_rows(
        tmp_path, lab(0, 0, 500, 300), {**lab(0, 1, 700, 200), "session_id": "claude:y"}
    )
    one, two = (session.steps[0] for session in file.sessions)
    assert shared(one, two) == 200
    assert "one head" in said(file)


def span(name, start, end, session="s", **values):
    attributes = {"gen_ai.operation.name": "chat", **values}
    return {
        "trace_id": session,
        "span_id": name,
        "start_time": f"2026-06-01T08:00:{start:02d}Z",
        "end_time": f"2026-06-01T08:00:{end:02d}Z",
        "attributes": attributes,
    }


def test_otel_messages_of_the_conventions(tmp_path):
    sent = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    call = {"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": 1}}
    told = [
        *sent,
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "4"}]},
    ]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Four."}]}]
    file = read_rows(
        tmp_path,
        span(
            "1", 0, 2, **{"gen_ai.input.messages": json.dumps(sent), "gen_ai.usage.input_tokens": 9}
        ),
        span("t", 2, 3, **{"gen_ai.operation.name": "execute_tool"}),
        span("2", 4, 5, **{"gen_ai.input.messages": told, "gen_ai.output.messages": answer}),
    )
    one, two = file.sessions[0].steps
    assert one.answer["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert two.added == ({"role": "tool", "content": "4", "tool_call_id": "c"},)
    assert (two.kind, two.gap_s, two.answer["content"]) == ("tool", 2.0, "Four.")
    assert "no calls of a model left out: 1" in said(file)


def test_otlp_packages(tmp_path):
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.conversation.id", "value": {"stringValue": "talk"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "70"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "5"}},
    ]
    made = {
        "traceId": "q",
        "startTimeUnixNano": "1780300800000000000",
        "endTimeUnixNano": "1780300802500000000",
        "attributes": attributes,
    }
    file = read_rows(tmp_path, {"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]})
    (session,) = file.sessions
    (step,) = session.steps
    assert (session.id, step.prompt_tokens, step.output_tokens) == ("talk", 70, 5)
    assert (step.at_s, step.answered_at_s) == (0.0, 2.5)


def test_otel_cached_tokens_beside_the_input_are_refused(tmp_path):
    counts = {"gen_ai.usage.input_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 400}
    with pytest.raises(ValueError, match="400 cached tokens are more than the 50 input tokens"):
        read_rows(tmp_path, span("1", 0, 2, **counts))


def test_rows_of_ones_own(tmp_path):
    columns = {"time": "t_ms", "prompt_tokens": "in", "output_tokens": "out", "session": "who"}
    rows = ("who,t_ms,in,out,note", "a,100,30,4,x", "b,350,40,5,y", "a,1100,60,6,z")
    file = read_rows(tmp_path, *rows, name="t.csv", columns=columns)
    assert [s.id for s in file.sessions] == ["a", "b"]
    assert [s.at_s for s in file.sessions[0].steps] == [0.0, 1.0]
    assert (file.sessions[1].start_s, file.sessions[1].steps[0].prompt_tokens) == (0.25, 40)


def test_a_column_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"t\.jsonl:1: there is no column 'when'; there are in"):
        read_rows(tmp_path, {"in": 5}, columns={"time": "when", "prompt_tokens": "in"})


def test_numbers_without_a_unit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"t\.jsonl:1: when is 12, in a unit"):
        read_rows(tmp_path, {"in": 5, "when": 12}, columns={"time": "when", "prompt_tokens": "in"})
