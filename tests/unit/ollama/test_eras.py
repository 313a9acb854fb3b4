"""The eras: which version means what, and where comparisons must stop."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.metrics import METRICS
from bench.ollama.eras import BOUNDARIES, boundaries_between, era_of, parse_version


@pytest.mark.parametrize(
    ("version", "era"),
    [
        ("0.1.33", "E1"),
        ("0.3.14", "E1"),
        ("0.4.0", "E2a"),
        ("0.12.4", "E2a"),
        ("0.12.5", "E2b"),
        ("0.12.11", "E2b"),
        ("0.24.0", "E2b"),
        ("0.30.0", "E3"),
        ("0.32.15", "E3"),
        ("0.33.0-rc2", "E3"),
        ("v0.32.15", "E3"),
        ("0.32.15-ollama-bench.simulated", "E3"),
        ("1.0", "E3"),
    ],
)
def test_a_version_belongs_to_an_era(version: str, era: str) -> None:
    found = era_of(version)
    assert found.id == era
    assert not found.assumed


@pytest.mark.parametrize(
    "version", ["", "0.0.0", "dev", "a1b2c3d", "0.27.1", "0", "0.33.0.1", "1" * 5000 + ".2"]
)
def test_what_is_no_release_counts_as_the_newest_and_says_so(version: str) -> None:
    found = era_of(version)
    assert found.id == "E3"
    assert found.assumed


def test_safetensors_models_run_on_the_mlx_engine() -> None:
    era = era_of("0.32.15", "safetensors")
    assert era.id == "MLX"
    assert not era.first_token_free
    assert era_of("dev", "safetensors").assumed


def test_the_prompt_count_leaves_out_cached_tokens_in_e1_and_in_0_30_0_alone() -> None:
    without = [
        v
        for v in ("0.3.14", "0.4.0", "0.24.0", "0.30.0", "0.30.1", "0.32.15")
        if not era_of(v).prompt_count_has_cached
    ]
    assert without == ["0.3.14", "0.30.0"]


def test_the_prompt_duration_is_wrong_in_two_releases() -> None:
    versions = ("0.12.4", "0.12.5", "0.12.6", "0.12.7")
    assert [era_of(v).prompt_duration_trusted for v in versions] == [True, False, False, True]


def test_durations_were_whole_milliseconds_until_0_6_1() -> None:
    assert [era_of(v).duration_grain_ns for v in ("0.3.0", "0.4.0", "0.6.1", "0.6.2")] == [
        1_000,
        1_000_000,
        1_000_000,
        1,
    ]


def test_the_default_repeat_penalty_changed_three_times() -> None:
    changed = [b.version for b in BOUNDARIES if b.remedy == "set options.repeat_penalty"]
    assert changed == ["0.17.5", "0.18.0", "0.32.10"]


def test_a_warm_load_is_short_from_0_32_15_on() -> None:
    assert era_of("0.32.14").warm_load_s[1] > 0.1
    assert era_of("0.32.15").warm_load_s[1] <= 0.01


def versions(first: str, second: str) -> list[str]:
    return [b.version for b in boundaries_between(first, second)]


def test_boundaries_lie_above_the_lower_and_up_to_the_higher_version() -> None:
    assert versions("0.30.0", "0.30.1") == ["0.30.1"]
    assert versions("0.30.1", "0.30.1") == []
    assert versions("0.32.14", "0.32.15-ollama-bench.llama.cpp") == ["0.32.15"]
    assert versions("0.24.0", "0.32.15") == [
        "0.30.0",
        "0.30.1",
        "0.30.8",
        "0.30.11",
        "0.32.10",
        "0.32.15",
    ]


def test_boundaries_do_not_depend_on_the_order_of_the_versions() -> None:
    assert boundaries_between("0.24.0", "0.12.4") == boundaries_between("0.12.4", "0.24.0")


def test_an_unknown_version_is_newer_than_every_boundary() -> None:
    assert versions("0.32.15", "dev") == ["0.33.3"]


def test_boundaries_name_known_metrics_and_are_in_order() -> None:
    known = set(METRICS) | {"served_context"}
    assert all(set(b.metrics) <= known for b in BOUNDARIES)
    assert [parse_version(b.version) for b in BOUNDARIES] == sorted(
        v for b in BOUNDARIES if (v := parse_version(b.version))
    )
    assert all(b.reason and b.metrics for b in BOUNDARIES)


def test_eras_are_cheap_to_import() -> None:
    program = (
        "import sys, bench.ollama.eras; "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'msgspec', 'httpx', 'asyncio')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
