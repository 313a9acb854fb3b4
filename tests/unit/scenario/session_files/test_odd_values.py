"""Whatever stands in a file, it is read or refused with one message: never a traceback."""

import contextlib
import copy
import json
import random
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
        with contextlib.suppress(ValueError):
            assert all(session.steps for session in read_sessions(path).sessions)
