"""Every file of `cases` is read as its `expected.json` says."""

import json
import re
from pathlib import Path

import pytest

from bench.scenario.block_text import shared_tokens
from bench.scenario.session_files import read_sessions
from bench.scenario.sessions import Session, SessionFile, Step

CASES = Path(__file__).parent / "cases"
EXPECTED = [
    entry
    for entry in json.loads((CASES / "expected.json").read_text(encoding="utf-8"))["files"]
    if "sessions" in entry["scenario"]["prompts"]
]
ANSWERS = {
    "1 call": (False, 1),
    "text and 1 call": (True, 1),
    "text": (True, 0),
    "empty": (False, 0),
}


def read(entry: dict) -> SessionFile:
    columns = entry["scenario"]["prompts"]["sessions"].get("columns")
    return read_sessions(CASES / entry["file"], "auto", columns)


def ids(entry: dict) -> str:
    return entry["file"]


def names_all(text: str, groups: list) -> bool:
    def named(word: str) -> bool:
        if word.startswith("@"):
            return re.search(rf"(?<!\d){word[1:]}(?!\d)", text) is not None
        return word.lower() in text.lower()

    return all(
        any(named(word) for group in groups_ for word in group.split("|")) for groups_ in groups
    )


READ = [entry for entry in EXPECTED if entry["verdict"] != "refuse"]


@pytest.mark.parametrize("entry", READ, ids=ids)
def test_sessions_and_requests(entry):
    file = read(entry)
    assert file.format == entry["format"].split()[0]
    assert len(file.sessions) == entry["sessions"]
    assert sum(len(s.steps) for s in file.sessions) == entry["requests"]
    assert names_all("\n".join(file.notes), entry["say"])


@pytest.mark.parametrize("entry", READ, ids=ids)
def test_each_request(entry):
    for session, expected in zip(read(entry).sessions, entry["session_list"], strict=True):
        assert session.id == expected["id"]
        for number, request in enumerate(expected["requests"]):
            check(session, number, request)
        assert len(session.steps) == len(expected["requests"])


def check(session: Session, number: int, expected: dict) -> None:
    step = session.steps[number]
    for key in (
        "at_s",
        "gap_s",
        "prompt_tokens",
        "output_tokens",
        "cached_tokens",
        "answered_at_s",
    ):
        if key in expected:
            assert getattr(step, key) == expected[key], (session.id, number, key)
    if "roles" in expected:
        assert roles(session, number) == expected["roles"]
    if "step" in expected:
        assert step.kind == expected["step"]
    if "tools" in expected:
        assert [tool["function"]["name"] for tool in session.tools] == expected["tools"]
    if "answer" in expected and expected["answer"] == "none recorded":
        assert step.answer is None
    elif "answer" in expected:
        assert answer_kind(step) == ANSWERS[expected["answer"]]


def answer_kind(step: Step) -> tuple[bool, int]:
    assert step.answer is not None
    calls = step.answer.get("tool_calls", [])
    assert all(isinstance(call["function"]["arguments"], dict) for call in calls)
    return bool(step.answer["content"]), len(calls)


def roles(session: Session, number: int) -> str:
    history = []
    for step in session.steps[: number + 1]:
        if step.fresh:
            history = []
        history += [*step.added, step.answer]
    return " ".join(m["role"] for m in history[:-1] if m is not None)


@pytest.mark.parametrize("entry", [e for e in READ if "shared" in e], ids=ids)
def test_shared_leading_tokens(entry):
    sessions = read(entry).sessions
    for one, other, tokens in entry["shared"]:
        a, b = (step_at(sessions, place) for place in (one, other))
        assert shared_tokens(a.blocks, a.lengths, b.blocks, b.lengths) == tokens
        assert sum(a.lengths) == a.prompt_tokens


def step_at(sessions: tuple[Session, ...], place: str) -> Step:
    session, step = map(int, place.split("."))
    return sessions[session].steps[step]


@pytest.mark.parametrize("entry", [e for e in EXPECTED if e["verdict"] == "refuse"], ids=ids)
def test_refused(entry):
    with pytest.raises(ValueError) as error:
        read(entry)
    assert names_all(str(error.value), entry["say"])
