"""Planted secrets, and every file, message and database of a run in which they must not be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import run_command
from planted_secrets import HARMLESS, Planted, run_and_collect, scenario

PLANTED = Planted()


@pytest.mark.parametrize(
    ("planted", "workers"), [(PLANTED, "1"), (PLANTED, "2"), (Planted.drawn(1), "1")]
)
def test_no_file_or_message_of_a_run_holds_one(
    tmp_path: Path, planted: Planted, workers: str
) -> None:
    directory, found = run_and_collect(tmp_path, planted, workers)
    contents = dict(found)
    expected = {"run.json", "requests.jsonl", "summary.json", "report.html", "server-1.log"}
    assert contents.keys() >= {*expected, "history.sqlite", "stderr", "console"}
    assert [leak for name, said in contents.items() for leak in planted.leaks(said, name)] == []
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
    scenario(tmp_path, PLANTED)
    text = (tmp_path / "leaky.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(
        text.replace('"PIN": "', '"PIN": ["').replace(
            f'{PLANTED.given["PIN"]}"', f'{PLANTED.given["PIN"]}"]'
        )
    )
    done = run_command(arguments, tmp_path, {**PLANTED.inherited, "COLUMNS": "200"})
    assert PLANTED.leaks((done.stdout + done.stderr).encode(), "a message") == []
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr
