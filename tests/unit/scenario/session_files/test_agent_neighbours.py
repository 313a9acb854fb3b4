"""Session files of coding agents: answers in several lines, usage told twice, compactions."""

import json

import pytest
from agent_sessions import CALL, CLAUDE, CODEX, TIME, answer, item, line, says
from session_rows import read_rows, said

from bench.scenario.session_files import read_sessions


def test_claude_code_counts_an_answer_once(tmp_path):
    file = read_rows(tmp_path, *CLAUDE)
    (session,) = file.sessions
    one, two = session.steps
    assert (file.format, session.id) == ("claude-code", "S")
    assert (one.prompt_tokens, one.cached_tokens, one.output_tokens) == (1004, 900, 7)
    assert [c["id"] for c in one.answer["tool_calls"]] == ["t1", "t2"]
    assert one.answer["content"] == "I look."
    assert [m["content"] for m in two.added] == ["content", "more"]
    assert (two.kind, two.at_s, two.gap_s, two.answered_at_s) == ("tool", 7.0, 1.0, 9.0)
    assert "system prompt and tools are not in its file" in said(file)


def test_claude_code_starts_afresh_after_a_compaction(tmp_path):
    cut = {
        "type": "system",
        "subtype": "compact_boundary",
        "sessionId": "S",
        "uuid": "b",
        "timestamp": TIME.format(20),
    }
    after = line(21, {"role": "user", "content": "Summary of before."}, isCompactSummary=True)
    file = read_rows(tmp_path, *CLAUDE, cut, after, line(25, answer(CALL, "m3")))
    last = file.sessions[0].steps[-1]
    assert last.fresh and [m["content"] for m in last.added] == ["Summary of before."]


def test_sub_agents_in_files_of_their_own_are_threads(tmp_path):
    read_rows(tmp_path, *CLAUDE, name="s.jsonl")
    side = {"isSidechain": True, "agentId": "a9"}
    rows = (
        line(5, {"role": "user", "content": "Look."}, **side),
        line(6, answer(CALL, "n1"), **side),
    )
    read_rows(tmp_path, *rows, name="agent-a9.jsonl")
    (session,) = read_sessions(tmp_path / "*.jsonl").sessions
    assert [s.thread for s in session.steps] == ["", "a9", ""]
    assert session.steps[1].kind == "subagent"


def test_codex_takes_the_usage_of_each_request_once(tmp_path):
    file = read_rows(tmp_path, *CODEX)
    (session,) = file.sessions
    one, two = session.steps
    assert (file.format, session.id) == ("codex", "X")
    assert [m["role"] for m in one.added] == ["system", "user"]
    assert (one.prompt_tokens, one.cached_tokens, one.output_tokens) == (100, 90, 6)
    assert (two.prompt_tokens, two.kind, two.gap_s) == (150, "tool", 2.0)
    assert one.answer["tool_calls"][0]["function"]["arguments"] == {"cmd": "ls"}
    assert two.answer == {"role": "assistant", "content": "Done."}


def test_codex_compaction(tmp_path):
    kept = {
        "timestamp": TIME.format(10),
        "type": "compacted",
        "payload": {"message": "what was done"},
    }
    file = read_rows(
        tmp_path,
        *CODEX,
        kept,
        item(11, **says("user", "Go on.")),
        item(12, **says("assistant", "Yes.")),
    )
    last = file.sessions[0].steps[-1]
    assert last.fresh and [m["content"] for m in last.added] == ["what was done", "Go on."]


def test_a_recording_is_read_to_its_last_whole_line(tmp_path):
    row = {
        "ollama_bench_record": 1,
        "session": "s",
        "fresh": True,
        "kind": "user",
        "at": "2026-06-01T08:00:00.000000+00:00",
        "path": "/api/chat",
        "answered_at": "2026-06-01T08:00:02.500000+00:00",
        "complete": True,
        "tools": [],
        "messages": [{"role": "user", "content": "Hi"}],
        "answer": None,
    }
    path = tmp_path / "r.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps(row)[:40]}")
    file = read_sessions(path)
    assert (file.format, file.sessions[0].steps[0].answered_at_s) == ("record", 2.5)
    assert "line 2 is cut" in said(file)
    with pytest.raises(ValueError, match="ollama_bench_record is 2; known: 1"):
        read_rows(tmp_path, {**row, "ollama_bench_record": 2})
