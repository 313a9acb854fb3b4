"""Apple silicon through a planted macmon."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.telemetry.apple import find_apple, sample
from bench.telemetry.source import GoneError, UnreadableError

LINE = {
    "all_power": 21.5,
    "gpu_power": 17.0,
    "gpu_usage": [1398, 0.92],
    "temp": {"cpu_temp_avg": 61.0, "gpu_temp_avg": 58.5},
}


def test_a_line_of_macmon():
    assert sample(json.dumps(LINE)) == {
        "apple0_power_w": 21.5,
        "apple0_share": 0.92,
        "apple0_sm_clock_mhz": 1398.0,
        "apple0_temperature_c": 58.5,
    }


def test_no_watts_are_no_value():
    assert "apple0_power_w" not in sample(json.dumps(LINE | {"all_power": 0.0}))


@pytest.mark.parametrize("line", ["", "[]", "no", '{"gpu_usage": ["x", "y"]}', "3"])
def test_something_else_is_no_sample(line):
    with pytest.raises(UnreadableError):
        sample(line)


@pytest.mark.skipif(sys.platform == "win32", reason="the planted program is a script")
def test_macmon_beside_and_its_end(tmp_path: Path):
    script = tmp_path / "macmon"
    script.write_text(f"#!/bin/sh\necho '{json.dumps(LINE)}'\n")
    script.chmod(0o755)
    (chip,), _ = find_apple("darwin", script)
    assert chip.gauges()["apple0_power_w"] == 21.5
    with pytest.raises(GoneError, match="ended"):
        chip.gauges()
    chip.close()
    assert "memory_used_bytes" in chip.description.blind["memory"]


def test_without_macmon_the_way_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "macmon" in find_apple("darwin")[1]["Apple chip"]
    assert find_apple("linux") == ([], {})
