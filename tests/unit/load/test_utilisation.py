from __future__ import annotations

import asyncio
import sys

import pytest

from bench.clock import RealClock
from bench.load.utilisation import Utilisation, parse_gpu_line


def test_a_line_of_nvidia_smi():
    assert parse_gpu_line("0, 87, 6123, 214.50, 71, 1890\n") == {
        "gpu0_share": 0.87,
        "gpu0_memory_bytes": 6123 * 2**20,
        "gpu0_power_w": 214.5,
        "gpu0_temperature_c": 71,
        "gpu0_sm_clock_mhz": 1890,
    }


def test_what_a_gpu_does_not_tell_is_left_out():
    assert parse_gpu_line("1, [N/A], 10, [Not Supported], , \n") == {
        "gpu1_memory_bytes": 10 * 2**20
    }
    assert parse_gpu_line("No devices were found") == {}


@pytest.fixture
def fake_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!{sys.executable}\nimport time\n"
        "while True:\n    print('0, 50, 1, 2, 3, 4', flush=True)\n    time.sleep(0.01)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


async def test_samples_of_a_block_are_those_taken_in_it(fake_nvidia_smi):
    clock = RealClock()
    origin = clock.now_ns()
    sampler = Utilisation(clock)
    await sampler.start()
    while not (found := sampler.between(0, clock.now_ns() - origin, origin)):
        await asyncio.sleep(0.01)
    await sampler.aclose()
    assert found["gpu0_share"][0][1] == 0.5
    first_ns = found["gpu0_share"][0][0]
    assert sampler.between(first_ns, first_ns, origin)["gpu0_share"] == [(first_ns, 0.5)]
    assert sampler.between(0, first_ns - 1, origin) == {}
