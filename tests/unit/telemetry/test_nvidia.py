"""The real `pynvml` against a planted libnvidia-ml."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from bench.telemetry.cards import nvidia_cards
from bench.telemetry.energy import Energy, counted_energy, integrated_energy
from bench.telemetry.gpu_bandwidth import card_bandwidth
from bench.telemetry.nvidia import find_nvidia
from bench.telemetry.sampling import Recorder
from bench.telemetry.source import UnreadableError

STEP_NS = 100_000_000


def found(**kwargs):
    return find_nvidia(present=lambda: True, **kwargs)


def only_card():
    (card,), blind = found()
    assert blind == {}
    return card


def record(nvml, seconds, jitter_ns=0, at=None):
    """Readings each 0.1 s of the test's own time."""
    recorder = Recorder(only_card(), lambda: nvml.now_ns)
    rng = np.random.default_rng(5)
    for step in range(round(seconds * 10) + 1):
        nvml.now_ns = 5_000_000_000 + step * STEP_NS + round(rng.uniform(0, jitter_ns or 1e-9))
        if at is not None:
            at(step)
        recorder.take()
    return recorder


def energy(recorder, start_s, end_s):
    return counted_energy(
        recorder.samples["gpu0_energy_j"],
        5_000_000_000 + round(start_s * 1e9),
        5_000_000_000 + round(end_s * 1e9),
    )


def planted(nvml, start_s, end_s):
    return nvml.planted_j(5_000_000_000 + round(start_s * 1e9), 5_000_000_000 + round(end_s * 1e9))


@pytest.mark.parametrize("seconds", [1, 10, 100])
@pytest.mark.parametrize("tick_ms", [10, 20, 100])
def test_energy_within_a_percent_of_what_is_planted(nvml, seconds, tick_ms):
    nvml.tick_ns, nvml.swing_w = tick_ms * 1_000_000, 20.0
    recorder = record(nvml, seconds + 2)
    got = energy(recorder, 0.5, 0.5 + seconds)
    assert isinstance(got, Energy)
    assert got.joules == pytest.approx(planted(nvml, 0.5, 0.5 + seconds), rel=0.01)
    if tick_ms == 20 and seconds == 10:
        nvml.swing_w = 0.0
        power = integrated_energy(recorder.samples["gpu0_power_w"], 5_500_000_000, 15_500_000_000)
        assert isinstance(power, Energy)
        assert power.joules == pytest.approx(got.joules, rel=0.01)


def test_readings_at_odd_moments_stay_within_the_stated_error(nvml):
    nvml.tick_ns = 100_000_000
    recorder = record(nvml, 60, jitter_ns=60_000_000)
    for start in np.linspace(0.5, 40, 60):
        for seconds in (1, 3, 10):
            got = energy(recorder, start, start + seconds)
            assert abs(got.joules - planted(nvml, start, start + seconds)) <= got.error_j


def test_a_counter_that_falls_books_nothing_twice(nvml):
    def fall(step):
        nvml.shift_mj = 0 if step < 50 else -900_000  # the driver was loaded anew

    nvml.shift_mj = 0
    recorder = record(nvml, 12, at=fall)
    assert recorder.status()["steps_dropped"] == 1
    assert recorder.samples["gpu0_energy_j"][-1][1] == pytest.approx(200 * 11.9, rel=0.01)


def test_a_counter_that_falls_and_returns_does_not_book_its_lifetime(nvml):
    def dip(step):
        nvml.shift_mj = 10**12 if step not in (40, 41) else -(10**6)

    recorder = record(nvml, 12, at=dip)
    assert recorder.samples["gpu0_energy_j"][-1][1] == pytest.approx(200 * 12, rel=0.02)


def test_a_frozen_counter_is_no_zero_joules(nvml):
    nvml.frozen_ns = 4_000_000_000
    assert "stood still" in energy(record(nvml, 12), 1, 11)


def test_each_call_that_is_not_supported_is_named_and_the_rest_kept(nvml):
    names = {
        "energy": ("energy counter", "gpu0_energy_j"),
        "power": ("power", "gpu0_power_w"),
        "util": ("utilisation", "gpu0_share"),
        "memory": ("memory", "gpu0_memory_bytes"),
        "temp": ("temperature", "gpu0_temperature_c"),
        "clock": ("SM clock", "gpu0_sm_clock_mhz"),
        "reasons": ("throttling", "gpu0_power_capped"),
    }
    for call, (what, series) in names.items():
        nvml.reset()
        nvml.fail(call, 3)
        card = only_card()
        assert card.description.blind[what] == "Not Supported"
        assert series not in {*card.description.reads, *card.gauges(), *card.counters}
        assert len(card.gauges()) >= 5


def test_before_volta_energy_is_power_added_up(nvml):
    nvml.fail("energy", 3)
    assert "power added up" in only_card().description.exactness


def test_a_card_that_answers_nothing_is_no_series_of_zeros(nvml):
    for call in ("energy", "power", "util", "memory", "temp", "clock", "reasons"):
        nvml.fail(call, 3)
    cards, blind = found()
    assert list(cards) == [] and "Jetson" in blind["nvidia 0"]


def test_mig_is_said(nvml):
    nvml.mig = 1
    assert "other slices included" in only_card().description.what


def test_unified_memory_is_said_if_name_and_answer_agree(nvml):
    nvml.name("NVIDIA GB10")
    assert "unified" not in str(only_card().description.blind)
    nvml.fail("memory", 3)
    assert "unified" in only_card().description.blind["memory"]


def test_gb10_has_power_and_energy_no_memory_no_pcie_and_a_known_bandwidth(nvml):
    nvml.name("NVIDIA GB10")
    nvml.fail("memory", 3)
    nvml.fail("clock", 3)  # the fake's width of the bus goes with it
    card = only_card()
    values = [card.gauges() for _ in range(12)]
    assert all(v["gpu0_power_w"] == 200.0 and v["gpu0_share"] > 0 for v in values)
    assert not [n for v in values for n in v if "memory_bytes" in n or "pcie" in n]
    assert list(card.counters) == ["gpu0_energy_j"]
    assert "unified" in card.description.blind["memory"]
    assert "not over PCIe" in card.description.blind["PCIe traffic"]
    facts = card.description.facts
    found = card_bandwidth(card.description.product, facts.get("bus_width_bits"))
    assert found is not None and found.reachable == 273e9


def test_another_card_without_an_answer_about_memory_is_not_called_unified(nvml):
    nvml.fail("memory", 3)
    card = only_card()
    assert card.description.blind["memory"] == "Not Supported"
    assert "PCIe traffic" not in card.description.blind


def test_a_sentinel_is_no_number(nvml):
    nvml.memory_used = 2**64 - 1
    assert "gpu0_memory_bytes" not in only_card().gauges()


def test_a_sentinel_in_mid_run_is_no_number(nvml):
    def sentinel(step):
        nvml.memory_used = 2**64 - 1 if step == 5 else 2**30

    values = {v for _, v in record(nvml, 1, at=sentinel).samples["gpu0_memory_bytes"]}
    assert values == {float(2**30)}


def test_a_card_lost_in_mid_run_ends_its_series_and_others_go_on(nvml):
    nvml.cards = 2
    cards, _ = found()
    first, second = (Recorder(c, lambda: nvml.now_ns) for c in cards)
    for step in range(30):
        nvml.now_ns = step * STEP_NS
        if step == 10:
            for call in ("energy", "power", "util", "memory", "temp", "clock"):
                nvml.fail(call, 15, card=0)
        first.take()
        second.take()
    assert first.gone and "lost" in first.status()["not_measurable"]
    assert len(first.samples["gpu0_power_w"]) == 10
    assert len(second.samples["gpu1_power_w"]) == 30
    assert "not_measurable" not in second.status()


def test_a_card_without_a_handle_leaves_the_others(nvml):
    nvml.cards = 2
    nvml.fail("handle", 15, card=0)
    cards, blind = found()
    assert [c.description.name for c in cards] == ["nvidia 1"]
    assert "nvidia 0" in blind


def test_a_null_handle_is_never_asked(nvml):
    nvml.null_handle = 1
    cards, blind = found()
    assert list(cards) == [] and "handle" in blind["nvidia 0"]


def test_an_unknown_error_in_a_container_is_a_gap(nvml):
    def lose(step):
        for call in ("energy", "power", "util", "memory", "temp", "clock"):
            nvml.fail(call, 999 if 10 <= step < 15 else 0)

    recorder = record(nvml, 3, at=lose)
    assert len(recorder.samples["gpu0_power_w"]) == 31 - 5
    assert 0.0 not in [v for _, v in recorder.samples["gpu0_power_w"]]
    assert "restart the container" in recorder.status()["not_measurable"]


def test_an_updated_driver_without_reboot_names_both_versions(nvml, tmp_path):
    nvml.fail("init", 18, card=0)
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: 550.54.14  Thu")
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/maps").write_text("7f /usr/lib/libnvidia-ml.so.560.35.03\n")
    said = found(root=tmp_path)[1]["NVIDIA cards"]
    assert "550.54.14" in said and "560.35.03" in said and "reboot" in said


def test_a_sleeping_card_is_not_woken(nvml, tmp_path):
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    (device / "power").mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030000\n")
    (device / "power/runtime_status").write_text("suspended\n")
    with pytest.raises(UnreadableError, match="asleep"):
        found(root=tmp_path)
    assert nvml.users == 0
    (device / "power/runtime_status").write_text("active\n")
    assert len(found(root=tmp_path)[0]) == 1


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "ollama-bench[telemetry]" in found()[1]["NVIDIA cards"]


def test_without_a_card_nothing_is_said():
    assert find_nvidia(present=lambda: False) == ([], {})


def test_reasons_for_low_clocks(nvml):
    card = only_card()
    for bits, series in ((0x20, "thermal"), (0x40, "thermal"), (0x80, "hardware")):
        nvml.reasons = bits
        assert card.gauges()[f"gpu0_throttled_{series}"] == 1.0
    nvml.reasons = 1  # idle is no throttling
    values = card.gauges()
    assert [values[f"gpu0_throttled_{s}"] for s in ("thermal", "hardware")] == [0.0, 0.0]


def test_nvml_is_given_back(nvml):
    nvml.cards = 3
    cards, _ = found()
    assert nvml.users == 3
    for card in cards:
        card.close()
    assert nvml.users == 0


def test_power_beyond_the_limit_is_no_reading(nvml):
    card = only_card()
    readings = []
    for watts in (200.0, 4000.0):
        nvml.base_w = watts
        readings.append(card.gauges().get("gpu0_power_w"))
    assert readings == [200.0, None]


def test_power_of_all_ones_is_no_reading_before_volta_either(nvml):
    """Without a counter of energy no limit is known; 2^32 - 1 mW is a driver's "I do not know"."""
    nvml.fail("energy", 3)
    (card,), _ = find_nvidia(present=lambda: True)
    assert card.gauges()["gpu0_power_w"] == pytest.approx(200, rel=0.2)
    nvml.base_w = (2**32 - 1) / 1000
    assert "gpu0_power_w" not in card.gauges()


def test_processes_on_a_card_and_what_they_hold(nvml):
    nvml.cards, nvml.processes, nvml.process_bytes = 2, 2, 3 << 30
    first, second = found()[0]
    assert first.gauges()["gpu0_processes"] == 2
    assert first.gauges()["gpu0_processes_bytes"] == 6 << 30
    assert second.gauges()["gpu1_processes"] == 0


def test_memory_of_processes_that_the_driver_does_not_tell_is_absent(nvml):
    """WSL2 and WDDM: all ones stand for each process."""
    nvml.processes, nvml.process_bytes = 1, 2**64 - 1
    values = only_card().gauges()
    assert values["gpu0_processes"] == 1 and "gpu0_processes_bytes" not in values


def test_processes_may_not_be_told(nvml):
    nvml.fail("proc", 3)
    card = only_card()
    assert card.description.blind["processes on the card"] == "Not Supported"
    assert "gpu0_processes" not in card.gauges()


def test_pcie_is_read_seldom(nvml):
    card = only_card()
    told = [v for _ in range(10) if (v := card.gauges().get("gpu0_pcie_tx_bytes_per_s"))]
    assert len(told) == 2 and set(told) <= {1024_000.0, 2048_000.0}
    nvml.fail("pcie", 3)
    assert only_card().description.blind["PCIe traffic"] == "Not Supported"


def test_a_virtual_card_is_called_virtual(nvml):
    nvml.virtual_mode = 2
    assert "virtual" in only_card().description.what


def test_slices_of_one_board_are_one_row(nvml):
    nvml.cards, nvml.one_uuid = 3, 1
    assert len(found()[0]) == 1
    nvml.one_uuid = 0
    assert len(found()[0]) == 3


def test_windows_says_that_pages_may_lie_elsewhere(nvml, tmp_path):
    (card,), _ = found(platform="win32")
    assert "shared memory" in card.description.blind["where pages lie"]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").touch()
    (card,), _ = found(root=tmp_path, platform="linux")
    assert "where pages lie" in card.description.blind


def test_facts_give_the_bandwidth(nvml):
    """384 bits at 10,501 MHz: the 1,008 GB/s of an RTX 4090."""
    facts = only_card().description.facts
    assert facts["bus_width_bits"] / 8 * facts["memory_clock_max_mhz"] * 2e6 == pytest.approx(
        1008e9, rel=0.001
    )


def test_cards_by_name_for_the_environment(nvml, monkeypatch):
    nvml.cards = 2
    first, second = nvidia_cards(present=lambda: True)
    assert first == second
    assert first == {
        "name": "Planted Card",
        "driver": "550.54.14",
        "memory_mib": "8192",
        "power_limit_w": "300.00",
        "max_sm_clock_mhz": "1980",
    }
    assert nvml.users == 0
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvidia_cards(present=lambda: True) is None


def test_a_driver_that_hangs_names_no_card_and_holds_nobody_up(nvml, monkeypatch):
    monkeypatch.setattr("bench.telemetry.cards.DEADLINE_S", 0.05)
    nvml.hang_ms = 30
    assert nvidia_cards(present=lambda: True) == []
    nvml.hang_ms = 0
    for thread in threading.enumerate():
        if thread.name == "cards":
            thread.join(20)
