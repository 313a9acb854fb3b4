"""What the samples of a block show of the server's machine."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.analysis.run.machine_checks import cost_warnings, sampled_warnings
from bench.analysis.run.summary import Estimate, Metric
from bench.results.run import BlockInfo, Residency
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Case, Load, PromptSpec

S = 10**9


def case(**options) -> Case:
    return Case(
        id="m:1b",
        axes={},
        target="here",
        model="m:1b",
        endpoint="chat",
        stream=True,
        options=options,
        think=False,
        keep_alive="30m",
        prompts=PromptSpec(inline=("Hello",)),
        load=Load("closed", users=1, requests=1),
        warmup=0,
    )


def block(series: dict[str, list[float]], gpu_share: float | None = None) -> BlockInfo:
    """Samples each second from 0 s; the window is 2 s to 12 s."""
    samples = {n: [(i * S, v) for i, v in enumerate(values)] for n, values in series.items()}
    after = None
    if gpu_share is not None:
        after = Residency(True, size_bytes=100, vram_bytes=round(100 * gpu_share))
    return BlockInfo(0, "c", 0, 15 * S, 2 * S, 12 * S, after=after, utilisation=samples)


def codes(info, the_case=None):
    return [w.code for w in sampled_warnings(the_case or case(), [info])]


def test_throttling_comes_with_its_evidence():
    series = {
        "gpu1_throttled_thermal": [0.0] * 5 + [1.0] * 4 + [0.0] * 6,
        "gpu1_temperature_c": [60.0] * 5 + [93.0] * 4 + [80.0] * 6,
        "gpu1_sm_clock_mhz": [1980.0] * 5 + [1410.0] * 4 + [1980.0] * 6,
    }
    (warning,) = sampled_warnings(case(), [block(series)])
    assert warning.code == "throttled"
    for evidence in ("gpu1", "4 of 11 samples", "93 °C", "1410 to 1980 MHz"):
        assert evidence in warning.message


def test_it_is_told_once_for_all_blocks():
    hot = block({"gpu0_throttled_thermal": [1.0] * 15})
    cool = block({"gpu0_throttled_thermal": [0.0] * 15})
    (warning,) = sampled_warnings(case(), [hot, cool, hot])
    assert "in 2 of 3 blocks" in warning.message


def test_throttling_outside_the_window_or_in_one_sample_is_none():
    before = [1.0] * 2 + [0.0] * 11 + [1.0] * 2
    assert codes(block({"gpu0_throttled_thermal": before})) == []
    assert codes(block({"gpu0_throttled_thermal": [0.0] * 5 + [1.0] + [0.0] * 9})) == []


def test_the_power_cap_is_no_fault():
    assert codes(block({"gpu0_power_capped": [1.0] * 15})) == []


def test_swapping_within_the_window():
    grows = [7e9 + i * 20e6 for i in range(15)]
    (warning,) = sampled_warnings(case(), [block({"swapped_in_bytes": grows})])
    assert warning.code == "swapping" and "191 MiB" in warning.message
    assert codes(block({"swapped_in_bytes": [7e9] * 15})) == []


@pytest.mark.parametrize(("share", "expected"), [(0.0, ["cpu_fallback"]), (1.0, []), (0.5, [])])
def test_a_gpu_that_the_model_does_not_use(share, expected):
    assert codes(block({"gpu0_memory_bytes": [1e9] * 15}, share)) == expected
    assert codes(block({"cpu_share": [0.5] * 15}, share)) == []


def test_a_model_that_was_asked_onto_the_cpu_is_no_fallback():
    info = block({"gpu0_memory_bytes": [1e9] * 15}, 0.0)
    assert codes(info, case(num_gpu=0)) == []


def test_a_price_without_a_cost_is_told_with_the_reason():
    unread = Metric("cost_per_mtok", "", 0, {}, "the CPU's energy cannot be read")
    about = SimpleNamespace(case=case(), target=SimpleNamespace(simulated=False))
    (found,) = cost_warnings(about, unread)
    assert found.code is WarningCode.COST_UNKNOWN
    assert found.message.endswith("the cost is not known: the CPU's energy cannot be read")
    about.target.simulated = True
    assert not list(cost_warnings(about, unread))
    about.target.simulated = False
    assert not list(cost_warnings(about, replace(unread, stats={"value": Estimate(1.0)})))
