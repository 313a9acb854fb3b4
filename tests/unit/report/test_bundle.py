"""The evidence for a bug report, with secrets planted wherever text comes from outside."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import msgspec
import pytest
from runs import LLAMA, Workload, write_run

from bench.commands.bundle import bundle
from bench.commands.sides import ab_plan
from bench.report.evidence import again, shared_scenario
from bench.results.directory import RunDirectory, read_info
from bench.results.record import decode_record
from bench.results.run import RunStatus
from bench.scenario.loading import load_scenario

SECRETS = (
    "hunter2-very-secret",
    "sk-planted-0123456789",
    "dGhpcyBpcyBzZWNyZXQ9",
    "T0kenOfTheLog99",
)
LOG = """
time=2026 level=INFO msg="offloaded 29/29 layers to GPU"
llama_kv_cache: CUDA0 KV buffer size = 448.00 MiB
flash attention enabled, n_parallel = 4
Authorization: Bearer dGhpcyBpcyBzZWNyZXQ9
env.API_KEY=T0kenOfTheLog99
GET http://user:hunter2-very-secret@host/api?token=sk-planted-0123456789 error
nothing of interest here
"""
ERROR = "refused: Authorization: Bearer dGhpcyBpcyBzZWNyZXQ9 at http://u:hunter2-very-secret@h/"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = write_run(
        tmp_path, Workload(models=(LLAMA,), requests=12, failures=0.3, error_text=ERROR)
    )
    (made / "server-1.log").write_text(LOG)
    journal = made / "requests.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    kept = msgspec.json.decode(first) | {"text": "a private answer"}
    journal.write_bytes(b"".join([msgspec.json.encode(kept) + b"\n", *rest]))
    return made


def test_a_bundle_holds_the_evidence_and_no_secret(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-planted-0123456789")
    made = bundle([run_dir], tmp_path / "x.zip")
    with zipfile.ZipFile(made.path) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    names = {"evidence.md", "run.json", "summary.json", "requests.jsonl", "server-1.log"}
    assert files.keys() == names | {"scenario.yaml"}
    found = [
        (secret, name)
        for name, content in (*files.items(), ("stdout", made.markdown.encode()))
        for secret in (*SECRETS, "a private answer")
        if secret.encode() in content
    ]
    assert found == []
    records = [decode_record(line) for line in files["requests.jsonl"].splitlines(keepends=True)]
    assert len(records) == 3 * 15
    assert any(r.server.eval_duration for r in records)
    block = made.markdown
    for told in (
        "offloaded 29/29 layers",
        "KV buffer size",
        "flash attention",
        "eval\\_duration",
        "Output hash",
        "On the GPU before",
        "NVIDIA GeForce RTX 3060",
        "ollama-bench run scenario.yaml --seed 7 --host http://127.0.0.1:11434",
        "refused:",
    ):
        assert told in block, told
    assert "nothing of interest" not in block


def test_two_runs_are_compared_and_begin_with_the_verdict(run_dir: Path, tmp_path: Path) -> None:
    slower = write_run(
        tmp_path / "b", Workload(models=(replace(LLAMA, step_s=0.04),), requests=12, seed=8)
    )
    made = bundle([run_dir, slower], tmp_path / "y.zip")
    assert "worse" in made.markdown[:1500]
    with zipfile.ZipFile(made.path) as packed:
        assert {"comparison.json", "1/run.json", "2/scenario.yaml"} <= set(packed.namelist())
        packed.extract("2/scenario.yaml", tmp_path)
    assert load_scenario(tmp_path / "2" / "scenario.yaml").name == "chat"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("options.num_ctx=4096", "think=true"),
        ("model=x", "model=y:z"),
        ("env.OLLAMA_FLASH_ATTENTION=0", "env.OLLAMA_FLASH_ATTENTION=1"),
        ("host=:11434", "host=:11435"),
        ("load.closed.users=2", "load.closed.users=4"),
        ("seed=3", "seed=3"),
    ],
)
def test_the_command_for_an_ab_plans_the_same_again(a: str, b: str, tmp_path: Path) -> None:
    models = [] if a.startswith("model") else ["m:1"]
    plan = ab_plan("quickstart", a, b, 7, models=models)
    file = tmp_path / "scenario.yaml"
    file.write_bytes(msgspec.json.encode(shared_scenario(plan)))
    command, name, *words = again(plan, str(file))
    assert command == "ab"
    given: dict[str, list[str]] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        given.setdefault(option, []).append(value)
    sides = given["--a"], given["--b"]
    made = ab_plan(name, *sides, int(given["--pairs"][0]), seed=int(given["--seed"][0]))
    for part in ("scenario", "scenario_b", "cases", "targets", "blocks"):
        assert getattr(made, part) == getattr(plan, part), part


def test_runs_that_cannot_be_compared_are_evidence_all_the_same(
    run_dir: Path, tmp_path: Path
) -> None:
    """`bundle` has no --allow, so a baseline that broke off could not be sent at all."""
    info = read_info(run_dir)
    RunDirectory(run_dir, info.id).write_info(replace(info, status=RunStatus.INTERRUPTED))
    other = write_run(tmp_path / "b", Workload(models=(LLAMA,), requests=12, seed=8))
    with zipfile.ZipFile(bundle([run_dir, other], tmp_path / "z.zip").path) as packed:
        assert {"1/run.json", "2/run.json"} <= set(packed.namelist())
        assert "comparison.json" not in packed.namelist()


def test_the_home_folder_is_hidden_as_windows_writes_it(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""JSON writes C:\Users\jo with two backslashes."""
    home = r"C:\Users\jo.doe"
    monkeypatch.setattr(Path, "home", lambda: PureWindowsPath(home))
    info = read_info(run_dir)
    RunDirectory(run_dir, info.id).write_info(
        replace(info, environment={**info.environment, "cwd": home + r"\bench"})
    )
    with zipfile.ZipFile(bundle([run_dir], tmp_path / "w.zip").path) as packed:
        text = packed.read("run.json").decode()
    assert "jo.doe" not in text and r"~\\bench" in text
