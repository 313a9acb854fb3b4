"""Threads, deadlines, and what is told of sources that do not answer."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from bench.telemetry.finding import KINDS, open_telemetry
from bench.telemetry.machine import Machine, find_server
from bench.telemetry.sampling import DEADLINE_S, Recorder, Telemetry
from bench.telemetry.source import Description, ElsewhereError, UnreadableError


class Planted:
    """A source that answers as it is told."""

    def __init__(self, answer, every_s=0.01):
        self.counters = {}
        self.answer = answer
        self.description = Description("planted", "a planted card", ("gpu0_share",), every_s)
        self.closed = False

    def gauges(self):
        return self.answer()

    def close(self):
        self.closed = True


def running(*sources, **kwargs):
    finders = {f"kind{i}": lambda s=s: ([s], {}) for i, s in enumerate(sources)}
    telemetry = Telemetry(finders, time.monotonic_ns, **kwargs)
    telemetry.start()
    return telemetry


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_samples_of_a_block_are_those_taken_in_it():
    source = Planted(lambda: {"gpu0_share": 0.5})
    origin = time.monotonic_ns()
    telemetry = running(source)
    wait_for(lambda: telemetry.between("here", 0, 2**62, origin))
    telemetry.close()
    samples = telemetry.between("here", 0, 2**62, origin)["gpu0_share"]
    first_ns = samples[0][0]
    assert telemetry.between("here", first_ns, first_ns, origin) == {"gpu0_share": [samples[0]]}
    assert telemetry.between("here", 0, first_ns - 1, origin) == {}
    assert source.closed


def test_a_source_that_hangs_stops_nobody_and_is_said():
    release = threading.Event()
    hanging = Planted(lambda: release.wait(60) and {})
    telemetry = running(hanging, Planted(lambda: {"gpu1_share": 1.0}))
    wait_for(lambda: "gpu1_share" in telemetry.between("here", 0, 2**62, 0))
    told = telemetry.status
    wait_for(lambda: any("not answered" in s.get("not_measurable", "") for s in told()["sources"]))
    start = time.monotonic()
    telemetry.close()
    assert time.monotonic() - start < 10 * DEADLINE_S
    release.set()


def test_a_driver_that_hangs_at_the_start_is_said():
    release = threading.Event()
    telemetry = Telemetry({"nvidia": lambda: release.wait(60) and ([], {})}, time.monotonic_ns)
    telemetry.start()
    wait_for(lambda: telemetry.status()["not_measurable"])
    assert telemetry.status()["not_measurable"] == {"nvidia": "its driver has not answered"}
    release.set()
    telemetry.close()


def test_an_answer_that_comes_too_late_is_dropped():
    now = [0]

    def slow():
        now[0] += 7_000_000_000
        return {"gpu0_share": 0.5}

    recorder = Recorder(Planted(slow), lambda: now[0])
    recorder.take()
    assert recorder.samples == {}
    assert recorder.status()["not_measurable"] == "an answer took 7 s and was dropped"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0**64 - 1, 65535.0])
def test_no_sentinel_becomes_a_sample(value):
    recorder = Recorder(Planted(lambda: {"gpu0_memory_bytes": value}), lambda: 0)
    recorder.take()
    assert recorder.samples == {}


def test_a_source_that_raises_is_a_gap_with_its_reason():
    def broken():
        raise ValueError("a driver's nonsense")

    recorder = Recorder(Planted(broken), lambda: 0)
    recorder.take()
    said = recorder.status()
    assert (said["gaps"], said["not_measurable"]) == (1, "a driver's nonsense")


def test_a_sleeping_card_is_looked_for_again():
    tries = []

    def find():
        tries.append(0)
        if len(tries) == 1:
            raise UnreadableError("asleep")
        return [Planted(lambda: {"gpu0_share": 0.1})], {}

    telemetry = Telemetry({"nvidia": find}, time.monotonic_ns)
    telemetry.start()
    wait_for(lambda: telemetry.status()["not_measurable"] == {"nvidia": "asleep"})
    wait_for(lambda: telemetry.between("here", 0, 2**62, 0))
    telemetry.close()
    assert telemetry.status()["not_measurable"] == {}


def test_a_machine_elsewhere_has_no_samples():
    source = Planted(lambda: {"gpu0_share": 0.5})
    telemetry = running(source, not_seen={"there": "not seen: elsewhere"})
    wait_for(lambda: telemetry.between("here", 0, 2**62, 0))
    assert telemetry.between("there", 0, 2**62, 0) == {}
    telemetry.close()
    assert telemetry.status()["not_seen"] == {"there": "not seen: elsewhere"}


def test_with_remote_servers_only_nothing_is_read():
    telemetry = open_telemetry(KINDS, time.monotonic_ns, {}, {"there": "not seen"})
    telemetry.start()
    time.sleep(0.3)
    telemetry.close()
    assert telemetry.status()["sources"] == []


def test_this_machine():
    machine = Machine()
    machine.gauges()
    values = machine.gauges()
    assert 0 <= values["cpu_share"] <= 1
    assert values["memory_used_bytes"] > 2**20


@pytest.fixture
def listening():
    """A process that listens, and has a child that keeps a core busy."""
    child = "while True: pass"
    code = (
        "import socket, subprocess, sys\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(s.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\np.kill()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.communicate("")


def test_the_processes_of_a_server_with_their_children(listening):
    (server,), _ = find_server(listening)
    assert server.gauges()["server_processes"] == 2
    time.sleep(0.5)
    values = server.gauges()
    assert 0.02 < values["server_cpu_cores"] < 1.5  # a share of one core, on a shared machine
    assert values["server_rss_bytes"] > 2 * 2**20


def test_a_server_inside_this_program_is_no_process_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as here:
        sources, blind = find_server(here.getsockname()[1])
    assert list(sources) == [] and "this program" in str(blind)


def test_the_mouth_of_a_tunnel_is_another_machine(listening, monkeypatch):
    monkeypatch.setattr("psutil.Process.name", lambda self: "ssh")
    with pytest.raises(ElsewhereError, match="passes port"):
        find_server(listening)

    telemetry = open_telemetry(KINDS, time.monotonic_ns, {"here": listening}, {})
    telemetry.start()
    wait_for(lambda: telemetry.status()["not_seen"])
    assert telemetry.between("here", 0, 2**62, 0) == {}
    telemetry.close()


def test_a_server_in_a_container_is_not_the_program_that_forwards_its_port(listening, monkeypatch):
    monkeypatch.setattr("psutil.Process.name", lambda self: "docker-proxy")
    sources, blind = find_server(listening)
    assert list(sources) == [] and "container" in str(blind)


def test_nobody_listens():
    assert list(find_server(1)[0]) == []


def test_what_was_named_and_tells_nothing_is_said_with_its_reason():
    def refused():
        raise UnreadableError("http://gpu/metrics: Connection refused")

    telemetry = Telemetry(
        {
            "machine": lambda: ([Planted(lambda: {"gpu0_share": 0.5})], {}),
            "nvidia": lambda: ([], {}),
            "cpu": lambda: ([], {"CPU energy": "only root may read it"}),
        },
        time.monotonic_ns,
        exporters={"http://gpu/metrics": (refused, ("here",))},
        asked=("machine", "nvidia", "cpu", "amd", "http://gpu/metrics"),
    )
    expected = {
        "nvidia": "there is none",
        "cpu": "only root may read it",
        "amd": "the server is on another machine",
        "http://gpu/metrics": "Connection refused",
    }
    telemetry.start()
    wait_for(lambda: telemetry.unread() == expected)
    telemetry.close()


def test_of_what_was_not_named_nothing_is_missed():
    telemetry = Telemetry({"nvidia": lambda: ([], {})}, time.monotonic_ns)
    telemetry.start()
    telemetry.close()
    assert telemetry.unread() == {}
