from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mgk_queue import waits
from virtual_runs import closed, plan_of

from bench.analysis.capacity.memory import kv_shape, memory_bound, tokens_that_fit
from bench.analysis.capacity.users import UserModel, concurrent_users
from bench.analysis.capacity.usl import fit_usl
from bench.results.run import ClockInfo, ModelInfo, RunInfo, RunStatus, TargetInfo
from bench.stats.queueing import erlang_c, mean_wait_s

RECORDINGS = Path(__file__).parents[2] / "recordings"


def test_erlang_c_matches_tables() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(10, 8.0) == pytest.approx(0.40918, abs=1e-5)
    assert erlang_c(4, 4.0) == 1.0


@given(st.integers(1, 50), st.floats(0.01, 0.98))
def test_more_slots_wait_less(slots: int, use: float) -> None:
    assert 0 <= erlang_c(slots + 1, use * slots) <= erlang_c(slots, use * slots) <= 1


def test_pollaczek_khinchine_is_the_case_of_one_slot() -> None:
    # W = lambda E[S^2] / (2 (1 - rho)), S = 2 s fixed, lambda = 0.3
    assert mean_wait_s(1, 0.3, 2.0, cv2_service=0) == pytest.approx(0.3 * 4 / (2 * 0.4))
    assert mean_wait_s(4, 1.0, 5.0, cv2_service=1) == math.inf


@pytest.mark.parametrize("use", [0.5, 0.7, 0.85])
def test_allen_cunneen_against_simulation(use: float) -> None:
    rate = use * 4 / 5
    simulated = waits(rate, 200_000, np.random.default_rng(3))[0].mean()
    assert mean_wait_s(4, rate, 5.0, cv2_service=0.16) == pytest.approx(simulated, rel=0.12)


def test_usl_gives_back_its_own_coefficients() -> None:
    n = np.array([1, 2, 4, 8, 12, 16, 24, 32])
    x = 50 * n / (1 + 0.05 * (n - 1) + 0.001 * n * (n - 1))
    fit = fit_usl(n, x)
    assert fit.rate_of_one.value == pytest.approx(50, rel=1e-6)
    assert fit.sigma.value == pytest.approx(0.05, rel=1e-6)
    assert fit.kappa.value == pytest.approx(0.001, rel=1e-6)
    assert fit.peak_users == pytest.approx(math.sqrt(0.95 / 0.001), rel=1e-6)
    assert fit.r2 == pytest.approx(1)
    assert fit.throughput([8]) == pytest.approx(x[3])


def test_usl_intervals_cover() -> None:
    rng = np.random.default_rng(8)
    n = np.array([1, 2, 3, 4, 6, 8, 12, 16])
    truth = 40 * n / (1 + 0.08 * (n - 1) + 0.002 * n * (n - 1))
    held = 0
    for _ in range(300):
        fit = fit_usl(n, truth + rng.normal(0, 2, len(n)))
        held += fit.sigma.low <= 0.08 <= fit.sigma.high
    assert 0.90 <= held / 300 <= 0.99


def test_usl_says_no_peak_far_outside_and_refuses_few_levels() -> None:
    n = np.arange(1, 8)
    assert fit_usl(n, 10.0 * n / (1 + 0.01 * (n - 1))).peak_users is None
    with pytest.raises(ValueError, match="at least 6"):
        fit_usl([1, 2, 4], [1, 2, 4])


def test_kv_memory_of_a_recorded_model() -> None:
    show = json.loads((RECORDINGS / "ollama-0.32.15" / "show.json").read_text())
    body = json.loads("".join(c["data"] for c in show["response"]["chunks"]))
    shape = kv_shape(body["model_info"])
    assert shape is not None
    # SmolLM2-135M: 30 layers, 3 KV heads of 64: 2 x 30 x 3 x 64 x 2 bytes
    assert shape.bytes_per_token() == 23040
    assert shape.bytes_per_token("q8_0") == pytest.approx(23040 * 34 / 64)
    assert tokens_that_fit(shape, 1e9, 0.1e9) == int(0.9e9 / 23040)
    assert tokens_that_fit(shape, 1, 2) == 0
    with pytest.raises(ValueError, match="q9"):
        shape.bytes_per_token("q9")


def test_kv_shape_is_unknown_when_the_model_does_not_say() -> None:
    assert kv_shape({}) is None
    info = {
        "general.architecture": "x",
        "x.block_count": 2,
        "x.attention.head_count": 8,
        "x.embedding_length": 512,
        "x.attention.head_count_kv": None,
    }
    assert kv_shape(info) is None
    shape = kv_shape(info | {"x.attention.head_count_kv": [2, 4]})
    assert shape is not None
    assert shape.bytes_per_token() == (2 + 4) * 128 * 2


def test_users_as_users() -> None:
    staff = UserModel(120, 6, 3)
    assert staff.rate_per_s == pytest.approx(0.6)
    assert staff.users_at(0.6) == pytest.approx(120)
    assert concurrent_users(0.5, 6, 24) == pytest.approx(15)


@pytest.mark.parametrize(
    ("setting", "kind", "known"),
    [
        ("Q8_0", "q8_0", True),  # Ollama reads it in lower case
        ("turbo", "f16", False),  # ... and passes over what it does not know
        ("", "f16", False),
    ],
)
def test_the_cache_type_as_the_server_reads_it(setting: str, kind: str, known: bool) -> None:
    shape = {
        "general.architecture": "x",
        "x.block_count": 2,
        "x.attention.head_count": 4,
        "x.embedding_length": 64,
    }
    target = TargetInfo("t", "", "", "", settings={"OLLAMA_KV_CACHE_TYPE": setting})
    info = RunInfo(
        "id",
        RunStatus.COMPLETE,
        "1",
        "",
        ClockInfo(0, ""),
        plan_of(closed(1, 1)),
        targets=(target,),
        models=(ModelInfo("t", "m", model_info=shape),),
    )
    found = memory_bound(info, 1)
    assert found is not None and (found.cache_type, found.cache_known) == (kind, known)
    odd = {**shape, "x.attention.head_count_kv": [4, None]}
    assert memory_bound(replace(info, models=(ModelInfo("t", "m", model_info=odd),)), 1) is None
