"""`ollama-bench serve`: what it prints, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from in_process import run_command

SERVE = [sys.executable, "-m", "bench", "serve"]


def failed(*arguments: str) -> str:
    """What a serve that cannot start says."""
    done = run_command(("serve", *arguments), Path.cwd(), {})
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_what_it_is_and_stops_cleanly(how: signal.Signals, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    command = [*SERVE, "--port", "0", "--profile", "gpu-12gb", "--truth-log", str(truth)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while "stops it" not in said:
            said += process.stdout.readline()
        host = re.search(r"OLLAMA_HOST=(\S+)", said)
        assert host
        version = httpx.get(f"http://{host[1]}/api/version").json()["version"]
        process.send_signal(how)
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors == ""
    assert rest.strip() == "stopped"
    assert version == "0.32.15-ollama-bench.simulated"
    for words in (version, "simulated", "invented", "llama3.1:8b", f"http://{host[1]}", "4 slots"):
        assert words in said
    assert len(truth.read_text().splitlines()) == 1


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = failed("--port", str(port))
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert "--port 0" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "gpu-12g"], "Did you mean 'gpu-12gb'?"),
        (["--engine", "llama"], "There are: simulated, llama.cpp."),
        (["--ollama-version", "0.31.0"], "It can play: 0.33.3, 0.32.15, 0.24.0, 0.12.11."),
        (["--fault", "stal"], "did you mean 'stall'?"),
        (["--keep-alive", "soon"], "Write it like 30s, 5m, 24h"),
        (["--truth-log", "/no/such/folder/truth"], "cannot be written"),
        (["--num-parallel", "0"], "--num-parallel"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], words: str) -> None:
    assert words in failed("--port", "0", *arguments)


def test_a_missing_extra_names_the_command(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in ('xllamacpp', 'gguf') else real(n, *a)\n"
        "sys.argv = ['ollama-bench', 'serve', '--engine', 'llama.cpp', '--port', '0']\n"
        "from bench.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "ollama-bench[demo]"' in done.stderr


def test_a_bad_model_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model")
    assert "is not a GGUF file" in failed("--engine", "llama.cpp", "--model", str(path))
