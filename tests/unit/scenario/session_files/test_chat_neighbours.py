"""Rows of conversations: roles, contents, calls and times as they come in the wild."""

import json

import pytest
from session_rows import read_rows, said

USER = {"role": "user", "content": "Name a star."}
ANSWER = {"role": "assistant", "content": "Vega."}


def first(file):
    return file.sessions[0].steps[0]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("not JSON", "not JSON"),
        (None, {}),
        ("[1]", "[1]"),
    ],
)
def test_arguments_of_calls(tmp_path, arguments, wanted):
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    row = {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]}
    answer = first(read_rows(tmp_path, row)).answer
    assert answer["content"] == ""
    assert answer["tool_calls"][0]["function"] == {"name": "f", "arguments": wanted}


def test_the_call_of_before_tools(tmp_path):
    row = {"messages": [USER, {**ANSWER, "function_call": {"name": "f", "arguments": "{}"}}]}
    assert first(read_rows(tmp_path, row)).answer["tool_calls"][0]["function"]["name"] == "f"


def test_parts_of_content(tmp_path):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    far = {"type": "image_url", "image_url": {"url": "http://far.example/x.png"}}
    content = [{"type": "text", "text": "Look:"}, image, far, {"type": "input_text", "text": "so"}]
    file = read_rows(tmp_path, {"messages": [{"role": "user", "content": content}, ANSWER]})
    assert first(file).added == ({"role": "user", "content": "Look:\nso", "images": ["AAAA"]},)
    assert "parts of messages left out, of the kind 'image_url': 1" in said(file)


def test_an_unknown_role_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"t\.jsonl:2: a message has the role 'narrator'; known:"):
        read_rows(tmp_path, {"messages": [USER]}, {"messages": [{**USER, "role": "narrator"}]})


def test_line_ends_inside_a_string_are_text(tmp_path):
    row = '{"messages": [{"role": "user", "content": "a\u2028b\u2029c\u0085d"}]}'
    assert first(read_rows(tmp_path, row)).added[0]["content"] == "a\u2028b\u2029c\u0085d"


def test_a_run_of_answers_is_one_answer(tmp_path):
    more = {"role": "assistant", "content": "It is blue."}
    (session,) = read_rows(tmp_path, {"messages": [USER, ANSWER, more, USER]}).sessions
    assert len(session.steps) == 2
    assert session.steps[0].answer == ANSWER
    assert session.steps[1].added == (more, USER)


def test_times_of_messages(tmp_path):
    times = ("2026-10-25T00:59:00+02:00", "2026-10-25T00:59:30+02:00", "2026-10-25T00:00:10+01:00")
    rows = [{**m, "timestamp": t} for m, t in zip((USER, ANSWER, USER), times, strict=True)]
    file = read_rows(tmp_path, {"messages": rows[:2]}, {"messages": [rows[2]]})
    steps = [step for session in file.sessions for step in session.steps]
    # The change of clocks is no gap: 00:59 at +2 is 22:59 UTC, 00:00:10 at +1 is 23:00:10.
    assert [s.at_s for s in steps] == [0.0, 70.0]
    assert steps[0].answered_at_s == 30.0
    assert "arrivals" in said(file)


def test_one_time_without_a_zone_among_others_is_refused(tmp_path):
    zoned = {**USER, "timestamp": "2026-06-01T08:00:00Z"}
    bare = {**USER, "timestamp": "2026-06-01T08:00:00"}
    with pytest.raises(ValueError, match=r"t\.jsonl:2: timestamp .* without a time zone"):
        read_rows(tmp_path, {"messages": [zoned]}, {"messages": [bare]})


def test_tools_of_anthropic_and_in_text(tmp_path):
    tools = '[{"name": "f", "description": "d", "input_schema": {"type": "object"}}]'
    (tool,) = read_rows(tmp_path, {"messages": [USER], "tools": tools}).sessions[0].tools
    wanted = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert tool == {"type": "function", "function": wanted}


def test_a_batch_line_is_one_request(tmp_path):
    body = {"model": "m", "messages": [USER, ANSWER, USER]}
    file = read_rows(tmp_path, {"custom_id": "r1", "method": "POST", "body": body})
    assert (file.format, file.sessions[0].id) == ("batch", "r1")
    (step,) = file.sessions[0].steps
    assert [m["role"] for m in step.added] == ["user", "assistant", "user"]
    assert "one request" in said(file)


@pytest.mark.parametrize("name", ["gpt", "chatgpt", "bing", "bard", "assistant", "model"])
def test_names_of_the_assistant_in_sharegpt(tmp_path, name):
    turns = [{"from": name, "value": "Hello."}, {"from": "user", "value": "Hi."}]
    turns.append({"from": name, "value": "Well?"})
    file = read_rows(tmp_path, {"id": "x", "conversations": turns})
    (step,) = file.sessions[0].steps
    assert file.format == "sharegpt"
    assert [m["role"] for m in step.added] == ["assistant", "user"]
    assert step.answer["content"] == "Well?"


def test_a_system_text_beside_the_messages(tmp_path):
    row = {"system": "Be brief.", "conversations": [{"from": "human", "value": "Hi."}]}
    assert [m["role"] for m in first(read_rows(tmp_path, row)).added] == ["system", "user"]


def test_lmsys(tmp_path):
    row = {"conversation_id": "c7", "model": "m", "conversation": [USER, ANSWER], "turn": 1}
    file = read_rows(tmp_path, row, name="t.json")
    assert (file.format, file.sessions[0].id, first(file).at_s) == ("lmsys", "c7", None)


def test_the_same_name_twice_stays_two_sessions(tmp_path):
    row = {"id": "x", "messages": [USER, ANSWER]}
    assert [s.id for s in read_rows(tmp_path, row, row).sessions] == ["x", "x'"]


def test_chatgpt_export_reads_the_open_branch(tmp_path):
    def node(name, parent, role, text, at=None):
        message = {
            "id": name,
            "author": {"role": role},
            "create_time": at,
            "recipient": "all",
            "content": {"content_type": "text", "parts": [text]},
        }
        return {"id": name, "parent": parent, "message": message}

    mapping = {
        "root": {"id": "root", "parent": None, "message": None},
        "s": node("s", "root", "system", ""),
        "u": node("u", "s", "user", "Hi.", 1780300800.0),
        "a1": node("a1", "u", "assistant", "Old.", 1780300801.0),
        "a2": node("a2", "u", "assistant", "New.", 1780300802.0),
        "u2": node("u2", "a2", "user", "And?", 1780300830.5),
    }
    row = {"title": "t", "conversation_id": "k", "mapping": mapping, "current_node": "u2"}
    file = read_rows(tmp_path, json.dumps([row]))
    (session,) = file.sessions
    assert (file.format, session.id) == ("chatgpt", "k")
    assert session.steps[0].answer["content"] == "New."
    assert [s.at_s for s in session.steps] == [0.0, 30.5]
    assert [s.gap_s for s in session.steps] == [None, None]
    assert "messages on branches that were given up left out: 1" in said(file)
    assert "empty system messages left out: 1" in said(file)


def test_open_webui_export(tmp_path):
    nodes = {
        "1": {
            "id": "1",
            "parentId": None,
            "role": "user",
            "content": "Hi",
            "timestamp": 1780300800,
        },
        "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "Yes?"},
        "3": {"id": "3", "parentId": "2", "role": "user", "content": "So", "timestamp": 1780300860},
    }
    chat = {"history": {"messages": nodes, "currentId": "3"}, "messages": []}
    file = read_rows(tmp_path, json.dumps([{"id": "w", "chat": chat}]))
    assert file.format == "open-webui"
    assert [s.at_s for s in file.sessions[0].steps] == [0.0, 60.0]
    assert file.sessions[0].steps[0].answer["content"] == "Yes?"
