"""A server in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time

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
        assert reply.json() == {"version": app.house.version}
        assert reply.headers["x-ollama-bench-engine"] == "simulated"
