"""Warnings: each has a run that causes it and one that does not."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import bench
from bench.results.record import Phase, RequestRecord
from bench.results.run import (
    Residency,
    RunStatus,
    RunWarning,
    TargetInfo,
    TransportInfo,
)
from bench.results.warning_codes import Severity, WarningCode
from bench.scenario.plan import Load, PromptSpec
from bench.wire.exchange import Outcome, ServerTimings

Request = Callable[..., RequestRecord]
RunOf = Callable[..., Any]


def codes(run: Any) -> set[str]:
    return {w.code for w in run.summary().warnings}


@pytest.fixture
def quiet(a_request: Request) -> list[RequestRecord]:
    """Thirty requests of which nothing is to be said."""
    return requests(a_request)


def requests(a_request: Request, count: int = 30, **other: Any) -> list[RequestRecord]:
    rng = np.random.default_rng(1)
    return [
        a_request(
            3.0 * i,
            decode=1 + float(rng.normal(0, 0.01)),
            index=i,
            block=i % 3,
            prompt_sha256=f"{i:016x}",
            **other,
        )
        for i in range(count)
    ]


def test_a_quiet_run_has_no_warnings(run_of: RunOf, quiet: list[RequestRecord]) -> None:
    assert codes(run_of(quiet, blocks=3)) == set()
    assert run_of(quiet, blocks=3).summary().valid


@pytest.mark.slow
def test_every_code_is_used_as_gravely_as_it_is_listed() -> None:
    used = set()
    for file in Path(bench.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RunWarning":
                assert isinstance(node.args[0], ast.Attribute), f"{file}:{node.lineno}"
                code = WarningCode[node.args[0].attr]
                used.add(code)
                assert code.severity in severities(node), f"{file}:{node.lineno}"
    assert used == set(WarningCode)


def severities(call: ast.Call) -> tuple[Severity, ...]:
    """Those that agree with what the call says of `invalidates`."""
    values = [k.value for k in call.keywords if k.arg == "invalidates"]
    if not values:
        return Severity.CAUTION, Severity.NOTE
    return (Severity.INVALID if isinstance(values[0], ast.Constant) else Severity.BY_DEGREE,)


def test_codes_are_plain_strings_in_files_and_unknown_ones_are_read() -> None:
    warning = RunWarning(WarningCode.GPU_SPILL, "only 50 %")
    text = msgspec.json.encode(warning)
    assert b'"code":"gpu_spill"' in text
    assert msgspec.json.decode(text, type=RunWarning).code is WarningCode.GPU_SPILL
    other = msgspec.json.decode(text.replace(b"gpu_spill", b"of_another_day"), type=RunWarning)
    assert other.code == "of_another_day" and other.code.meaning == ""
    assert other.code.severity is Severity.CAUTION
    assert b'"code":"of_another_day"' in msgspec.json.encode(other)
    assert pickle.loads(pickle.dumps(other)) == other
    assert f"{other.code}" == "of_another_day" and other.code in {"of_another_day"}


def test_every_code_has_one_clause_and_its_own_name() -> None:
    for name, code in WarningCode.__members__.items():
        assert name == code.value.upper() == code.name
        assert code.meaning and not code.meaning.endswith(".")


def test_simulated(run_of: RunOf, quiet: list[RequestRecord]) -> None:
    run = run_of(quiet, blocks=3, target={"simulated": True})
    assert codes(run) == {"simulated"}
    assert run.summary().simulated and run.case_summary().simulated


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.FAILED])
def test_incomplete(run_of: RunOf, quiet: list[RequestRecord], status: RunStatus) -> None:
    run = run_of(quiet, blocks=3, run={"status": status})
    assert codes(run) == {"incomplete"}
    assert run.summary().status == status.value


def test_one_block(run_of: RunOf, quiet: list[RequestRecord]) -> None:
    assert codes(run_of([r for r in quiet if r.block == 0])) == {"one_block"}


def test_how_many_cases_have_one_block_is_said_in_words(
    run_of: RunOf, quiet: list[RequestRecord]
) -> None:
    (warning,) = run_of([r for r in quiet if r.block == 0]).summary().warnings
    assert warning.message.startswith("the only case has one block: ")


def test_unknown_version(run_of: RunOf, quiet: list[RequestRecord]) -> None:
    assert codes(run_of(quiet, blocks=3, version="0.0.0")) == {"version_unknown"}


def test_mixed_versions(run_of: RunOf, quiet: list[RequestRecord]) -> None:
    def targets(first: str, second: str) -> dict[str, Any]:
        return {
            "targets": (
                TargetInfo("here", "http://a", first, "E3"),
                TargetInfo("there", "http://b", second, "E3"),
            )
        }

    mixed = run_of(quiet, blocks=3, run=targets("0.32.14", "0.32.15"))
    assert codes(mixed) == {"mixed_versions"}
    assert "metadata is cached" in mixed.summary().warnings[0].message
    assert codes(run_of(quiet, blocks=3, run=targets("0.32.11", "0.32.14"))) == set()
    old = run_of(quiet, blocks=3, run=targets("0.12.0", "0.9.1")).summary().warnings
    assert old[0].message.startswith("0.9.1 and 0.12.0 do not measure alike")


@pytest.mark.parametrize(("name", "expected"), [("httpx", True), ("kernel", False)])
def test_the_general_http_client_is_not_exact(
    run_of: RunOf, quiet: list[RequestRecord], name: str, expected: bool
) -> None:
    run = run_of(quiet, blocks=3, run={"transport": TransportInfo(name, "TLS")})
    assert ("transport_not_exact" in codes(run)) == expected


def test_littles_law_is_broken_by_failed_requests_that_hold_slots(
    run_of: RunOf, a_request: Request, quiet: list[RequestRecord]
) -> None:
    stuck = a_request(0.0, decode=40.0, outcome=Outcome.TIMEOUT, index=30, block=0)
    assert "littles_law" in codes(run_of([*quiet, stuck], blocks=3))


def test_survivors(run_of: RunOf, a_request: Request, quiet: list[RequestRecord]) -> None:
    def failed(count: int) -> list[RequestRecord]:
        return [
            a_request(90.0 + i, outcome=Outcome.HTTP_ERROR, index=30 + i, ttft=None, decode=0.01)
            for i in range(count)
        ]

    assert "survivors" not in codes(run_of(quiet + failed(1), blocks=3))
    assert "survivors" in codes(run_of(quiet + failed(2), blocks=3))


def test_requests_and_blocks_are_counted_from_one(run_of: RunOf, a_request: Request) -> None:
    """As in the report's tables and while it runs; once this message counted from 0."""
    records = [a_request(10.0 * i, index=i % 3, block=i // 3) for i in range(6)]
    records[4] = replace(records[4], server=replace(records[4].server, eval_duration=-5))
    warnings = run_of(records, blocks=2).summary().warnings
    (told,) = (w for w in warnings if w.code == "implausible")
    assert "(first: request 2 of block 2)" in told.message


def test_implausible_rates(run_of: RunOf, a_request: Request, quiet: list[RequestRecord]) -> None:
    server = ServerTimings(1_400_000_000, 1_000_000, 200, None, 100_000, 21, 1_000_000_000)
    odd = a_request(95.0, index=30, server=server)
    run = run_of([*quiet, odd], blocks=3, case={"prompts": PromptSpec(inline=("a",), cache="bust")})
    assert "implausible_rate" in codes(run)
    assert run.case_summary().metrics["prefill_tok_per_s"].n == 30


def test_early_stops(run_of: RunOf, a_request: Request) -> None:
    def stopping(count: int) -> list[RequestRecord]:
        return [
            *requests(a_request, 30 - count, num_predict=21),
            *(
                a_request(
                    100.0 + 3 * i, index=40 + i, block=i % 3, num_predict=30, done_reason="stop"
                )
                for i in range(count)
            ),
        ]

    assert "early_stops" not in codes(run_of(stopping(6), blocks=3))
    assert "early_stops" in codes(run_of(stopping(7), blocks=3))


def test_chunks_that_are_no_tokens(run_of: RunOf, a_request: Request) -> None:
    assert "chunk_not_token" in codes(run_of(requests(a_request, text_chunks=12), blocks=3))


def test_few_chunks_for_an_answer_that_ended_at_its_limit(
    run_of: RunOf, a_request: Request
) -> None:
    """The count is refused, since it is not the limit; that few chunks came is said as well."""
    hidden = requests(a_request, text_chunks=12, num_predict=40)
    assert {"implausible", "chunk_not_token"} <= codes(run_of(hidden, blocks=3))


def test_fewer_slots(run_of: RunOf, a_request: Request) -> None:
    records = []
    for i in range(30):
        queue = 1.2 if i else 0.0
        records.append(a_request(1.2 * max(i - 1, 0), ttft=queue + 0.2, queue=queue, index=i))
    four = {"settings": {"OLLAMA_NUM_PARALLEL": "4"}}
    load = {"load": Load("closed", users=2)}
    run = run_of(records, target=four, case=load)
    assert "fewer_slots" in codes(run)
    for few in ("1", "²", ""):  # the last two say nothing
        settings = {"settings": {"OLLAMA_NUM_PARALLEL": few}}
        assert "fewer_slots" not in codes(run_of(records, target=settings, case=load))


@pytest.mark.parametrize(
    ("tokens", "target", "num_ctx", "cut"),
    [
        (512, 900, 512, True),  # up to 0.24: filled to the end
        (258, 900, 512, True),  # from 0.30: cut to half
        (258, None, 512, True),  # half for all of them is no coincidence
        (258, 250, 512, False),  # meant to be so
        (400, 400, 512, False),
    ],
)
def test_truncated_prompts(
    run_of: RunOf, a_request: Request, tokens: int, target: int | None, num_ctx: int, cut: bool
) -> None:
    count = 30 if target is None else 1
    rest = requests(a_request, 30 - count, prompt_tokens=100)
    records = [
        *rest,
        *(
            a_request(
                100 + 3.0 * i,
                index=50 + i,
                block=i % 3,
                prompt_tokens=tokens,
                target_input_tokens=target,
            )
            for i in range(count)
        ),
    ]
    placed = Residency(True, "d", 9, 9, num_ctx)
    run = run_of(records, blocks=3, block_info={"before": placed, "after": placed})
    assert ("prompt_truncated" in codes(run)) == cut


@pytest.mark.parametrize(("tokens", "odd"), [(1000, False), (1150, False), (1300, True)])
def test_prompts_of_another_size(run_of: RunOf, a_request: Request, tokens: int, odd: bool) -> None:
    records = requests(a_request, prompt_tokens=tokens, target_input_tokens=1000)
    assert ("prompt_size" in codes(run_of(records, blocks=3))) == odd


def test_a_prompt_that_was_sent_before_may_be_cached(
    run_of: RunOf, a_request: Request, quiet: list[RequestRecord]
) -> None:
    warmup = a_request(0, phase=Phase.WARMUP, index=99, prompt_sha256=f"{7:016x}")
    assert "cache_suspected" in codes(run_of([warmup, *quiet], blocks=3))
    warm = {"prompts": PromptSpec(inline=("x",), cache="warm")}
    assert "cache_suspected" not in codes(run_of([warmup, *quiet], blocks=3, case=warm))


def test_a_prompt_read_much_faster_than_the_others_may_be_cached(
    run_of: RunOf, a_request: Request, quiet: list[RequestRecord]
) -> None:
    hit = a_request(95.0, ttft=0.05, index=30, prompt_sha256="f" * 16)
    assert "cache_suspected" in codes(run_of([*quiet, hit], blocks=3))


def test_what_the_run_itself_warned_of_is_kept_once(
    run_of: RunOf, quiet: list[RequestRecord]
) -> None:
    spill = RunWarning("gpu_spill", "only 50 %", "advice", "llama3.2:3b", invalidates=True)
    run = run_of(quiet, blocks=3, run={"warnings": (spill, spill)})
    assert run.summary().warnings == (spill,)
    assert not run.summary().valid
