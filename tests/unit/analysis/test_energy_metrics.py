"""Energy per token: planted watts, tokens and idle power come back, within the stated error."""

from __future__ import annotations

import numpy as np
import pytest
from machine_runs import block, data, info

from bench.analysis.run.machine import case_energy, energy_metrics, energy_values
from bench.scenario.prices import parse_prices

IDLE = {
    "target": "here",
    "seconds": 10.0,
    "state": "model loaded, no request",
    "devices": {"gpu0": {"watts": 50.0, "error_w": 1.0}},
}


def metrics(blocks, tokens, prices=(), shares=None, **environment):
    found = data(blocks, tokens)
    shares = [1.0] if shares is None else shares
    energy = case_energy(info(**environment), found, shares)
    return energy_metrics(found, energy, parse_prices(prices))


def value(metric):
    return metric.stats["value"].value


def test_planted_energy_per_token_request_and_money():
    blocks = [block(i, watts=200) for i in range(3)]
    found = metrics(blocks, [400.0] * 3, ["0.30 EUR/kWh", "1.20 EUR/h"], idle=IDLE)
    assert value(found["j_per_token"]) == pytest.approx(5.0, rel=0.01)
    assert value(found["j_per_request"]) == pytest.approx(200.0, rel=0.01)
    assert value(found["gpu_power_w"]) == pytest.approx(200.0, rel=0.01)
    assert value(found["wh_per_mtok"]) == pytest.approx(5e6 / 3600, rel=0.01)
    assert value(found["j_per_token_above_idle"]) == pytest.approx(3.75, rel=0.01)
    # 1,389 Wh at 0.30 a kWh, and 1e6 / 40 tok/s = 25,000 s at 1.20 an hour
    assert value(found["cost_per_mtok"]) == pytest.approx(0.4167 + 8.3333, rel=0.01)
    assert found["cost_per_mtok"].unit == "EUR"
    assert "GPU board" in found["j_per_token"].note and "counter" in found["j_per_token"].note
    for said in ("50.0 ± 1.0 W", "10 s before the run", "model loaded"):
        assert said in found["j_per_token_above_idle"].note


def test_under_three_seconds_is_refused_with_the_reason():
    found = metrics([block(seconds=2.9)], [100.0])
    assert found["j_per_token"].n == 0
    assert "under 3 s of steady load" in found["j_per_token"].note
    assert value(metrics([block(seconds=3.0)], [100.0])["j_per_token"]) > 0


def test_without_idle_power_nothing_is_said_of_above_idle():
    assert metrics([block()], [100.0])["j_per_token_above_idle"].stats == {}
    elsewhere = IDLE | {"target": "there"}
    assert metrics([block()], [100.0], idle=elsewhere)["j_per_token_above_idle"].n == 0


def test_the_interval_holds_the_sampling_error_and_that_of_idle():
    blocks = [block(i, seconds=5, watts=200) for i in range(3)]
    found = metrics(blocks, [100.0, 101.0, 99.0], idle=IDLE)
    gross = found["j_per_token"].stats["value"]
    one_tick_each_end = 2 * 0.1 * 200 * 3**0.5 / 300
    assert gross.high - gross.value > one_tick_each_end
    assert "sampling error" in gross.method
    unsure = IDLE | {"devices": {"gpu0": {"watts": 50.0, "error_w": 9.0}}}
    one, other = (
        metrics(blocks, [100.0, 101.0, 99.0], idle=i)["j_per_token_above_idle"].stats["value"]
        for i in (IDLE, unsure)
    )
    assert (other.high - other.low) - (one.high - one.low) == pytest.approx(2 * 8 * 15 / 300)


def test_power_alone_is_added_up_and_says_so():
    one = block(power_too=True)
    del one.utilisation["gpu0_energy_j"]
    found = metrics([one], [100.0])["j_per_token"]
    assert value(found) == pytest.approx(20.0, rel=0.01)
    assert "added-up power" in found.note


def test_a_model_on_the_cpu_is_never_charged_an_idle_cards_energy():
    found = metrics([block(gpu_share=0.0)], [100.0], shares=[0.0])
    assert found["j_per_token"].n == 0 and "on the CPU" in found["j_per_token"].note
    cpu = metrics([block(device="cpu0", watts=80, gpu_share=0.0)], [100.0], shares=[0.0])
    assert value(cpu["j_per_token"]) == pytest.approx(8.0, rel=0.01)
    assert "CPU package" in cpu["j_per_token"].note
    assert "gpu_power_w" not in cpu


def test_only_cards_on_which_something_computes_count():
    both = block(watts=200, gpu0_processes=1.0, gpu1_processes=0.0)
    both.utilisation["gpu1_energy_j"] = both.utilisation["gpu0_energy_j"]
    assert value(metrics([both], [100.0])["gpu_power_w"]) == pytest.approx(200, rel=0.01)
    for name in ("gpu0_processes", "gpu1_processes"):
        del both.utilisation[name]
    assert value(metrics([both], [100.0])["gpu_power_w"]) == pytest.approx(400, rel=0.01)


def test_a_spilled_model_is_of_board_and_package():
    one = block(watts=200, gpu_share=0.5)
    one.utilisation["cpu0_energy_j"] = [(t, v / 2) for t, v in one.utilisation["gpu0_energy_j"]]
    found = metrics([one], [100.0], shares=[0.5])
    assert value(found["j_per_token"]) == pytest.approx(30, rel=0.01)
    assert "GPU board and CPU package" in found["j_per_token"].note
    assert value(found["gpu_power_w"]) == pytest.approx(200, rel=0.01)


def test_a_frozen_counter_is_no_zero():
    stuck = block()
    stuck.utilisation["gpu0_energy_j"] = [(t, 7.0) for t, _ in stuck.utilisation["gpu0_energy_j"]]
    assert "stood still" in metrics([stuck], [100.0])["j_per_token"].note


def test_readings_that_contradict_each_other_are_told_as_a_ratio():
    one = block(power_too=True)
    one.utilisation["gpu0_power_w"] = [(t, v / 1.74) for t, v in one.utilisation["gpu0_power_w"]]
    assert case_energy(info(), data([one], [1.0]), [1.0]).ratio == pytest.approx(1.74, rel=0.02)
    assert case_energy(info(), data([block(power_too=True)], [1.0]), [1.0]).ratio is None


def test_blocks_have_values_to_compare():
    found = data([block()], [400.0])
    values = energy_values(found, case_energy(info(), found, [1.0]))[0]
    assert values["j_per_token"] == pytest.approx(5, rel=0.01)
    assert values["gpu_power_w"] == pytest.approx(200, rel=0.01)


def test_no_price_no_cost_and_hours_alone_need_no_energy():
    assert "--price" in metrics([block()], [1.0])["cost_per_mtok"].note
    hours = metrics([block(seconds=2)], [80.0], ["2/h"])["cost_per_mtok"]
    assert value(hours) == pytest.approx(1e6 / 40 / 3600 * 2)


def test_coverage_of_energy_per_token():
    """Noise between blocks, tokens that follow it, and readings at odd moments of a coarse tick."""
    rng = np.random.default_rng(18)
    held = 0
    trials = 200
    for _ in range(trials):
        blocks, tokens = [], []
        for i in range(4):
            pace = np.exp(rng.normal(0, 0.03))
            watts = 200 * np.exp(rng.normal(0, 0.02))
            blocks.append(block(i, 4.0, watts, phase_s=rng.uniform(0, 0.1)))
            tokens.append(40 * 4.0 * pace * np.exp(rng.normal(0, 0.01)))
        e = metrics(blocks, tokens)["j_per_token"].stats["value"]
        held += e.low <= 200 / 40 <= e.high
    assert held / trials >= 0.94


@pytest.mark.parametrize("text", ["0.30", "x/kWh", "-1 EUR/kWh", "1 EUR/day"])
def test_what_is_no_price(text):
    with pytest.raises(ValueError, match="EUR/kWh"):
        parse_prices([text])
