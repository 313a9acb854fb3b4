"""`run --web`: the page shows the run while it goes, and becomes its report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import pytest

from bench.children import module_command
from bench.cli.web import Forwarding, web_page
from bench.errors import UsageError
from bench.server.embedded import start_server


def get(url: str, host: str = "") -> bytes:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def test_the_page_shows_the_run_and_becomes_the_report(tmp_path: Path) -> None:
    # Long answers: beside short ones a busy machine's own delays make a run invalid.
    keys = {"options": {"num_predict": 160}, "load": {"closed": {"requests": 15}}, "blocks": 2}
    (tmp_path / "s.yaml").write_text(json.dumps({"schema": 1, "name": "live", **keys}))
    with start_server(profile="test") as server:
        run = subprocess.Popen(
            [
                *module_command("bench"),
                *("run", "s.yaml", "-m", "sim-small", "--host", server.url, "--web"),
                "--no-history",
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stderr is not None
        line = next(line for line in run.stderr if line.startswith("live: http"))
        url = line.split()[1]
        assert b"live.js" in get(url)
        with pytest.raises(HTTPError, match="403"):
            get(f"{url}state", host="evil.example:80")
        seen, report, end = [], b"", time.monotonic() + 90
        while not report and time.monotonic() < end:
            state = json.loads(get(f"{url}state"))
            seen.append(state)
            if state["report"]:
                report = get(f"{url}report")
            time.sleep(0.2)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert seen[-1]["done"] == seen[-1]["blocks"] == 2
    (case,) = seen[-1]["cases"]
    assert (case["requests"], case["failed"]) == (30, 0)
    assert case["decode_tok_per_s"] > 0
    directory = next((tmp_path / "runs").iterdir())
    # As the report has it, or not: two blocks that a busy machine made unlike carry no median.
    (summary,) = json.loads((directory / "summary.json").read_text())["cases"]
    p50 = summary["metrics"]["ttft_s"]["p50"]["value"]
    assert case["ttft_p50_s"] == (None if p50 is None else pytest.approx(p50))
    assert report == (directory / "report.html").read_bytes()
    assert "s of CPU, in a process of its own" in err
    told = json.loads((directory / "run.json").read_text())["environment"]["telemetry"]
    assert 0 < told["page_of_a_core"] < 1
    assert "The page of --web took " in report.decode()


def test_a_page_that_died_costs_no_run(tmp_path: Path) -> None:
    started = []
    observer = SimpleNamespace(run_started=started.append)
    info: Any = SimpleNamespace(id="run" * 10_000)
    with web_page(0) as page:
        assert page is not None
        page._child.kill()
        page._child.wait()
        Forwarding(observer, page, tmp_path).run_started(info)
        assert page.cpu_s() == 0.0
    assert started == [info]


def test_a_page_that_cannot_start_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.cli.web.module_command", lambda _: [sys.executable, "-c", ""])
    with pytest.raises(UsageError, match="its process did not start"), web_page(0):
        pass


def test_a_port_that_is_taken_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    with start_server(profile="test") as server:
        port = server.url.rpartition(":")[2].strip("/")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "bench", "run", "chat", "-m", "sim-small"),
                *("--host", server.url, "--web", port, "-o", str(tmp_path), "--no-history"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "this port is taken" in done.stderr
    assert not list(tmp_path.iterdir())
