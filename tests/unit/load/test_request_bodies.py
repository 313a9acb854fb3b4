from __future__ import annotations

import json

import pytest

from bench.load.requests import RequestMaker
from bench.results.record import Phase
from bench.scenario.plan import Block
from bench.scenario.prompts import prompt_source


def body_of(kit, phase=Phase.MEASURE, **changes):
    case = kit.case(kit.closed(), **changes)
    block = Block(0, case.id, 0, 1)
    prepared = RequestMaker(case, block, prompt_source(case, kit.plan(case)))(phase, 0)
    return prepared, json.loads(prepared.call.body)


def test_chat_says_everything_that_moves_a_number(kit):
    prepared, body = body_of(kit, system="Be brief.")
    assert prepared.call.path == "/api/chat"
    assert body["options"] == {"num_ctx": 4096, "temperature": 0, "seed": 7, "num_predict": 8}
    assert body["think"] is False
    assert body["keep_alive"] == "30m"
    assert body["truncate"] is False
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"].startswith(prepared.nonce)
    assert (prepared.seed, prepared.num_predict) == (7, 8)


def test_the_nonce_is_first_in_the_first_text(kit):
    prepared, body = body_of(kit)
    assert body["messages"][0]["content"].startswith(prepared.nonce)


def test_generate_with_system_and_raw(kit):
    prepared, body = body_of(kit, endpoint="generate", system="Be brief.", stream=False)
    assert prepared.call.path == "/api/generate" and not prepared.call.stream
    assert body["system"].endswith("Be brief.")
    assert body["stream"] is False
    _, raw = body_of(kit, endpoint="generate", raw=True)
    assert raw["raw"] is True and "system" not in raw


@pytest.mark.parametrize(("think", "sent"), [(True, True), ("high", "high"), (False, False)])
def test_think_is_sent_as_asked(kit, think, sent):
    assert body_of(kit, think=think)[1]["think"] == sent


def test_think_unset_and_no_format_are_not_sent(kit):
    _, body = body_of(kit, think=None)
    assert "think" not in body and "format" not in body


def test_text_in_any_script_survives(kit):
    from bench.scenario.plan import PromptSpec

    _, body = body_of(kit, prompts=PromptSpec(inline=("你好 🦙",), cache="warm"), model="模型:1b")
    assert body["messages"][0]["content"] == "你好 🦙"
    assert body["model"] == "模型:1b"


def test_each_phase_has_prompts_of_its_own(kit):
    nonces = {body_of(kit, phase)[0].nonce for phase in Phase}
    assert len(nonces) == len(Phase)
