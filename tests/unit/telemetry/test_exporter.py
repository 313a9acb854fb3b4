"""Prometheus exporters over real HTTP: what is news, what is blank, and whose machine it is."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import pytest

from bench.telemetry.energy import Energy, counted_energy
from bench.telemetry.exporter import Exporter, fetched
from bench.telemetry.finding import find_exporter, open_telemetry
from bench.telemetry.sampling import Recorder
from bench.telemetry.source import UnreadableError

DCGM = """# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-a",modelName="Planted"}} {watts}
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0",UUID="GPU-a"}} {mj}
DCGM_FI_DEV_GPU_TEMP{{gpu="0",UUID="GPU-a"}} {temp}
DCGM_FI_DEV_FB_USED{{gpu="0",UUID="GPU-a"}} 1024
"""
VLLM = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
"""
NODE = """node_memory_MemTotal_bytes 1000
node_memory_MemAvailable_bytes 400
node_vmstat_pswpin {pages}
node_cpu_seconds_total{{cpu="0",mode="idle"}} {idle}
node_cpu_seconds_total{{cpu="0",mode="user"}} {user}
node_rapl_package_joules_total{{index="0",path="x"}} {joules}
"""


def dcgm(watts=100.0, mj=0, temp=60):
    return DCGM.format(watts=watts, mj=mj, temp=temp)


def recorded(texts):
    """The texts, scraped one a second of the test's own time."""
    now, texts = [0], list(texts)
    recorder = Recorder(Exporter("http://x:9400/metrics", lambda url: texts[0]), lambda: now[0])
    for second, _ in enumerate(range(len(texts))):
        now[0] = second * 10**9
        recorder.take()
        texts.pop(0)
    return recorder


def test_dcgm():
    found = recorded([dcgm(120, 5000)]).samples
    assert found["gpu0_power_w"] == [(0, 120.0)]
    assert found["gpu0_memory_bytes"] == [(0, 2**30)]
    assert found["gpu0_energy_j"] == [(0, 0.0)]  # joules since the first reading


def test_repeats_of_an_exporter_that_reads_each_five_seconds_are_no_samples():
    texts = [dcgm(100, (s // 5) * 500_000) for s in range(31)]
    recorder = recorded(texts)
    assert len(recorder.samples["gpu0_power_w"]) == 7
    energy = counted_energy(recorder.samples["gpu0_energy_j"], 0, 30 * 10**9)
    assert isinstance(energy, Energy)
    assert abs(energy.joules - 3000) <= energy.error_j
    short = counted_energy(recorder.samples["gpu0_energy_j"], 5 * 10**9, 14 * 10**9)
    assert "too far apart" in str(short)


def test_blanks_are_absent_and_a_reset_books_nothing():
    blank = dcgm(100, 10, temp="9223372036854775794")
    assert "gpu0_temperature_c" not in recorded([blank]).samples
    recorder = recorded([dcgm(1, 9_000_000), dcgm(2, 9_100_000), dcgm(3, 50_000), dcgm(4, 150_000)])
    assert recorder.samples["gpu0_energy_j"][-1][1] == pytest.approx(200)
    assert recorder.status()["steps_dropped"] == 1


def test_engines_tell_what_they_work_on():
    found = recorded([VLLM]).samples
    assert found["requests_running"] == [(0, 3.0)]
    assert found["kv_cache_share"] == [(0, 0.25)]
    llama = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n"
    assert recorded([llama]).samples["requests_waiting"] == [(0, 1.0)]


def test_node_exporter():
    rows = [NODE.format(pages=i, idle=100 + i, user=50 + 3 * i, joules=i * 20) for i in range(3)]
    found = recorded(rows).samples
    assert [v for _, v in found["cpu_share"]] == [0.75, 0.75]
    assert found["memory_used_bytes"][0] == (0, 600)
    assert found["swapped_in_bytes"][-1][1] == 2 * 4096
    assert found["cpu0_energy_j"][-1][1] == 40


@pytest.mark.parametrize("text", ["<html>no</html>", "x{", "other_metric 1\n", ""])
def test_what_is_no_known_exporter_is_said(text):
    with pytest.raises(UnreadableError):
        Exporter("http://x", lambda url: text)


@pytest.fixture
def served():
    """An exporter over HTTP; its energy grows by 50 J a second."""
    start = time.monotonic()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = dcgm(50, int(50_000 * (time.monotonic() - start))).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


def test_the_exporter_of_a_remote_machine_is_its_only_eye(served):
    telemetry = open_telemetry(
        ["auto", served], time.monotonic_ns, {}, {"far": "not seen"}, {"far": "gpu.example"}
    )
    assert telemetry.watches("far")
    telemetry.start()
    until = time.monotonic() + 20
    while not telemetry.watts_can_be_read("far") and time.monotonic() < until:
        time.sleep(0.02)
    telemetry.close()
    series = telemetry.between("far", 0, 2**62, 0)
    assert "gpu0_power_w" in series
    assert "memory_used_bytes" not in series  # that would be the client's
    told = telemetry.status()
    assert "exporters alone" in told["not_seen"]["far"]
    assert [s["what"] for s in told["sources"]] == ["Prometheus exporter"]


def test_nobody_answers():
    with pytest.raises(UnreadableError, match="refused"):
        find_exporter("http://127.0.0.1:1/metrics")


def test_secrets_in_a_url_are_not_told():
    with pytest.raises(UnreadableError) as error:
        fetched("http://user:hunter2@127.0.0.1:1/metrics")
    assert "hunter2" not in str(error.value)


def answered_with(data):
    """A server that answers one request with these bytes: its URL, and the request when it came."""
    here, asked = socket.create_server(("127.0.0.1", 0)), []

    def answer():
        with here, here.accept()[0] as line:
            asked.append(line.recv(4096).decode())
            line.sendall(data)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return here.getsockname()[1], asked, thread


def test_a_password_with_an_at_sign_is_sent_as_it_is():
    port, asked, thread = answered_with(b"HTTP/1.0 200 OK\r\n\r\n")
    fetched(f"http://ann:p%40ss%3A@127.0.0.1:{port}/metrics")
    thread.join(5)
    # RFC 7617 of ann:p@ss:
    assert "Authorization: Basic YW5uOnBAc3M6\r\n" in asked[0]


def test_what_is_no_web_server_is_asked_again_later():
    port, _, _ = answered_with(b"SSH-2.0-OpenSSH_9.6\r\n")
    with pytest.raises(UnreadableError, match=f"127.0.0.1:{port}"):
        fetched(f"http://127.0.0.1:{port}/metrics")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client.parser", None)
    with pytest.raises(UnreadableError, match=r"ollama-bench\[telemetry\]"):
        Exporter("http://x", lambda url: "")
