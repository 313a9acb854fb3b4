"""A server in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bench.errors import EngineError
from bench.server.embedded import server_here, start_server


def test_a_child_server_answers_and_logs_the_truth() -> None:
    with start_server(num_parallel=2) as server:
        assert server.simulated
        body = {"model": "sim-small", "prompt": "hello", "options": {"num_predict": 4}}
        with httpx.stream("POST", f"{server.url}/api/generate", json=body) as reply:
            lines = list(reply.iter_lines())
        deadline = time.monotonic() + 5
        while not server.truth and time.monotonic() < deadline:
            time.sleep(0.01)
        record = server.truth[0]
    assert len(lines) == 5
    assert len(record.line_sent_ns) == 5
    assert record.line_sent_ns == sorted(record.line_sent_ns)
    assert all(s >= d for s, d in zip(record.line_sent_ns, record.line_due_ns, strict=True))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/api/version")


def test_what_is_wrong_is_said_by_the_parent() -> None:
    with (
        pytest.raises(EngineError, match="no profile 'tset'") as info,
        start_server(profile="tset"),
    ):
        pass
    assert "'test'" in str(info.value)


def test_a_child_server_ends_with_its_parent() -> None:
    code = (
        "from bench.server.embedded import start_server\n"
        "import os\n"
        "with start_server() as server:\n"
        "    print(server.url, flush=True)\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 9
    url = done.stdout.strip()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/api/version")
        except httpx.ConnectError:
            return
        time.sleep(0.05)
    pytest.fail("the server is still there")


async def test_a_server_on_this_loop() -> None:
    async with server_here() as (app, url), httpx.AsyncClient() as client:
        reply = await client.get(f"{url}/api/version")
        assert reply.json() == {"version": app.state.version}
        assert reply.headers["x-ollama-bench-engine"] == "simulated"


def test_ctrl_c_is_left_to_the_parent() -> None:
    with start_server() as server:
        os.kill(server.pid, signal.SIGINT)
        time.sleep(0.2)
        assert httpx.get(f"{server.url}/api/version").status_code == 200


def test_queueing_in_real_time() -> None:
    """Four slots, eight requests at once: order and times as the model says, with slack."""
    # A raw prompt of one word many times is continued with that word, up to num_predict.
    body = {"model": "sim-small", "raw": True, "options": {"num_predict": 21, "temperature": 0}}
    with start_server(num_parallel=4) as server:
        httpx.post(f"{server.url}/api/generate", json={"model": "sim-small"})
        with ThreadPoolExecutor(8) as pool:
            replies = list(
                pool.map(
                    lambda c: httpx.post(
                        f"{server.url}/api/generate",
                        json=body | {"prompt": f"{c} " * 60, "stream": False},
                        timeout=30,
                    ).json(),
                    "abcdefgh",
                )
            )
        httpx.get(f"{server.url}/api/version")  # answered when the records above are written
        records = [r for r in server.truth if r.slot_ns is not None]
    records.sort(key=lambda r: r.queued_ns or 0)
    slots = [r.slot_ns or 0 for r in records]
    assert slots == sorted(slots)
    assert len(records) == 8
    # A slot is free only when 20 steps of at least 2 ms have passed.
    assert all(
        later - earlier >= 40_000_000 for earlier, later in zip(slots, slots[4:], strict=False)
    )
    for reply in replies:
        assert reply["eval_count"] == 21
        # The engine's own durations keep to the model however busy the machine is: 20 steps of
        # 2 ms and 0.25 ms a sequence, beside up to seven prefills of 3 ms.
        assert 45_000_000 <= reply["eval_duration"] <= 60_000_000 + 21_000_000
        parts = [reply[f"{part}_duration"] for part in ("load", "prompt_eval", "eval")]
        assert reply["total_duration"] >= sum(parts) - 1000
