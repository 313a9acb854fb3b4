"""The readers of sysfs and powercap against planted trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.telemetry.energy import Energy, counted_energy
from bench.telemetry.gpu_bandwidth import card_bandwidth, known_bandwidth
from bench.telemetry.sampling import Recorder
from bench.telemetry.source import UnreadableError
from bench.telemetry.sysfs import find_cpu_packages, find_drm_cards

CARD = "sys/class/drm/card1/device/"
HWMON = CARD + "hwmon/hwmon4/"
AMD = {
    CARD + "vendor": "0x1002",
    CARD + "gpu_busy_percent": "93",
    CARD + "mem_info_vram_used": str(9 << 30),
    CARD + "mem_info_vram_total": str(24 << 30),
    HWMON + "name": "amdgpu",
    HWMON + "power1_average": "214000000",
    HWMON + "power1_cap": "327000000",
    HWMON + "temp1_input": "71000",
    HWMON + "freq1_input": "2304000000",
}
XE = {
    CARD + "vendor": "0x8086",
    HWMON + "name": "xe",
    HWMON + "energy1_input": "5000000",
    HWMON + "energy1_label": "card",
    HWMON + "energy2_input": "1000000",
    HWMON + "energy2_label": "pkg",
    HWMON + "power1_max": "190000000",
}
RAPL = "sys/class/powercap/intel-rapl:"
PACKAGE = {
    RAPL + "0/name": "package-0",
    RAPL + "0/energy_uj": "262000000000",
    RAPL + "0/max_energy_range_uj": "262143328850",
    RAPL + "0:0/name": "core",
    RAPL + "0:0/energy_uj": "1",
    RAPL + "1/name": "psys",
    RAPL + "1/energy_uj": "1",
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def only(found):
    (source,), blind = found
    assert blind == {}
    return source


def refuse(monkeypatch, part: str, error: type[OSError], number: int = 13):
    """Reading a file whose path holds `part` fails, as root too."""
    real = Path.read_text

    def read(self: Path, *args, **kwargs) -> str:
        if part in str(self):
            raise error(number, "planted")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", read)


def test_an_amd_card(tmp_path):
    card = only(find_drm_cards("amd", plant(tmp_path, AMD)))
    assert card.gauges() == {
        "amd1_share": pytest.approx(0.93),
        "amd1_memory_bytes": 9 << 30,
        "amd1_power_w": pytest.approx(214),
        "amd1_temperature_c": pytest.approx(71),
        "amd1_sm_clock_mhz": pytest.approx(2304),
    }


def test_newer_amd_cards_have_power_input_only(tmp_path):
    files = {k.replace("power1_average", "power1_input"): v for k, v in AMD.items()}
    assert only(find_drm_cards("amd", plant(tmp_path, files))).gauges()["amd1_power_w"] == 214


def test_an_output_of_a_card_is_no_card(tmp_path):
    plant(tmp_path, {**AMD, "sys/class/drm/card1-DP-1/device/vendor": "0x1002"})
    assert len(find_drm_cards("amd", tmp_path)[0]) == 1


def test_sensors_go_by_name_not_by_number(tmp_path):
    other = {CARD + "hwmon/hwmon2/name": "nvme", CARD + "hwmon/hwmon2/power1_average": "7"}
    assert only(find_drm_cards("amd", plant(tmp_path, AMD | other))).gauges()["amd1_power_w"] == 214


def test_memory_of_an_apu_is_vram_and_gtt(tmp_path):
    files = AMD | {
        CARD + "mem_info_vram_total": str(512 << 20),
        CARD + "mem_info_vram_used": str(100 << 20),
        CARD + "mem_info_gtt_used": str(5 << 30),
    }
    card = only(find_drm_cards("amd", plant(tmp_path, files)))
    assert card.gauges()["amd1_memory_bytes"] == (5 << 30) + (100 << 20)
    assert "socket" in card.description.exactness


@pytest.mark.parametrize(
    ("revision", "name", "gb_per_s"),
    [("0xc8", "AMD Radeon RX 7900 XTX", 960), ("0xcc", "AMD Radeon RX 7900 XT", 800)],
)
def test_an_amd_card_is_named_by_its_revision_and_so_has_a_bandwidth(
    tmp_path, revision, name, gb_per_s
):
    ids = "# List of AMDGPU IDs\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n"
    ids += "744C,\tCC,\tAMD Radeon RX 7900 XT\n"
    files = AMD | {CARD + "device": "0x744c", CARD + "revision": revision}
    plant(tmp_path, files | {"usr/share/libdrm/amdgpu.ids": ids})
    card = only(find_drm_cards("amd", tmp_path))
    assert card.description.product == name
    assert known_bandwidth(card.description.product) == gb_per_s * 1e9
    # 384 and 320 bits at the 1,249 and 1,250 MHz of pp_dpm_mclk; GDDR6 moves 16 bits a clock.
    bits, mhz = {960: (384, 1249), 800: (320, 1250)}[gb_per_s]
    assert bits / 8 * mhz * 16 / 1e3 == pytest.approx(gb_per_s, rel=0.002)


def test_an_amd_card_that_is_not_listed_has_no_name_and_no_bandwidth(tmp_path):
    card = only(find_drm_cards("amd", plant(tmp_path, AMD | {CARD + "device": "0x744c"})))
    assert card.description.product == "" and known_bandwidth("") is None


@pytest.mark.parametrize("name", ["AMD Instinct MI300X", "AMD Radeon 890M Graphics"])
def test_an_amd_card_with_hbm_or_lpddr_has_no_bandwidth_from_its_clock(name):
    """1,300 MHz x 8,192 bits x the published 2 a clock would be half of what an MI300X reads."""
    assert card_bandwidth(name, None, 1300, 1300) is None


def test_an_apu_reads_the_machine_s_memory_at_its_own_bandwidth(tmp_path):
    """Strix Halo: half a gigabyte of VRAM, the model in GTT, power of the whole socket."""
    files = AMD | {
        CARD + "mem_info_vram_total": str(512 << 20),
        CARD + "mem_info_vram_used": str(0),
        CARD + "mem_info_gtt_used": str(60 << 30),
        CARD + "device": "0x1586",
        CARD + "revision": "0xc1",
        "usr/share/libdrm/amdgpu.ids": "1586,\tC1,\tAMD Radeon 8060S Graphics",
    }
    card = only(find_drm_cards("amd", plant(tmp_path, files)))
    assert card.gauges()["amd1_memory_bytes"] == 60 << 30
    assert "CPU included" in card.description.exactness
    assert known_bandwidth(card.description.product) == 256e9


@pytest.mark.parametrize("power", ["65535", "4294967295"])
def test_an_amd_power_of_all_ones_leaves_the_other_readings(tmp_path, power):
    files = AMD | {HWMON + "power1_average": power, HWMON + "power1_input": "214000000"}
    values = only(find_drm_cards("amd", plant(tmp_path, files))).gauges()
    assert values["amd1_power_w"] == 214 and values["amd1_share"] == pytest.approx(0.93)


def test_a_card_that_falls_asleep_is_a_gap(tmp_path, monkeypatch):
    card = only(find_drm_cards("amd", plant(tmp_path, AMD)))
    refuse(monkeypatch, "device/", OSError, 16)
    with pytest.raises(UnreadableError, match="planted"):
        card.gauges()


def test_a_card_busy_at_first_is_read_later(tmp_path, monkeypatch):
    plant(tmp_path, AMD)
    with monkeypatch.context() as busy:
        refuse(busy, "hwmon4/power1_average", OSError, 16)
        card = only(find_drm_cards("amd", tmp_path))
        assert "amd1_power_w" not in card.gauges()
    assert card.gauges()["amd1_power_w"] == 214


def test_a_suspended_card_is_not_asked(tmp_path):
    plant(tmp_path, AMD | {CARD + "power/runtime_status": "suspended"})
    with pytest.raises(UnreadableError, match="asleep"):
        find_drm_cards("amd", tmp_path)


@pytest.mark.parametrize("value", ["65535", "4294967295", "N/A", ""])
def test_all_ones_and_words_are_no_values(tmp_path, value):
    card = only(find_drm_cards("amd", plant(tmp_path, AMD | {HWMON + "power1_average": value})))
    assert "amd1_power_w" not in card.gauges()


def test_power_beyond_the_limit_is_left_out(tmp_path):
    files = AMD | {HWMON + "power1_average": "3868000000"}
    assert "amd1_power_w" not in only(find_drm_cards("amd", plant(tmp_path, files))).gauges()


def test_an_intel_card_counts_the_card_and_reads_no_limit_as_power(tmp_path):
    card = only(find_drm_cards("intel", plant(tmp_path, XE)))
    (name, counter), *others = card.counters.items()
    assert (name, others, counter.read(), counter.limit_w) == ("intel1_energy_j", [], 5.0, 190.0)
    assert card.gauges() == {}


def test_the_label_decides_which_counter_is_the_card(tmp_path):
    files = XE | {HWMON + "energy1_label": "pkg", HWMON + "energy2_label": "card"}
    (counter,) = only(find_drm_cards("intel", plant(tmp_path, files))).counters.values()
    assert counter.read() == 1.0


def test_a_card_without_any_reading_is_named(tmp_path):
    cards, blind = find_drm_cards("intel", plant(tmp_path, {CARD + "vendor": "0x8086"}))
    assert list(cards) == [] and "no readings" in blind["intel card1"]


def test_a_package_is_found_and_psys_and_cores_are_not_added(tmp_path):
    package = only(find_cpu_packages(plant(tmp_path, PACKAGE)))
    assert list(package.counters) == ["cpu0_energy_j"]


@pytest.mark.parametrize("seconds", [1, 10, 100])
def test_energy_of_a_package_across_its_wrap(tmp_path, seconds):
    """95 W from 0.1 s before the counter wraps: within 1 % of what is planted."""
    package = only(find_cpu_packages(plant(tmp_path, PACKAGE)))
    wraps = 262143328850
    start_uj = wraps - 9_500_000
    now = [0]
    recorder = Recorder(package, lambda: now[0])
    for step in range(seconds * 10 + 11):
        now[0] = step * 100_000_000
        plant(tmp_path, {RAPL + "0/energy_uj": str((start_uj + 95 * step * 100_000) % wraps)})
        recorder.take()
    got = counted_energy(
        recorder.samples["cpu0_energy_j"], 50_000_000, 50_000_000 + seconds * 10**9
    )
    assert isinstance(got, Energy)
    assert got.joules == pytest.approx(95 * seconds, rel=0.01)


def test_energy_that_only_root_may_read_names_the_fix(tmp_path, monkeypatch):
    plant(tmp_path, PACKAGE)
    refuse(monkeypatch, "0/energy_uj", PermissionError)
    packages, blind = find_cpu_packages(tmp_path)
    assert list(packages) == [] and "chmod a+r" in blind["energy of CPU package-0"]


def test_a_machine_without_powercap_says_so(tmp_path):
    assert "VM" in find_cpu_packages(tmp_path)[1]["CPU energy"]
