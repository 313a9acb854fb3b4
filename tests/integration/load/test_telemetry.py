"""Telemetry of whole runs over real HTTP."""

from __future__ import annotations

import pytest

from bench.results.directory import read_run

RUN = ("run", "smoke", "-m", "sim-small", "-q", "--no-report")
LONGER = ("--set", "load.closed.duration=3", "--set", "load.closed.requests=100000")


def ran(command, tmp_path, *more, host):
    done = command(*RUN, *more, host=host)
    assert done.returncode == 0, done.stderr
    return read_run(tmp_path / done.stdout.splitlines()[-1]).info


@pytest.mark.slow
def test_a_local_server_has_its_machine_and_processes_watched(command, simulated, tmp_path):
    info = ran(command, tmp_path, *LONGER, host=simulated.url)
    told = info.environment["telemetry"]
    names = {s["name"].split()[0]: s for s in told["sources"]}
    assert {"machine", "server"} <= names.keys(), told
    assert told["not_seen"] == {}
    series = info.blocks[0].utilisation
    assert {"cpu_share", "memory_used_bytes", "server_rss_bytes"} <= series.keys()
    assert all(0 <= v <= 1 for _, v in series["cpu_share"])
    assert 0 < told["cost_of_a_core"] < 0.2


@pytest.mark.parametrize(("asked", "expected"), [("off", set()), ("[machine]", {"machine"})])
def test_the_key_chooses(command, simulated, tmp_path, asked, expected):
    info = ran(command, tmp_path, "--set", f"telemetry={asked}", host=simulated.url)
    told = info.environment["telemetry"]
    assert {s["name"] for s in told["sources"]} <= expected
    assert told["not_measurable"] == {}
    if asked == "off":
        assert all(block.utilisation == {} for block in info.blocks)


def test_an_unknown_kind_is_refused(command, simulated):
    done = command(*RUN, "--set", "telemetry=[gpu]", host=simulated.url)
    assert done.returncode != 0
    assert "telemetry" in done.stderr and "nvidia" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_exporter_that_was_named_and_does_not_answer_is_a_warning(command, simulated, tmp_path):
    """Said when the first block ends, not found missing after hours."""
    url = "http://127.0.0.1:9/metrics"
    arguments = [a for a in RUN if a != "-q"]
    done = command(*arguments, *LONGER, "--telemetry", url, host=simulated.url)
    said = f"telemetry {url} was asked for, and nothing is read of it"
    assert said in " ".join(done.stderr.split())
    warnings = read_run(tmp_path / done.stdout.splitlines()[-1]).info.warnings
    (warning,) = (w for w in warnings if w.code == "telemetry_unread")
    assert said in warning.message and "refused" in warning.message
