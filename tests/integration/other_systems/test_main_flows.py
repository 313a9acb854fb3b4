"""The main flows where there is no epoll, no recvmsg, no /proc-like luxury: macOS and Windows.

Under an emulation (tests/support/other_system), since what those systems lack can be taken away
here; what they do otherwise cannot be seen this way.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.server.embedded import start_server

EMULATION = Path(__file__).parents[2] / "support" / "other_system"
QUICK = ["--set", "load.closed.requests=6", "--set", "blocks=3", "--set", "options.num_predict=20"]
BARE = [*QUICK, "--no-report"]
# `ollama serve`, as far as a managed server is concerned.
BINARY = """#!{python}
import os, time
from bench.server.embedded import start_server
port = int(os.environ["OLLAMA_HOST"].rsplit(":", 1)[1])
with start_server(profile="test", port=port):
    time.sleep(600)
"""

Command = Callable[..., str]


@dataclass(frozen=True)
class OtherSystem:
    folder: Path
    env: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def ended(process: subprocess.Popen[str], codes: tuple[int, ...]) -> str:
    """What it printed."""
    with process:
        try:
            printed, _ = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode in codes, printed
    assert "Traceback" not in printed
    return printed


@pytest.fixture(scope="module", params=["win32", "darwin"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OtherSystem]:
    folder = tmp_path_factory.mktemp(request.param)
    binary = folder / "bin" / "ollama"
    binary.parent.mkdir()
    binary.write_text(BINARY.format(python=sys.executable))
    binary.chmod(0o755)
    with start_server(profile="test") as server:
        env = {
            **os.environ,
            "PYTHONPATH": str(EMULATION),
            "BENCH_TEST_SYSTEM": request.param,
            "OLLAMA_HOST": server.url,
            "OLLAMA_BENCH_HISTORY": str(folder / "history.db"),
            "COLUMNS": "100",
        }

        yield OtherSystem(folder, env)


@pytest.fixture(scope="module", autouse=True)
def demo(system: OtherSystem) -> Iterator[subprocess.Popen[str]]:
    """Takes a minute that is mostly waiting: it runs while the other tests do."""
    process = system.start("demo", "--engine", "simulated", "-q")
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


@pytest.fixture
def command(system: OtherSystem) -> Command:
    """Runs ollama-bench on the other system; returns what it printed."""
    return lambda *arguments, codes=(0,): ended(system.start(*arguments), codes)


def test_a_server_is_looked_at(command: Command) -> None:
    assert "sim-small" in command("models")
    assert "kernel stamps need Linux" in command("doctor")


@pytest.mark.parametrize(
    "more",
    [
        ["quickstart", *QUICK],
        ["generate", *BARE],
        ["quickstart", *BARE, "--workers", "2", "--set", "load.closed.users=4"],
        ["quickstart", *BARE, "--transport", "httpx"],
        ["smoke", "--no-report", "--set", "load={open: {rate: 20, requests: 10}}"],
    ],
    ids=["chat", "generate", "workers", "httpx", "open"],
)
def test_a_scenario_is_measured(command: Command, more: list[str]) -> None:
    """A busy machine may spoil the numbers (5): that is told, and nothing is lost."""
    printed = command("run", *more, "-m", "sim-small", "-q", codes=(0, 5))
    assert Path(printed.strip().splitlines()[-1]).parent.name == "runs"


def test_the_kernel_transport_is_refused(command: Command) -> None:
    printed = command("run", "smoke", "-m", "sim-small", "--transport", "kernel", codes=(2,))
    assert "needs Linux" in printed


def test_runs_are_read_again(command: Command, tmp_path: Path) -> None:
    runs = []
    for tag in ("before", "after"):
        more = ["-q", "--no-report", "--set", f"tags={tag}"]
        printed = command("run", "smoke", "-m", "sim-small", *more, codes=(0, 5))
        runs.append(printed.strip().splitlines()[-1])
    page = tmp_path / "page.html"
    command("report", *runs, "-o", str(page))
    assert "<html" in page.read_text(encoding="utf-8")
    command("compare", "before", "after", codes=(0, 1, 3, 4, 5))
    assert "before" in command("history", "list")


def test_two_managed_servers_are_compared(command: Command) -> None:
    sides = ["--a", "binary=bin/ollama", "--b", "binary=bin/ollama", "--b", "env.OLLAMA_DEBUG=1"]
    load = ["--set", "load.closed.requests=6", "--set", "options.num_predict=20"]
    printed = command(
        "ab", "quickstart", *sides, *load, "-m", "sim-small", "--pairs", "2", codes=(0, 1, 3, 5)
    )
    assert "Verdict" in printed or "inconclusive" in printed or "invalid" in printed


def test_a_plan_is_made(command: Command) -> None:
    assert "quickstart" in command("run", "quickstart", "-m", "sim-small", "--dry-run")
    command("plan", "quickstart", "-m", "sim-small", *QUICK[:2], codes=(0, 3, 5))


def test_capacity_is_found(command: Command) -> None:
    command(
        *("capacity", "quickstart", "-m", "sim-small", "--slo", "ttft_s.p90<=5", "--by", "users"),
        *("--most", "2", "--budget", "10s", "--set", "options.num_predict=10"),
        codes=(0, 1, 3, 5),
    )


def test_the_demo_runs(demo: subprocess.Popen[str]) -> None:
    assert "runs" in ended(demo, codes=(0, 5))
