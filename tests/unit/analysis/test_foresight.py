"""What validate and --dry-run say of thresholds before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.analysis.run.thresholds import threshold_lines
from bench.cli import cli
from bench.scenario.expand import build_plan
from bench.scenario.plan import Plan
from bench.scenario.schema import Scenario


def plan_of(load: dict[str, object], *thresholds: str, blocks: int = 3) -> Plan:
    content = {
        "prompts": ["Hello"],
        "load": load,
        "blocks": blocks,
        "thresholds": list(thresholds),
    }
    return build_plan(Scenario.model_validate(content), models=["m"], salt=0)


def test_every_threshold_is_said_in_words() -> None:
    plan = plan_of({"closed": {"requests": 500}}, "ttft_s.p95 <= 800ms", "error_rate < 1%")
    assert threshold_lines(plan) == [
        "ttft_s.p95 <= 800ms: Time to first text, p95: at most 0.8 s",
        "error_rate < 1%: Errors: below 1 %",
    ]


@pytest.mark.parametrize(
    ("statistic", "requests", "blocks", "said"),
    [
        ("p95", 10, 3, "p95 needs 72 requests, and 30 are planned in 3 blocks: set requests to 24"),
        ("p95", 23, 3, "69 are planned"),
        ("p95", 24, 3, ""),
        ("p99", 100, 3, "p99 needs 368 requests, and 300 are planned in 3 blocks: set requests to"),
        ("p50", 5, 1, "p50 needs 6 requests, and 5 are planned in 1 block: set requests to 6, or"),
        ("mean", 2, 1, ""),
        ("max", 2, 1, ""),
    ],
)
def test_a_plan_that_is_too_short_says_what_it_takes(
    statistic: str, requests: int, blocks: int, said: str
) -> None:
    plan = plan_of({"closed": {"requests": requests}}, f"e2e_s.{statistic} <= 2", blocks=blocks)
    more = threshold_lines(plan)[1:]
    assert bool(more) == bool(said)
    assert said in "".join(more)


def test_percentiles_of_speeds_are_looked_at_too() -> None:
    (_, more) = threshold_lines(plan_of({"closed": {"requests": 10}}, "decode_tok_per_s.p5 >= 4"))
    assert "p5 needs 72 requests" in more


def test_a_load_by_time_may_suffice_or_not() -> None:
    closed = plan_of({"closed": {"duration": "60s"}}, "ttft_s.p95 <= 2")
    (_, more) = threshold_lines(closed)
    assert "may not be supported" in more
    assert "let the load last longer" in more
    short = plan_of({"open": {"rate": [1], "duration": "10s"}}, "ttft_s.p95 <= 2")
    (_, more) = threshold_lines(short)
    assert "will not be supported in m" in more
    assert "p95 needs at least 120 requests" in more


def test_each_case_is_looked_at_by_itself() -> None:
    plan = plan_of({"closed": {"users": [1, 2], "requests": 10}}, "ttft_s.p95 <= 2")
    assert len(threshold_lines(plan)) == 3


def test_gaps_are_many_in_a_request() -> None:
    assert len(threshold_lines(plan_of({"closed": {"requests": 1}}, "itl_s.p99 <= 2"))) == 1


@pytest.mark.parametrize("command", ["validate", "dry-run"])
def test_the_commands_say_it(command: str, tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    file.write_text(
        "schema: 1\nprompts: [Hello]\nload: {closed: {requests: 10}}\nblocks: 3\n"
        "thresholds: ['ttft_s.p95 <= 2', 'decode_tok_per_s >= 4']\n"
    )
    arguments = ["scenarios", "validate", str(file)]
    if command == "dry-run":
        arguments = ["run", str(file), "-m", "m", "--dry-run"]
    said = CliRunner().invoke(cli, arguments)
    assert said.exit_code == 0, said.output
    assert "ttft_s.p95 <= 2: Time to first text, p95: at most 2 s" in said.output
    assert "p95 needs 72 requests, and 30 are planned in 3 blocks" in said.output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("decode_tok_per_s >= 1m", "1m is a time of 60 s; decode_tok_per_s is counted in tok/s"),
        ("ttft_s.p95 <= 200%", "200% is a share; ttft_s is a time"),
        ("error_rate <= 1", "it would hold whatever is measured"),
    ],
)
def test_a_wrong_unit_is_refused_with_file_and_key(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"schema: 1\nprompts: [Hello]\nthresholds: ['{text}']\n")
    said = CliRunner().invoke(cli, ["scenarios", "validate", str(file)])
    assert said.exit_code == 2
    assert why in said.output and "thresholds[0]" in said.output and "wrong.yaml" in said.output
