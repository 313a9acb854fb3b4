from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.errors import ScenarioError
from bench.scenario.expand import build_plan
from bench.scenario.loading import load_scenario
from bench.scenario.plan import Block, Plan
from bench.scenario.prompts import prompt_source
from bench.scenario.traces import Trace, load_trace

# The head and the first lines of the public files, as they are.
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0781490,110,27
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
"""
BURST_GPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
118,GPT-4,417,276,693,Conversation log
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_azure_as_it_is(tmp_path: Path) -> None:
    trace = load_trace(write(tmp_path, "azure.csv", AZURE))
    assert trace.at_s == pytest.approx((0, 0.052, 0.098189), abs=1e-6)
    assert trace.prompt_tokens == (4808, 3180, 110)
    assert trace.output_tokens == (10, 8, 27)
    later = load_trace(write(tmp_path, "azure24.csv", AZURE_2024))
    assert later.at_s == pytest.approx((0, 0.007405), abs=1e-6)


def test_burst_gpt_as_it_is(tmp_path: Path) -> None:
    trace = load_trace(write(tmp_path, "BurstGPT_1.csv", BURST_GPT))
    assert trace == Trace((0, 40, 113), (472, 1087, 417), (18, 230, 276))


def test_json_lines_and_plain_columns(tmp_path: Path) -> None:
    lines = '{"time_s": 2.5, "prompt_tokens": 7}\n\n{"time_s": 0.5, "prompt_tokens": 9}\n'
    trace = load_trace(write(tmp_path, "t.jsonl", lines))
    assert trace == Trace((0.5, 2.5), (9, 7))
    csv = "Time_s, output_tokens\n1, 3\n0, 1\n"
    assert load_trace(write(tmp_path, "t.csv", csv)) == Trace((0, 1), (), (1, 3))


def test_text_stands_as_it_is(tmp_path: Path) -> None:
    trace = load_trace(write(tmp_path, "t.txt", "\ufeff# when\n3\n0.5 # first\n"))
    assert trace == Trace((0.5, 3.0))


def test_a_window_counts_from_its_start(tmp_path: Path) -> None:
    path = write(tmp_path, "BurstGPT.csv", BURST_GPT)
    assert load_trace(path, (40, 113)) == Trace((0,), (1087,), (230,))
    with pytest.raises(ValueError, match=r"no arrival from 200 to 300 s; its last is at 113 s"):
        load_trace(path, (200, 300))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.csv", "when\n1\n", "t.csv:2: no column of times; there are when; call it time_s"),
        ("t.csv", "time_s\nsoon\n", "t.csv:2: 'soon' is not a time"),
        ("t.csv", "time_s,prompt_tokens\n1,many\n", "t.csv:2: 'many' is not a number of prompt"),
        ("t.csv", "time_s,prompt_tokens\n1,5\n2\n", "t.csv:3: None is not a number of prompt"),
        ("t.csv", "time_s\n", "t.csv holds no arrival"),
        ("t.jsonl", "{\n", "t.jsonl:1: is not JSON"),
        ("t.jsonl", "[1]\n", "t.jsonl:1: must be an object with time_s, or another time"),
        ("t.txt", "1\n-2\n", "t.txt:2: -2 is not a time from 0 on"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        load_trace(write(tmp_path, name, text))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        load_trace(tmp_path / "none.csv")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"t\.csv is not text in UTF-8"):
        load_trace(tmp_path / "t.csv")


def plan_of(folder: Path, more: str = "") -> Plan:
    write(folder, "azure.csv", AZURE)
    text = (
        "options: {num_ctx: 8192}\n"
        "prompts: {synthetic: {input_tokens: 50, output_tokens: 20}}\n"
        f"load: {{open: {{arrivals: {{trace: {{file: azure.csv{more}}}}}}}}}\n"
    )
    return build_plan(load_scenario(str(write(folder, "s.yaml", text))), models=["m"])


def test_a_scenario_replays_times_and_tokens(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ", time_scale: 10")
    case = plan.cases[0]
    arrivals = case.load.arrivals
    assert arrivals is not None
    assert arrivals.time_scale == 10
    assert arrivals.prompt_tokens == (4808, 3180, 110)
    source = prompt_source(case, plan)
    block = Block(0, case.id, 0, seed=3)
    prompts = [source.prompt(block, i) for i in range(3)]
    assert [p.target_input_tokens for p in prompts] == [4808, 3180, 110]
    assert [p.num_predict for p in prompts] == [10, 8, 27]
    warmup = source.prompt(block, 0, warmup=True)
    assert (warmup.target_input_tokens, warmup.num_predict) == (50, 20)


def test_a_scenario_replays_a_window(tmp_path: Path) -> None:
    arrivals = plan_of(tmp_path, ", window: [0.05, 1m]").cases[0].load.arrivals
    assert arrivals is not None
    assert arrivals.times_s == pytest.approx((0.002, 0.048189), abs=1e-6)
    assert arrivals.output_tokens == (8, 27)


@pytest.mark.parametrize(
    ("window", "why"),
    [
        ("[2, 1]", "window must begin before it ends"),
        ("[1h, 2h]", "azure.csv holds no arrival from 3600 to 7200 s"),
        ("[1]", "window"),
    ],
)
def test_a_wrong_window_is_refused(tmp_path: Path, window: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(why)):
        plan_of(tmp_path, f", window: {window}")
