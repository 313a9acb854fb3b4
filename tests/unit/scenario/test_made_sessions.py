"""Sessions made up from published statistics, and what is said when they do not fit."""

from __future__ import annotations

import itertools
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ScenarioError
from bench.scenario.corpus import TokenRates
from bench.scenario.document import Document
from bench.scenario.expand import build_plan
from bench.scenario.loading import resolve
from bench.scenario.made_sessions import script
from bench.scenario.plan import Plan
from bench.scenario.session_texts import MadeTexts
from bench.scenario.work import MadeSessions


def _plan(data: dict[str, Any]) -> Plan:
    scenario = resolve(Document("f.yaml", data), (), source="f.yaml", directory=Path())
    return build_plan(scenario, models=["m"], salt=3)


def _made(prompts: dict[str, Any], context: int = 200_000) -> MadeSessions:
    options = {"num_ctx": context, "num_predict": 100}
    made = _plan({"prompts": prompts, "options": options}).cases[0].prompts.made
    assert made is not None
    return made


def test_agents_are_as_the_published_ones() -> None:
    made = _made({"agent": {}})
    scripts = [script(made, 1, number) for number in range(300)]
    main = [[s for s in one.steps if not s.thread] for one in scripts]
    requests = [len(steps) for steps in main]
    assert 25 <= statistics.median(requests) <= 65  # published: 45
    tools = [
        t for one in scripts for s, t in zip(one.steps, one.tokens, strict=True) if s.kind == "tool"
    ]
    assert statistics.median(tools) == pytest.approx(705, rel=0.15)
    outputs = [s.output_tokens or 0 for steps in main for s in steps if s.kind != "summary"]
    assert statistics.median(outputs) == pytest.approx(216, rel=0.1)
    first = [steps[0].prompt_tokens or 0 for steps in main]
    assert statistics.median(first) == pytest.approx(19_000, rel=0.1)
    gaps = [s.gap_s for steps in main for s in steps if s.kind == "tool" and s.gap_s is not None]
    assert statistics.median(gaps) == pytest.approx(9, rel=0.15)
    assert max(gaps) == 60  # capped
    turns = [sum(s.kind == "user" for s in steps) for steps in main]
    steps_a_turn = sum(requests) / sum(turns)
    assert 10 <= steps_a_turn <= 25


def test_a_full_history_is_put_into_a_summary_of_about_half() -> None:
    made = _made({"agent": {"context": 30_000, "turns": 6}}, 32_768)
    before = after = 0
    for number in range(40):
        steps = [s for s in script(made, 2, number).steps if not s.thread]
        for one, two in itertools.pairwise(steps):
            assert (one.prompt_tokens or 0) + (one.output_tokens or 0) <= 30_000
            if one.kind == "summary":
                assert two.fresh
                before += (one.prompt_tokens or 0) - made.shared_tokens
                after += (two.prompt_tokens or 0) - made.shared_tokens
    assert 0.4 < after / before < 0.8


def test_the_same_seed_and_number_give_the_same_session() -> None:
    made = _made({"agent": {}})
    assert script(made, 5, 3) == script(made, 5, 3)
    assert script(made, 5, 3) != script(made, 6, 3)
    assert script(made, 5, 3) != script(made, 5, 4)


def test_sub_agents_work_at_the_same_time_and_titles_have_their_own_thread() -> None:
    agent = {"subagents": {"chance": 1, "parallel": 3, "steps": 2}, "turns": 1, "tool_steps": 1}
    steps = script(_made({"agent": agent}), 1, 0).steps
    assert [s.thread for s in steps] == [
        "",
        "title",
        *["agent 1.1", "agent 1.2", "agent 1.3"] * 2,
        "",
    ]
    assert [s.fresh for s in steps[1:8]] == [True] * 4 + [False] * 3


def _texts(made: MadeSessions, number: int) -> MadeTexts:
    return MadeTexts(
        str(number),
        made,
        script(made, 1, number),
        TokenRates("m", "en", 1.3, 20.0),
        lambda thread: f"{number if thread else 'head'}/{thread}",
        1,
    )


def test_heads_are_shared_and_what_follows_is_not() -> None:
    made = _made({"conversation": {"shared_tokens": 500, "turns": 3}})
    one, two = _texts(made, 1), _texts(made, 2)
    assert one.head(0) == two.head(0) == one.head(2)
    assert one.head(0)[0]["content"].startswith("head/0")
    assert one.added(0)[0]["content"].startswith("1/1 ")
    assert one.added(0) != two.added(0)
    assert not one.added(1)[0]["content"].startswith("1/")
    assert one.answer(0) != two.answer(0)


def test_a_changing_head_is_another_in_every_request() -> None:
    made = _made({"conversation": {"shared_tokens": 50, "turns": 3, "head": "changing"}})
    heads = [_texts(made, 1).head(index)[0]["content"] for index in range(3)]
    assert len({head[:6] for head in heads}) == 3
    assert len({head[20:] for head in heads}) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"prompts": {"conversation": {"turns": 9}}, "options": {"num_ctx": 2048}},
            ("2 of 2 sessions outgrow options.num_ctx 2,048", "in turn ", "refuse"),
        ),
        (
            {
                "prompts": {"conversation": {"turns": 9}},
                "options": {"num_ctx": 2048},
                "truncate": True,
            },
            ("drop the oldest messages", "read anew"),
        ),
        ({"prompts": {"agent": {}}}, ("head of 15,100 tokens", "num_ctx to 32,768")),
        (
            {"prompts": {"agent": {"context": 9000, "scale": 0.1}}},
            ("grow up to context: 9,000 tokens", "num_ctx is 4,096"),
        ),
    ],
)
def test_a_session_that_outgrows_the_context_is_said_beforehand(
    data: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ScenarioError) as caught:
        _plan(data)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"prompts": {"agent": {}}, "endpoint": "generate"}, "prompts.agent: needs endpoint: chat"),
        (
            {"prompts": {"agent": {}}, "load": {"open": {"rate": 1, "requests": 5}}},
            "what arrives are sessions",
        ),
        ({"load": {"closed": {"sessions": 3}}}, "prompts.synthetic has no sessions"),
        (
            {"prompts": {"conversation": {}}, "load": {"closed": {"think_time": 2}}},
            "has its own pauses",
        ),
        ({"prompts": {"inline": ["a"], "batch": 4}}, "prompts.batch: needs endpoint: embed"),
        (
            {"endpoint": "embed", "thresholds": "decode_tok_per_s >= 5"},
            "endpoint: embed writes no text, so it has no decode_tok_per_s",
        ),
        ({"checks": "schema"}, "schema needs format"),
        (
            {"checks": "schema", "format": {"properties": {"a": {"uniqueItems": True, "not": 1}}}},
            "cannot check not, uniqueItems of this schema",
        ),
        ({"checks": "tool_call"}, "tool_call needs tools"),
        ({"control": True}, "there is neither"),
        ({"prompts": {"rag": {"passages": 9, "corpus": 5}}}, "9 passages cannot be of a corpus"),
        ({"prompts": {"inline": ["a"], "images": {}}}, "give exactly one of pixels, files"),
        (
            {"prompts": {"inline": ["a"], "images": {"files": "no-such.png"}}},
            "no-such.png cannot be read",
        ),
        ({"prompts": {"inline": ["a"]}, "tools": "no-such.json"}, "no-such.json cannot be read"),
        ({"format": {"file": "no-such.json"}}, "no-such.json cannot be read"),
        ({"prompts": {"sessions": {"file": "no-such.json"}}}, "no-such.json"),
    ],
)
def test_what_does_not_go_together_is_said(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        _plan(data)
    assert words in str(caught.value)


def test_the_context_that_is_advised_is_large_enough() -> None:
    data: dict[str, Any] = {
        "prompts": {"conversation": {"turns": {"uniform": {"low": 4, "high": 12}}}},
        "options": {"num_ctx": 2048, "num_predict": 200},
        "load": {"closed": {"users": 2, "sessions": 8}},
    }
    with pytest.raises(ScenarioError, match="outgrow") as caught:
        _plan(data)
    advised = re.search(r"Raise num_ctx to ([\d,]+)", str(caught.value))
    assert advised is not None
    enough = int(advised[1].replace(",", ""))
    _plan(data | {"options": {"num_ctx": enough, "num_predict": 200}})
    with pytest.raises(ScenarioError, match="outgrow"):
        _plan(data | {"options": {"num_ctx": int(enough * 0.97), "num_predict": 200}})
