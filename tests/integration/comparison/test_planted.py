"""Planted changes on the embedded server: each ends in the right verdict and explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import bench
from bench.analysis.comparison.setup_difference import Role
from bench.analysis.comparison.verdict_rule import Verdict
from bench.commands.comparing import Judging, ab, compare
from bench.commands.sides import ab_plan
from bench.errors import ExitCode
from bench.load.session import Settings
from bench.server.embedded import start_server

DECODE = ("decode_tok_per_s",)
WAITING = ("ttft_s.p50",)
BUSY = frozenset({"invalid"})
"""The machine that tests run on may be too busy for valid times; what is planted is larger."""
Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server; keywords named `model_*` change the model of its profile, others the server.

    It is half as fast as the profile "test", so that what this machine adds matters less.
    """
    with ExitStack() as stack:

        def start(**changes) -> str:
            profile = YAML(typ="safe").load(_PROFILE.read_text())
            model = profile["models"][0] | _STEADY
            model |= {k.removeprefix("model_"): v for k, v in changes.items() if "model_" in k}
            path = tmp_path / f"profile-{len(list(tmp_path.iterdir()))}.yaml"
            with path.open("w") as file:
                YAML().dump(profile | {"models": [model]}, file)
            settings = {k: v for k, v in changes.items() if "model_" not in k}
            return stack.enter_context(start_server(profile=path, **settings)).url

        yield start


_PROFILE = Path(bench.__file__).parent / "simulation" / "profiles" / "test.yaml"
_STEADY = {
    "step_ms": 4.05,
    "step_ms_per_sequence": 0.4,
    "output_tokens": {"median": 500, "p95": 600},  # so num_predict ends every answer
}


def in_pairs(path: Path, tmp_path: Path, a: str, b: str, *allow: str, primary=DECODE):
    plan = ab_plan(path, [f"host={a}"], [f"host={b}"], pairs=6)
    judging = Judging(allow=frozenset((*allow, "invalid")), primary=primary)
    settings = Settings(output=tmp_path / "runs")
    _, comparison = ab(plan, judging=judging, settings=settings, report=False)
    assert comparison is not None
    return comparison


def separately(path: Path, tmp_path: Path, *hosts: str) -> list[Path]:
    settings = Settings(output=tmp_path / "runs")
    return [bench.run(path, hosts=[host], settings=settings, report=False).path for host in hosts]


def row(comparison, metric):
    return next(m for m in comparison.cases[0].metrics if m.metric == metric)


def said_of(comparison) -> str:
    """Why a comparison was refused."""
    assert comparison.exit_code is ExitCode.NOT_COMPARABLE
    assert comparison.refused is not None
    return comparison.refused.message


def test_a_ten_percent_decode_slowdown(serve, scenario_file, tmp_path):
    result = in_pairs(scenario_file(), tmp_path, serve(), serve(model_step_ms=4.55))
    decode = row(result, "decode_tok_per_s")
    assert decode.change == pytest.approx(-0.1, abs=0.01)
    assert decode.verdict is Verdict.WORSE
    assert not decode.indicative
    assert result.exit_code is ExitCode.WORSE
    assert {d.key: d.role for d in result.cases[0].differences} == {"server": Role.COMPARED}


def test_no_change_is_called_no_change(serve, scenario_file, tmp_path):
    result = in_pairs(scenario_file(), tmp_path, serve(), serve())
    assert result.verdict is Verdict.NO_CHANGE
    assert result.exit_code is ExitCode.OK


def test_a_slot_reduction_is_named_before_the_wait_it_causes(serve, scenario_file, tmp_path):
    path = scenario_file(load={"closed": {"users": 3, "requests": 9}})
    four, one = serve(num_parallel=4), serve(num_parallel=1)
    refused = in_pairs(path, tmp_path, four, one, primary=WAITING)
    assert "slots_observed: at least 3 -> 1. The server works" in said_of(refused)
    (kept,) = (tmp_path / "runs").iterdir()
    judging = Judging(allow=BUSY | {"slots_observed"}, primary=WAITING)
    (result,) = compare(kept, judging=judging)
    assert row(result, "ttft_s.p50").verdict is Verdict.WORSE
    assert "slots_observed" in row(result, "ttft_s.p50").explained_by


def test_a_context_change_is_named(serve, scenario_file, tmp_path):
    runs = separately(
        scenario_file(), tmp_path, serve(), serve(model_context_length=1024, model_step_ms=4.55)
    )
    (refused,) = compare(runs[0], runs[1:], judging=Judging(allow=BUSY))
    assert "served_context: 2048 -> 1024. The server gave" in said_of(refused)
    judging = Judging(allow=BUSY | {"served_context"}, primary=DECODE)
    (result,) = compare(runs[0], runs[1:], judging=judging)
    decode = row(result, "decode_tok_per_s")
    assert (decode.verdict, decode.explained_by) == (
        Verdict.WORSE,
        ("served_context", "server"),  # two servers on this machine, by their ports
    )


def test_a_model_swap_is_named(serve, scenario_file, tmp_path):
    runs = separately(
        scenario_file(),
        tmp_path,
        serve(),
        serve(model_quantization="Q8_0", model_size_gb=1.3, model_step_ms=6.0),
    )
    (refused,) = compare(runs[0], runs[1:], judging=Judging(allow=BUSY))
    assert "One name, two digests: these are different weights" in said_of(refused)
    judging = Judging(allow=BUSY | {"digest"}, primary=DECODE)
    (result,) = compare(runs[0], runs[1:], judging=judging)
    decode = row(result, "decode_tok_per_s")
    assert decode.verdict is Verdict.WORSE
    assert set(decode.explained_by) == {"digest", "quantization", "server"}


def test_aaa_then_bbb_is_only_an_indication(serve, scenario_file, tmp_path):
    runs = separately(scenario_file(), tmp_path, serve(), serve(model_step_ms=4.3))
    (result,) = compare(runs[0], runs[1:], judging=Judging(allow=BUSY, primary=DECODE))
    assert row(result, "decode_tok_per_s").verdict is Verdict.WORSE
    assert result.indicative
    assert result.exit_code is ExitCode.INCONCLUSIVE
    assert [n.code for n in result.notes] == ["separate_runs"]


def test_another_version_across_an_era_gets_no_verdict_on_decode(serve, scenario_file, tmp_path):
    runs = separately(
        scenario_file(),
        tmp_path,
        serve(ollama_version="0.24.0"),
        serve(ollama_version="0.32.15"),
    )
    (result,) = compare(runs[0], runs[1:], judging=Judging(allow=BUSY, primary=DECODE))
    assert row(result, "decode_tok_per_s").verdict is Verdict.NOT_COMPARABLE
    assert result.exit_code is ExitCode.NOT_COMPARABLE
    keys = [d.key for d in result.cases[0].differences]
    assert keys.index("era") < keys.index("server_version")
