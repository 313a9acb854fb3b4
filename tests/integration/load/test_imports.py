"""What a start does not wait for: modules, not milliseconds, so no machine is too slow for this."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import ExitCode

HEAVY = {
    "numpy",
    "scipy",
    "matplotlib",
    "jinja2",
    "rich",
    "pygments",
    "sqlite3",
    "psutil",
    "bench.analysis",
    "bench.report",
    "bench.server",
    "bench.simulation",
    "bench.load.workers",
    "bench.ollama.managed",
}
"""None of these is needed before the first request."""

HTTP = {"httpx", "pydantic", "ruamel.yaml", "asyncio", "ssl"}

FIRST_REQUEST = """
import os, sys
import bench.commands.run  # first, as the command does it
import bench.load.session
bench.load.session._FIRST_REQUEST_S = 60  # telemetry begins then, on a slow machine before
from bench.wire.transports.sockets import SocketTransport

def first(self, call):
    os.write(2, "\\n".join(sys.modules).encode())
    os._exit(77)

SocketTransport.send = first
from bench.cli import main
main()
"""


MEASURED = """
import os, sys
import bench.commands.run
from bench.results.journal import Journal
from bench.results.record import Phase

append, before, seen = Journal.append, set(), 0

def watched(self, record):
    global seen
    append(self, record)
    if record.phase is Phase.MEASURE:
        seen += 1
        before.update(() if before else sys.modules)
        if seen == 4:
            os.write(2, "\\n".join({"done", *sys.modules} - before).encode())
            os._exit(77)

Journal.append = watched
from bench.cli import main
main()
"""


def modules(code: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    """What is imported by the end of some code, which writes it to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "OLLAMA_BENCH_HISTORY": "off"},
    )
    return set(done.stderr.split())


def test_import_bench_waits_for_nothing():
    found = modules("import bench, sys; print(*sys.modules, file=sys.stderr)")
    assert "bench" in found
    assert not found & (HEAVY | HTTP | {"click"})


def test_help_waits_for_nothing():
    code = "import bench.cli, sys, atexit\natexit.register(lambda: print(*sys.modules, "
    code += "file=sys.stderr))\nbench.cli.main()"
    found = modules(code, "--help")
    assert "click" in found
    assert not found & (HEAVY | HTTP)


def test_the_first_request_waits_for_neither_numbers_nor_drawings(simulated, tmp_path):
    arguments = ("run", "smoke", "-m", "sim-small", "--host", simulated.url)
    found = modules(FIRST_REQUEST, *arguments, cwd=tmp_path)
    assert {"httpx", "bench.load.sender"} <= found
    assert found & HEAVY == set()


def test_nothing_large_is_imported_while_it_is_measured(simulated, tmp_path):
    """Imports stop the event loop: a view that needs numpy gets it before."""
    arguments = ("run", "smoke", "-m", "sim-small", "--host", simulated.url)
    found = modules(MEASURED, *arguments, cwd=tmp_path)
    assert "done" in found
    assert found & (HEAVY | {"bench.stats", "rich.progress"}) == set()


def test_httpx_is_whole_but_for_its_command():
    code = """
import sys
from bench.wire.http_client import httpx
assert httpx.AsyncClient and "httpx._main" not in sys.modules
print("done", file=sys.stderr)
"""
    assert modules(code) == {"done"}


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to itself")
@pytest.mark.parametrize("entry", ["-m bench", "-c import sys, bench.__main__ as m; m.main()"])
def test_ctrl_c_while_the_program_loads_shows_no_traceback(tmp_path, entry):
    slow = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(20)"
    (tmp_path / "click.py").write_text(slow)
    flag, rest = entry.split(" ", 1)
    done = subprocess.run(
        [sys.executable, flag, rest],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.INTERRUPTED, "", "")
