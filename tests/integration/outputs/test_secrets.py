"""Planted secrets, and every file, message and database of a run in which they must not be."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import run_command

from bench.analysis.run.summarise import summarise
from bench.report.formats import render
from bench.report.run_page import run_page
from bench.results.directory import read_run

SERVER = Path(__file__).parents[2] / "support" / "leaky_server.py"
NAMES = (
    *(
        "DB_PASS",
        "COOKIE",
        "JWT",
        "SESSION_ID",
        "API_KEY",
        "MY_TOKEN",
        "CLIENT_SECRET",
        "PGPASSWORD",
    ),
    *("AWS_SECRET_ACCESS_KEY", "GITHUB_PAT", "WEBHOOK", "DATABASE_URL", "SENTRY_DSN", "PRIVATE"),
    *("HTTPS_PROXY", "AUTHORIZATION", "CREDENTIALS", "LLAMA_ARG_API_KEY", "OLLAMA_API_KEY", "PIN"),
)
MARK = "Zq9-vK7w-Xd2"
"""Ends every planted secret. Long: three letters happen by chance in a page's packed numbers."""
GIVEN = {name: f"planted-{n:02d}-{name.lower()}-{MARK}" for n, name in enumerate(NAMES)}
GIVEN["HTTPS_PROXY"] = f"http://user:{GIVEN['HTTPS_PROXY']}@proxy.example:3128"
GIVEN["DATABASE_URL"] = f"postgres://me:{GIVEN['DATABASE_URL']}@db/x?password=planted-query-{MARK}"
INHERITED = {
    "OLLAMA_BENCH_TOKEN": f"planted-bearer-token-{MARK}",
    "OLLAMA_REMOTES_AUTH": f"planted-client-{MARK}",
    "CI_JOB_TOKEN": f"planted-ci-job-{MARK}",
}
HARMLESS = {"OLLAMA_NUM_PARALLEL": "2", "CUDA_VISIBLE_DEVICES": "0"}


def forms(secret: str) -> set[bytes]:
    """A secret as it may stand in a file."""
    return {secret.encode(), base64.b64encode(secret.encode())}


def planted() -> dict[str, set[bytes]]:
    found = {}
    for name, value in {**GIVEN, **INHERITED}.items():
        secret = next(p for p in value.replace("@", " ").replace(":", " ").split() if MARK in p)
        found[name] = forms(secret)
    return found


def leaks(content: bytes, where: str) -> list[str]:
    """What is planted in it, packed or not: a page hands out its numbers as base64 of gzip."""
    for packed in re.findall(rb"H4sI[A-Za-z0-9+/]+=*", content):
        content += gzip.decompress(base64.b64decode(packed))
    return [
        f"{name} in {where}"
        for name, secrets in planted().items()
        if any(secret in content for secret in secrets)
    ] + ([f"something planted in {where}"] if MARK.encode() in content else [])


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=tmp_path,
            env={**os.environ, **INHERITED, "COLUMNS": "200"},
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run


def scenario(folder: Path, **more: object) -> str:
    """JSON is YAML, too."""
    content = {
        "schema": 1,
        "name": "leaky",
        "prompts": ["Hello", "What is new?"],
        "options": {"num_predict": 4},
        "blocks": 2,
        "warmup": 1,
        "load": {"closed": {"users": [2], "requests": 9}},
        "targets": [
            {
                "name": "here",
                "command": [sys.executable, str(SERVER)],
                "env": {**GIVEN, **HARMLESS},
            }
        ],
        **more,
    }
    (folder / "leaky.yaml").write_text(json.dumps(content))
    return "leaky.yaml"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_file_or_message_of_a_run_holds_one(bench, tmp_path: Path, workers: str) -> None:
    file = scenario(tmp_path)
    done = bench(
        *("run", file, "-m", "leaky:latest", "--keep-text", "--workers", workers),
        *("--history", "history.sqlite"),
    )
    (directory,) = (tmp_path / "runs").iterdir()
    files = [p for p in directory.rglob("*") if p.is_file()]
    names = {p.name for p in files}
    assert names >= {"run.json", "requests.jsonl", "summary.json", "report.html", "server-1.log"}
    found = leaks(done.stdout, "stdout") + leaks(done.stderr, "stderr")
    for path in (*files, *tmp_path.glob("history.sqlite*")):
        found += leaks(path.read_bytes(), path.name)
    run = read_run(directory)
    for form in ("console", "markdown", "csv", "json"):
        text = render(run_page([run], [summarise(run.info, run.records)]), form)
        found += leaks(text.encode(), form)
    assert found == []
    # The evidence is still there: what is harmless, and that something was said.
    log = (directory / "server-1.log").read_text()
    assert "OLLAMA_NUM_PARALLEL" in log and "headers:" in log and "(hidden)" in log
    info = json.loads((directory / "run.json").read_text())
    assert info["targets"][0]["settings"] == HARMLESS
    shown = info["plan"]["targets"][0]["env"]
    assert {k: v for k, v in shown.items() if v != "(hidden)"} == HARMLESS
    assert "refused:" in (directory / "requests.jsonl").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "leaky.yaml", "-m", "m", "--dry-run"),
        ("run", "smoke", "-m", "m", "--host", "http://user:planted-Zq9-vK7w-Xd2@127.0.0.1:1"),
        ("run", "smoke", "-m", "m", "--host", "user:planted-Zq9-vK7w-Xd2@127.0.0.1:1"),
        ("run", "smoke", "-m", "m", "--host", "http://127.0.0.1:1/?token=planted-Zq9-vK7w-Xd2"),
        ("run", "smoke", "-m", "m", "--host", "http://127.0.0.1:1/x?api_key=planted-Zq9-vK7w-Xd2"),
        ("run", "smoke", "-m", "m", "--host", "ftp://user:planted-Zq9-vK7w-Xd2@127.0.0.1:1"),
        ("doctor", "--host", "http://user:planted-Zq9-vK7w-Xd2@127.0.0.1:x"),
        ("models", "--host", "http://127.0.0.1:1#access_token=planted-Zq9-vK7w-Xd2"),
        ("run", "leaky.yaml", "-m", "m", "--set", "targets[0].env.PIN=[planted-Zq9-vK7w-Xd2]"),
        ("run", "leaky.yaml", "-m", "m", "--set", "targets[9].env.PIN=planted-Zq9-vK7w-Xd2"),
        ("run", "wrong.yaml", "-m", "m"),
        (
            "ab",
            "smoke",
            "--a",
            "env.PIN=planted-1-Zq9-vK7w-Xd2",
            "--b",
            "env.PIN=planted-2-Zq9-vK7w-Xd2",
            "--dry-run",
        ),
        ("ab", "smoke", "--a", "env.PIN=planted-Zq9-vK7w-Xd2", "--b", "host=h", "-m", "m"),
    ],
)
def test_no_refusal_or_dry_run_shows_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    scenario(tmp_path)
    text = (tmp_path / "leaky.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(
        text.replace('"PIN": "', '"PIN": ["').replace(f'{GIVEN["PIN"]}"', f'{GIVEN["PIN"]}"]')
    )
    done = run_command(arguments, tmp_path, {**INHERITED, "COLUMNS": "200"})
    assert leaks((done.stdout + done.stderr).encode(), "a message") == []
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr
