"""A pipe or a device in place of any file that a command is given: it is refused, never waited for.

A pipe without a writer, or without a reader, would never end.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import runs
import whole_files
from damaged_files import limited
from whole_files import call

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names"),
]

REFUSED_S = 10.0
SCENARIOS = {
    "prompts": "prompts: {file: pipe.txt}",
    "sessions": "prompts: {sessions: {file: pipe.jsonl}}",
    "trace": "load: {open: {arrivals: {trace: {file: pipe.csv}}}}\nblocks: 1",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def write_run(folder: Path, number: int) -> Path:
        return runs.write_run(folder, replace(runs.Workload(), seed=number, requests=4, blocks=2))

    folder = whole_files.made_whole(tmp_path_factory.mktemp("whole"), write_run)
    for name in ("pipe", "pipe.yaml", "pipe.jsonl", "pipe.csv", "pipe.txt", "pipe.gguf"):
        os.mkfifo(folder / name)
    for name, text in SCENARIOS.items():
        (folder / f"of-{name}.yaml").write_text(f"name: s\n{text}\n")
    for below in ("run.json", "requests.jsonl"):
        copy = folder / f"without-{below.partition('.')[0]}"
        shutil.copytree(folder / "run", copy)
        (copy / below).unlink()
        os.mkfifo(copy / below)
    shutil.copytree(folder / "run", folder / "logged")
    os.mkfifo(folder / "logged" / "server-1.log")
    for name, inside in (("fidelity", "fidelity.json"), ("own", "x.html.j2")):
        (folder / name).mkdir()
        os.mkfifo(folder / name / inside)
    (folder / "own" / "extra.css").write_text("")
    return folder


SLO = "--slo ttft_s.p90<=5"
REFUSED = [
    line.split()
    for line in f"""
    run {{}}.yaml -m m --dry-run
    run of-prompts.yaml -m m --dry-run
    run of-sessions.yaml -m m --dry-run
    run of-trace.yaml -m m --dry-run
    run smoke -m m --ca-file {{}} --host https://127.0.0.1:9
    run smoke -m m --history {{}}
    models --ca-file {{}} --host https://127.0.0.1:9
    fidelity a b --ca-file {{}} --host https://127.0.0.1:9
    fidelity a b --texts {{}}
    fidelity a b --resume {{}}
    fidelity a b --resume fidelity
    report {{}}
    report without-run
    report without-requests
    report run -o {{}}
    report run --format csv -o {{}}
    report run --charts {{}}
    report run --template {{}}
    report run --template own
    report last --history {{}}
    compare run {{}} --no-history
    compare run run2 --no-history -o {{}}
    compare run run2 --history {{}}
    plan {{}}
    capacity fit {{}}
    capacity fit run -o {{}}
    capacity what-if {{}} {SLO} --users 3
    capacity what-if test {SLO} --trace {{}}.csv
    board {{}}
    board run -o {{}}
    bundle {{}}
    bundle run -o {{}}
    history list --history {{}}
    history rebuild . --history {{}}
    history trend ttft_s.p50 --history h.sqlite -o {{}}
    serve --engine simulated --truth-log {{}} --port 0
    serve --engine simulated --profile {{}} --port 0
    serve --engine simulated --fault-plan {{}} --port 0
    serve --engine llama.cpp --model {{}}.gguf --port 0
    scenarios new {{}}.yaml
    scenarios show {{}}
    scenarios validate {{}}.yaml
    """.strip().splitlines()
]


@pytest.mark.parametrize("command", REFUSED, ids=" ".join)
def test_a_pipe_without_another_end(
    command: list[str], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole)
    with limited(REFUSED_S):
        code, said = call(*(word.replace("{}", "pipe") for word in command))
    assert code in (1, 2), said


def test_a_log_that_is_a_pipe_costs_no_bundle(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole)
    with limited(REFUSED_S):
        assert call("bundle", "logged", "-o", "logged.zip")[0] == 0


READ = [c for c in REFUSED if "{}" in c and not {"-o", "--charts", "--truth-log"} & set(c)]


@pytest.mark.parametrize("command", READ, ids=" ".join)
def test_a_device_that_never_ends(
    command: list[str], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole)
    with limited(REFUSED_S):
        code, said = call(*(word.replace("{}", "/dev/zero") for word in command))
    assert code in (1, 2), said


@pytest.mark.parametrize(
    "command",
    [c for c in REFUSED if c[-2:] == ["-o", "{}"] and "fit" not in c],
    ids=" ".join,
)
def test_a_pipe_that_is_read_gets_the_output(
    command: list[str], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole)
    read, write = os.pipe()  # as a shell makes it for >(command)
    pid = os.fork()
    if not pid:
        os.close(write)
        os.dup2(read, 0)
        os.execlp("sh", "sh", "-c", "cat > piped")
    os.close(read)
    with limited(REFUSED_S):
        code, said = call(*(word.replace("{}", f"/dev/fd/{write}") for word in command))
    os.close(write)
    os.waitpid(pid, 0)
    assert code in (0, 3), said
    assert (whole / "piped").stat().st_size > 100


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="a limit of POSIX")
@pytest.mark.parametrize(
    "command",
    [
        "report run -o old.html",
        "report run --charts pictures",
        "bundle run -o old.zip",
        "board run -o old.html",
    ],
)
def test_what_does_not_fit_on_the_disk_leaves_the_old_file(
    command: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files may not grow beyond 2,000 bytes: writing fails in the middle, as on a full disk."""
    import resource

    monkeypatch.chdir(whole)
    (tmp_path / "pictures").mkdir()
    for name in ("old.html", "old.zip", "pictures/metrics.svg"):
        (tmp_path / name).write_text("old")
    call("report", "run", "-o", tmp_path / "warm.html")  # what is imported late may be compiled
    (tmp_path / "warm.html").unlink()
    words = [word.replace("old.", f"{tmp_path}/old.") for word in command.split()]
    words = [word.replace("pictures", f"{tmp_path}/pictures") for word in words]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with limited(REFUSED_S):
            code, said = call(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 1, said
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.read_text() for p in left} == {"old"}, left
    assert len(left) == 3


@pytest.mark.parametrize("odd", ["pipe", "/dev/zero"])
@pytest.mark.parametrize("variable", ["NETRC", "SSL_CERT_FILE"])
def test_a_variable_that_names_a_pipe_or_a_device(
    variable: str, odd: str, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole)
    monkeypatch.setenv("OLLAMA_HOST", "https://127.0.0.1:9")
    monkeypatch.setenv(variable, odd)
    with limited(REFUSED_S):
        assert call("models")[0] == 1
