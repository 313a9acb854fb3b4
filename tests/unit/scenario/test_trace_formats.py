"""Which unit a trace's times have is said by the file, and what is doubtful is refused.

The times of every row here are planted: the same seconds, written as each format writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli.scenarios import command
from bench.errors import ScenarioError
from bench.scenario.expand import build_plan
from bench.scenario.loading import load_scenario
from bench.scenario.plan import Plan
from bench.scenario.traces import Trace, load_trace

PLANTED_S = (0.0, 0.0, 3.052, 3.052, 6.104, 9.156)
PROMPTS = (6755, 7319, 7234, 2287, 9013, 6506)
OUTPUTS = (500, 490, 794, 316, 3, 3)
START = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
EPOCH_S = START.timestamp()

Make = Callable[[float, int, int], dict[str, Any]]


def mooncake(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    ids = list(range(-(-prompt // 512)))
    return {
        "timestamp": round(at_s * 1000),
        "input_length": prompt,
        "output_length": output,
        "hash_ids": ids,
    }


def bailian(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    ids = list(range(-(-prompt // 16)))
    row = {"timestamp": at_s, "input_length": prompt, "output_length": output, "hash_ids": ids}
    return {"chat_id": prompt, "parent_chat_id": -1, **row, "turn": 1}


def without_chat_id(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    row = bailian(at_s, prompt, output)
    return {k: v for k, v in row.items() if "chat_id" not in k}


def burst_gpt(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    return {"Timestamp": 5 + at_s, "Request tokens": prompt, "Response tokens": output}


def named(column: str, factor: float, base: float = 0) -> Make:
    def make(at_s: float, prompt: int, output: int) -> dict[str, Any]:
        return {column: (base + at_s) * factor, "prompt_tokens": prompt, "output_tokens": output}

    return make


def dated(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    at = (START + timedelta(seconds=at_s)).isoformat()
    return {"TIMESTAMP": at, "ContextTokens": prompt, "GeneratedTokens": output}


def other_zones(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    from datetime import timezone

    zone = timezone(timedelta(hours=prompt % 9 - 4))
    row = dated(at_s, prompt, output)
    return row | {
        "TIMESTAMP": datetime.fromisoformat(row["TIMESTAMP"]).astimezone(zone).isoformat()
    }


FORMATS: list[tuple[Make, str]] = [
    (mooncake, "timestamp, in ms (Mooncake), counted from the first"),
    (bailian, "timestamp, in s (Bailian), counted from the first"),
    (without_chat_id, "timestamp, in s (Bailian)"),
    (burst_gpt, "timestamp, in s (BurstGPT), counted from the first"),
    (dated, "timestamp: date and time (Azure), counted from the first"),
    (other_zones, "timestamp: date and time"),
    (named("time_s", 1), "time_s, in s"),
    (named("time_ms", 1e3), "time_ms, in ms"),
    (named("timestamp_ms", 1e3, 50), "timestamp_ms, in ms, counted from the first"),
    (named("timestamp_start_unix_ms", 1e3, EPOCH_S), "in ms, counted from the first"),
    (named("timestamp", 1, EPOCH_S), "in s (since 1970, by their magnitude)"),
    (named("timestamp", 1e3, EPOCH_S), "in ms (since 1970, by their magnitude)"),
    (named("time", 1e6, EPOCH_S), "in us (since 1970, by their magnitude)"),
    (named("arrival_time", 1e9, EPOCH_S), "in ns (since 1970, by their magnitude)"),
    (named("time_s", 1, EPOCH_S), "time_s, in s, counted from the first"),
]


def written(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    path = folder / f"t.{kind}"
    if kind == "jsonl":
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        lines = [",".join(rows[0]), *(",".join(map(repr_csv, row.values())) for row in rows)]
        text = "\n".join(lines) + "\n"
    path.write_text(text)
    return path


def repr_csv(value: Any) -> str:
    return f'"{value}"' if isinstance(value, list) else str(value)


@pytest.mark.parametrize(("make", "said"), FORMATS, ids=[f"{s}" for _, s in FORMATS])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_the_planted_seconds_come_back(tmp_path: Path, make: Make, said: str, kind: str) -> None:
    rows = [make(*row) for row in zip(PLANTED_S, PROMPTS, OUTPUTS, strict=True)]
    trace = load_trace(written(tmp_path, rows, kind))
    assert trace.at_s == pytest.approx(PLANTED_S, abs=1e-5)
    assert (trace.prompt_tokens, trace.output_tokens) == (PROMPTS, OUTPUTS)
    assert said in "; ".join(trace.notes)
    assert trace.notes[:2] == ("6 arrivals", "over 9.16 s")


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=30),
    st.sampled_from([("time_s", 1e-3), ("time_ms", 1.0), ("time_us", 1e3), ("time_ns", 1e6)]),
)
@settings(max_examples=60, deadline=None)
def test_the_unit_of_a_column_never_matters(
    tmp_path_factory: pytest.TempPathFactory, at_ms: list[int], unit: tuple[str, float]
) -> None:
    column, factor = unit
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(f"{column}\n" + "".join(f"{at * factor!r}\n" for at in at_ms))
    assert load_trace(path).at_s == pytest.approx([at / 1e3 for at in sorted(at_ms)], abs=1e-6)


ZONED = "2025-03-04T05:06:07+01:00"
BARE = "2025-03-04T05:06:08"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.csv", "timestamp\n0\n3052\n", "t.csv:2: timestamp is 0, in a unit that nothing here"),
        ("t.csv", "time\n5\n9\n", "call the column time_s or time_ms"),
        ("t.jsonl", '{"timestamp": 5, "input_length": 9, "output_length": 1}\n', "time_s or"),
        ("t.csv", f"timestamp\n{ZONED}\n{BARE}\n", f"t.csv:3: {BARE} has no time zone, line 2"),
        ("t.csv", f"timestamp\n{BARE}\n{ZONED}\n", f"t.csv:3: {ZONED} has a time zone, line 2"),
        ("t.csv", f"timestamp\n{ZONED}\n1741064767\n", "t.csv:2: '2025-03-04T05:06:07+01:00' is"),
        ("t.csv", "timestamp\n1741064767\n1741064768000\n", "t.csv:3: 1741064768000 is no time in"),
        ("t.csv", "timestamp\n1741064767\n12\n", "t.csv:3: 12 is no time in s since 1970"),
        ("t.csv", "time_s\n1741064767000\n", "t.csv:2: 1741064767000 is no time in s since 1970"),
        ("t.csv", "time_s,time_ms\n1,1000\n", "t.csv:2: time_s and time_ms are both columns of"),
        ("t.jsonl", '{"time_s": 1}\n{"time_ms": 2000}\n', "t.jsonl:2: time_ms after rows with"),
        ("t.csv", "time_s\n1_0\n", "t.csv:2: '1_0' is not a time"),
        ("t.csv", "time_s,Time_S\n1,2\n", "t.csv:1: two columns are called 'time_s'"),
        ("t.jsonl", '{"time_s": 1, "Time_S ": 2}\n', "t.jsonl:1: two columns are called 'time_s'"),
        ("t.jsonl", '{"time_s": 1, "time_s": 2}\n', "t.jsonl:1: the key 'time_s' is there twice"),
        ("t.csv", "time_s\n1,2\n", "t.csv:2: more fields than columns"),
        ("t.csv", 'time_s\n1\n"2\n3\n', "t.csv:3: unexpected end of data"),
        ("t.jsonl", '{"time_s": true}\n', "t.jsonl:1: True is not a time"),
        ("t.jsonl", '{"time_s": [1]}\n', "t.jsonl:1: a list is not a time"),
        ("t.jsonl", '{"time_s": ' + "9" * 5000 + "}\n", "t.jsonl:1: cannot be read"),
        ("t.jsonl", "[" * 100_000 + "\n", "t.jsonl:1: cannot be read"),
        ("t.csv", "time_s,prompt_tokens\n1,-1\n", "'-1' is not a number of prompt tokens"),
        ("t.csv", "time_s,prompt_tokens\n1,2.5\n", "'2.5' is not a number of prompt tokens"),
        ("t.csv", "time_s,prompt_tokens\n1,nan\n", "'nan' is not a number of prompt tokens"),
        ("t.csv", "time_s,output_tokens\n1,0\n2,0\n", "holds no arrival; 2 rows with 0 output"),
        (
            "t.jsonl",
            '{"timestamp": 1.5, "input_length": 600, "output_length": 1, "hash_ids": [1, 2]}\n',
            "t.jsonl:1: Mooncake counts whole milliseconds, 1.5 is none",
        ),
        (
            "t.jsonl",
            "".join(
                f'{{"timestamp": {i}, "input_length": 600, "output_length": 1, "hash_ids": [1]}}\n'
                for i in range(5)
            ),
            "5 arrivals in 4 ms are over 1,000 a second, and Mooncake counts milliseconds; are",
        ),
        (
            "t.jsonl",
            '{"timestamp": 1, "input_length": 9, "output_length": 1, "hash_ids": [1]}\n',
            "t.jsonl:1: could be a trace of Mooncake (times in ms) or of Bailian (in s)",
        ),
    ],
)
def test_what_is_doubtful_is_refused(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(why)):
        load_trace(tmp_path / name)


def test_failed_requests_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "B.csv").write_text(
        "Timestamp,Model,Request tokens,Response tokens,Log Type\n"
        "5,ChatGPT,472,18,API log\n45,GPT-4,1087,0,API log\n46,GPT-4,0,7,API log\n"
        "118,GPT-4,417,276,API log\n"
    )
    trace = load_trace(tmp_path / "B.csv")
    assert trace == Trace((0, 113), (472, 417), (18, 276))
    said = "; ".join(trace.notes)
    assert "1 row with 0 output tokens left out" in said
    assert "1 row with 0 prompt tokens left out" in said
    assert "model (several models, 2 rows)" in said
    assert "columns not used: log type" in said


def test_columns_that_change_the_work_are_named(tmp_path: Path) -> None:
    head = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n"
    rows = ["2025-01-01 00:00:00,0,9,9\n", "2025-01-01 00:00:01,3,9,9\n"]
    (tmp_path / "a.csv").write_text(head + "".join(rows))
    (tmp_path / "none.csv").write_text(head + rows[0] * 2)
    said = load_trace(tmp_path / "a.csv").notes[-1]
    assert said == "not replayed, though it changes the work: numimages (images, 1 rows)"
    assert load_trace(tmp_path / "none.csv").notes[-1] == "columns not used: numimages"


def plan_of(folder: Path, more: str, load: str = "") -> Plan:
    rows = [mooncake(*row) for row in zip(PLANTED_S, PROMPTS, OUTPUTS, strict=True)]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "s.yaml").write_text(
        f"{more}\nload: {{open: {{arrivals: {{trace: {{file: m.jsonl{load}}}}}}}}}\n"
    )
    return build_plan(load_scenario(str(folder / "s.yaml")), models=["m"])


def test_the_plan_says_what_was_understood(tmp_path: Path) -> None:
    (note,) = plan_of(tmp_path, "options: {num_ctx: 16384}", ", time_scale: 2").notes
    assert note.startswith("trace m.jsonl: 6 arrivals; over 9.16 s; timestamp, in ms (Mooncake)")
    assert "prompt tokens from input_length (mean 6,519, most 9,013)" in note
    assert "output tokens from output_length (mean 351, most 794)" in note
    assert "hash_ids (shared beginnings of prompts, 6 rows)" in note
    assert "times x 2" in note and "not to prompts.synthetic.input_tokens" in note
    (note,) = plan_of(tmp_path, "prompts: [hello]").notes
    assert "its token counts are not used: the prompts are not synthetic" in note
    (note,) = plan_of(tmp_path, "prompts: [hello]", ", window: [1, 5]").notes
    assert note.startswith("trace m.jsonl: 2 of 6 arrivals: those from 1 to 5 s; over 9.16 s")


def test_validate_counts_a_trace_that_is_played_to_its_end(tmp_path: Path) -> None:
    """Once a traceback: such a load has neither a number of requests nor a duration."""
    plan_of(tmp_path, "prompts: [hello]\nblocks: 2")
    said = CliRunner().invoke(command, ["validate", str(tmp_path / "s.yaml")])
    assert said.exit_code == 0, said.output
    assert "Requests: 12 measured" in said.output
    assert re.search(r"^MODEL, rate=trace +2 +6\b", said.output, re.MULTILINE), said.output
    assert "trace m.jsonl: 6 arrivals" in said.output


def test_prompts_of_a_trace_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Else they would be cut, and another load would be measured."""
    why = r"5 of the 6 prompts of m.jsonl do not fit options.num_ctx 4096; the longest needs 9,200"
    with pytest.raises(ScenarioError, match=why):
        plan_of(tmp_path, "options: {num_ctx: 4096}")
