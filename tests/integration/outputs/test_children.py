"""Processes of ours run only our code, and neither they nor their files stay behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from bench.children import module_command, scratch_folder
from bench.ollama.guard import LOG_HEAD_BYTES, LOG_LIMIT_BYTES, LOG_TAIL_BYTES, keep_log
from bench.ollama.managed import kept_log, managed_server
from bench.results.directory import read_run
from bench.server.embedded import EmbeddedServer

SCENARIO = """
schema: 1
name: mine
prompts: [Hello]
options: {num_predict: 6}
warmup: 1
load: {closed: {users: [2], requests: 12}}
"""
TRAPS = ("queue", "json", "asyncio", "msgspec", "bench", "runpy", "signal", "psutil")


def test_no_module_in_the_current_folder_is_executed(
    tmp_path: Path, simulated: EmbeddedServer
) -> None:
    """Users keep a `queue.py` in the folder that they measure from."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'trapped')!r}, 'a').write('x')")
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    program = "import sys; from bench.cli import main; sys.argv[0] = 'ollama-bench'; main()"
    command = [sys.executable, "-P", "-c", program]  # as the installed command does

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = run(
        *("run", "mine.yaml", "-m", "sim-small", "--host", simulated.url, "--workers", "2"),
        *("--no-history", "--no-report"),
    )
    assert done.returncode in (0, 5), done.stderr  # 5: a machine too busy to be trusted
    assert {r.worker for r in read_run(Path(done.stdout.split()[-1])).records} == {0, 1}
    done = run("demo", "--engine", "simulated", "--help")
    assert done.returncode == 0
    started = subprocess.run(
        [*module_command("bench.server"), "{}"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
        input=b"",
    )
    assert b"Traceback" not in started.stderr or b"Expected" in started.stderr
    assert not (tmp_path / "trapped").exists()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_temporary_folder_of_a_killed_process_goes_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"ollama-bench-{dead_pid()}-abc"
    other = tmp_path / f"ollama-bench-{os.getppid()}-abc"
    foreign = tmp_path / "ollama-bench-mine-abc"
    for folder in (left, other, foreign):
        folder.mkdir()
        (folder / "server-1.log").write_text("x")
    (tmp_path / f"ollama-bench-{dead_pid()}-link").symlink_to(foreign)
    with scratch_folder() as folder:
        assert folder.is_dir()
        assert not left.exists()
        assert other.exists() and (foreign / "server-1.log").exists()
    assert not folder.exists()


def test_a_log_without_end_stays_bounded(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    read, write = os.pipe()
    line = b"%07d " + b"x" * 91 + b"\n"
    count = 3 * LOG_LIMIT_BYTES // 100
    child = os.fork() if hasattr(os, "fork") else None
    if child is None:
        pytest.skip("no fork")
    if child == 0:
        os.close(read)
        with os.fdopen(write, "wb") as out:
            for number in range(count):
                out.write(line % number)
        os._exit(0)
    os.close(write)
    keep_log(read, str(log))
    os.waitpid(child, 0)
    assert log.stat().st_size < LOG_LIMIT_BYTES + (1 << 17)
    kept = kept_log(log)
    head, _, rest = kept.partition(b"\n... ")
    left_out, _, tail = rest.partition(b" bytes left out ...\n")
    assert head.startswith(b"0000000 ") and tail.endswith(line % (count - 1))
    assert int(left_out.replace(b",", b"")) + len(head) + len(tail) == 100 * count
    assert len(kept) < LOG_HEAD_BYTES + LOG_TAIL_BYTES + 100


def test_a_huge_log_is_not_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("wb") as file:
        file.write(b"begin")
        file.truncate(1_500_000_000)  # a sparse file: it takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    before = psutil.Process().memory_info().rss
    kept = kept_log(log)
    assert kept.startswith(b"begin") and kept.endswith(b"end")
    assert len(kept) < 300_000
    assert psutil.Process().memory_info().rss - before < 50_000_000


DETACHING = """
import http.server, json, os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import time
        open({pid!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{{}}")
    def log_message(self, *args): pass
host, port = os.environ["OLLAMA_HOST"].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing detaches like that here")
async def test_what_detaches_from_a_server_is_ended_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = tmp_path / "server.py"
    script.write_text(DETACHING.format(pid=str(pid_file)))
    async with managed_server("new", [sys.executable, str(script)], {}, tmp_path / "log"):
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.02)
        detached = int(pid_file.read_text())
        assert psutil.pid_exists(detached)
    deadline = time.monotonic() + 15
    while _runs(detached) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert not _runs(detached)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_server_that_goes_into_the_background_is_told_so(tmp_path: Path) -> None:
    from bench.errors import ServerUnreachable

    with pytest.raises(ServerUnreachable, match="must stay in the foreground"):
        async with managed_server("new", [sys.executable, "-c", ""], {}, tmp_path / "log"):
            pass


def test_words_of_a_child_are_json() -> None:
    """The embedded server says what is wrong in one line that its parent reads."""
    done = subprocess.run(
        [*module_command("bench.server"), json.dumps({"engine": "nowhere"})],
        capture_output=True,
        timeout=60,
        check=False,
        input=b"",
    )
    assert "error" in json.loads(done.stdout)
