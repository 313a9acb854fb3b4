"""Servers started for a run: real processes, a real port, and none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from bench.errors import ServerUnreachable, UsageError
from bench.ollama import managed
from bench.ollama.managed import LOG_HEAD_BYTES, LOG_TAIL_BYTES, free_port, kept_log, managed_server

# Listens where OLLAMA_HOST says, has a child of its own, and says what it was given.
SERVER = """
import http.server, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, "parallel", os.environ.get("OLLAMA_NUM_PARALLEL"), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"version":"0.0.1"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
host, port = os.environ["OLLAMA_HOST"].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def server(tmp_path: Path) -> list[str]:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    return [sys.executable, str(script)]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # a zombie that init has not reaped yet is not alive


def gone(*pids: int, within_s: float = 15.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(alive(p) for p in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def child_in(log: Path) -> int:
    return int(log.read_text().split()[1])


async def test_an_answer_that_never_ends_is_no_ready_server(tmp_path, monkeypatch):
    monkeypatch.setattr(managed, "_ASKED_S", 0.2)
    endless = SERVER.replace(
        "self.wfile.write(body)", "[self.wfile.write(b' ' * 60_000) for _ in range(10**9)]"
    ).replace('"Content-Length", str(len(body))', '"Content-Type", "text/plain"')
    endless = endless.replace("HTTPServer((", "ThreadingHTTPServer((")
    server = [sys.executable, "-c", endless]
    async with asyncio.timeout(30):
        with pytest.raises(ServerUnreachable, match="did not answer within 1 s"):
            async with managed_server("new", server, {}, tmp_path / "log", ready_s=1.0):
                pass


async def test_is_started_with_its_environment_and_stopped_with_its_children(server, tmp_path):
    log = tmp_path / "server.log"
    env = {"OLLAMA_NUM_PARALLEL": "3", "MY_API_KEY": "secret"}
    async with managed_server("new", server, env, log) as started:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{started.url}/api/version")
        assert answer.json() == {"version": "0.0.1"}
        assert started.settings == {"OLLAMA_NUM_PARALLEL": "3"}
        assert "parallel 3" in log.read_text()
        pids = (started.pid, child_in(log))
        assert alive(pids[0]) and alive(pids[1])
    assert gone(*pids)


async def test_two_side_by_side(server, tmp_path):
    async with (
        managed_server("a", server, {}, tmp_path / "a.log") as a,
        managed_server("b", server, {}, tmp_path / "b.log") as b,
    ):
        assert a.url != b.url
        assert alive(a.pid) and alive(b.pid)


async def test_is_stopped_when_the_body_fails_or_is_cancelled(server, tmp_path):
    pids: list[int] = []

    async def body(log: str, error: BaseException | None) -> None:
        async with managed_server("new", server, {}, tmp_path / log) as started:
            pids.append(started.pid)
            if error:
                raise error
            await asyncio.sleep(60)

    with pytest.raises(ZeroDivisionError):
        await body("1.log", ZeroDivisionError())
    task = asyncio.create_task(body("2.log", None))
    while len(pids) < 2:
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(*pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_is_stopped_when_this_program_dies(server, tmp_path, number):
    program = textwrap.dedent(f"""
        import asyncio, pathlib
        from bench.ollama.managed import managed_server
        async def main():
            log = pathlib.Path({str(tmp_path / "server.log")!r})
            async with managed_server("new", {server!r}, {{}}, log) as started:
                print(started.pid, flush=True)
                await asyncio.sleep(600)
        asyncio.run(main())
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    pids = (int(process.stdout.readline()), child_in(tmp_path / "server.log"))
    os.kill(process.pid, number)
    process.wait(timeout=30)
    process.stdout.close()
    assert gone(*pids)


@pytest.fixture
def stranger(server):
    """A server that nobody asked us to manage: its process id and that of its child."""
    address = {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"}
    process = subprocess.Popen(server, env={**os.environ, **address}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    yield process.pid, child
    os.kill(child, signal.SIGTERM)
    process.terminate()
    process.wait()
    process.stdout.close()


async def test_a_server_that_was_not_started_here_is_left_alone(stranger, server, tmp_path):
    async with managed_server("new", server, {}, tmp_path / "log"):
        pass
    assert all(alive(pid) for pid in stranger)


async def test_a_server_that_ends_says_why(tmp_path):
    command = [sys.executable, "-c", "import sys; print('no GPU today'); sys.exit(3)"]
    with pytest.raises(ServerUnreachable, match=r"target new: .*exit code 3") as caught:
        async with managed_server("new", command, {}, tmp_path / "log"):
            raise AssertionError
    assert "no GPU today" in str(caught.value)


async def test_a_server_that_never_answers(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(ServerUnreachable, match=r"did not answer within 0.3 s, and said nothing"):
        async with managed_server("new", command, {}, tmp_path / "log", ready_s=0.3):
            raise AssertionError


async def test_a_taken_port_is_tried_again(tmp_path):
    marker = tmp_path / "marker"
    script = tmp_path / "first_fails.py"
    script.write_text(
        f"import os, pathlib, sys\nm = pathlib.Path({str(marker)!r})\n"
        "if not m.exists():\n"
        "    m.touch(); print('bind: address already in use'); sys.exit(1)\n" + SERVER
    )
    async with managed_server("new", [sys.executable, str(script)], {}, tmp_path / "log") as it:
        assert alive(it.pid)


@pytest.fixture
def taken(server) -> Iterator[int]:
    """The port of a server that was not started here."""
    port = free_port()
    env = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{port}"}
    process = subprocess.Popen(server, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    while not answers(port):
        time.sleep(0.02)
    yield port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    return False


class TestAStrangerOnThePort:
    """Another program may take the port between its choice and the server's start."""

    async def test_is_not_taken_for_the_server(self, server, taken, tmp_path, monkeypatch):
        ports = iter([taken, free_port()])
        monkeypatch.setattr(managed, "free_port", lambda: next(ports))
        async with managed_server("new", server, {}, tmp_path / "log") as it:
            assert alive(it.pid)
            assert not it.url.endswith(f":{taken}")

    async def test_is_told_if_no_other_port_helps(self, server, taken, tmp_path, monkeypatch):
        monkeypatch.setattr(managed, "free_port", lambda: taken)
        with pytest.raises(ServerUnreachable, match=f"another program answers at .*:{taken}"):
            async with managed_server("new", server, {}, tmp_path / "log"):
                raise AssertionError

    async def test_is_told_if_the_server_never_listens(self, taken, tmp_path, monkeypatch):
        monkeypatch.setattr(managed, "free_port", lambda: taken)
        idle = [sys.executable, "-c", "import time; time.sleep(60)"]
        with pytest.raises(ServerUnreachable, match="does not listen there"):
            async with managed_server("new", idle, {}, tmp_path / "log", ready_s=0.5):
                raise AssertionError

    async def test_may_be_what_the_command_handed_its_port_to(self, taken, tmp_path, monkeypatch):
        monkeypatch.setattr(managed, "free_port", lambda: taken)
        monkeypatch.setattr(managed, "_SETTLED_S", 0.2)
        container = [sys.executable, "-c", "import time; time.sleep(60)", "-p", "{port}:11434"]
        async with managed_server("new", container, {}, tmp_path / "log") as it:
            assert it.url.endswith(f":{taken}")


@pytest.mark.parametrize(
    ("command", "env", "message"),
    [
        (["/no/such/ollama", "serve"], {}, "/no/such/ollama does not exist"),
        ([__file__], {}, "cannot be executed"),
        ([sys.executable], {"OLLAMA_HOST": "0.0.0.0"}, "env sets OLLAMA_HOST"),
    ],
)
async def test_what_cannot_be_started(tmp_path, command, env, message):
    with pytest.raises(UsageError, match=message):
        async with managed_server("new", command, env, tmp_path / "log"):
            raise AssertionError


def test_begin_and_end_of_a_long_log_are_kept(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"begin" + b"x" * (LOG_HEAD_BYTES + LOG_TAIL_BYTES) + b"end")
    kept = kept_log(log)
    assert kept.startswith(b"begin") and kept.endswith(b"end")
    assert b"8 bytes left out" in kept
    log.write_bytes(b"short")
    assert kept_log(log) == b"short"
    assert kept_log(tmp_path / "none") == b""
