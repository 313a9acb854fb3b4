"""Whatever stands in a file, it is read or refused with one message: never a traceback."""

import contextlib
import copy
import json
import math
import random
import re
from pathlib import Path

import pytest
from agent_sessions import CLAUDE, CODEX

from bench.scenario.session_files import read_sessions

CASES = Path(__file__).parent / "cases"
ODD = (None, True, -1, 0, 1.5, 1e300, 10**30, "", "x", "1", [], {}, [None], [[]], {"a": None})
ROUNDS = 150


def rows(name: str) -> list:
    if name == "claude":
        return list(CLAUDE)
    if name == "codex":
        return list(CODEX)
    text = (CASES / name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        made = json.loads(text)
        return made if isinstance(made, list) else [made]
    return [json.loads(line) for line in text.splitlines()]


@contextlib.contextmanager
def names_the_file():
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("t.jsonl"):
            raise AssertionError(f"names no file: {error}") from None
        raise


def places(value, path=()):
    """Every place in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in items:
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from places(below, (*path, key))


@pytest.mark.parametrize(
    "name",
    [
        "01-agent-messages.jsonl",
        "02-sharegpt.json",
        "03-wildchat-iso.jsonl",
        "04-mooncake.jsonl",
        "05-bailian.jsonl",
        "06-weka-session.json",
        "07-tracelab.jsonl",
        "08-otel-counts-only.jsonl",
        "claude",
        "codex",
    ],
)
def test_odd_values(tmp_path, name):
    rng = random.Random(name)
    whole = rows(name)
    everywhere = list(places(whole))
    path = tmp_path / "t.jsonl"
    for _ in range(ROUNDS):
        changed = copy.deepcopy(whole)
        *above, last = rng.choice(everywhere)
        here = changed
        for key in above:
            here = here[key]
        if rng.random() < 0.2 and isinstance(here, dict):
            del here[last]
        else:
            here[last] = rng.choice(ODD)
        path.write_text("\n".join(map(json.dumps, changed)), encoding="utf-8")
        with contextlib.suppress(ValueError), names_the_file():
            assert all(session.steps for session in read_sessions(path).sessions)


RECORDED = {"ollama_bench_record": 1, "session": "s", "at": 1741064767.0}
SPAN = {"trace_id": "t", "start_time": "2025-03-04T05:06:07Z"}
CALL = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 9}
ASKED = {**CALL, "gen_ai.input.messages": [{"role": "user", "content": "Hi"}]}
ASKED.pop("gen_ai.usage.input_tokens")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([{**RECORDED, "hashes": []}], "1: hashes is empty, not a list of"),
        (
            [{"block_size": 64, "requests": [{"t": math.nan, "in": 1, "out": 1, "hash_ids": []}]}],
            " item 1: requests[0]: t is nan, not seconds from 0 on",
        ),
        (
            [{**SPAN, "attributes": ASKED}, {**SPAN, "attributes": CALL}],
            "1: some calls have messages and others only counts",
        ),
    ],
)
def test_what_is_refused(tmp_path, made, why):
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"t.jsonl:{why}")):
        read_sessions(path)


def test_a_wrong_count_of_codex_names_its_line_and_a_picture_of_a_tool_is_kept(tmp_path):
    path, made = tmp_path / "t.jsonl", copy.deepcopy(list(CODEX))
    picture = {"type": "input_image", "image_url": "data:image/png;base64,QUJD"}
    (result, *_) = (r["payload"] for r in made if "output" in r["payload"])
    result["output"] = [{"type": "input_text", "text": "shown"}, picture]
    path.write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    (session,) = read_sessions(path).sessions
    (seen,) = [m for s in session.steps for m in s.added if m.get("images")]
    assert (seen["role"], seen["content"], seen["images"]) == ("tool", "shown", ["QUJD"])
    line, used = next((i, r) for i, r in enumerate(made, 1) if "info" in r["payload"])
    used["payload"]["info"]["last_token_usage"]["input_tokens"] = -1
    path.write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^t\.jsonl:{line}: input_tokens is -1"):
        read_sessions(path)
