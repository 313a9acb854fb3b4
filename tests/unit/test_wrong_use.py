"""What is called wrongly is said in one message that names it, before anything is measured."""

from __future__ import annotations

import pytest
from in_process import run_command

from bench.errors import ExitCode

NOBODY = ("--host", "127.0.0.1:9")
"""Whoever asks a server before reading the options ends with another exit code."""
SIDES = ("ab", "smoke", "--a", "model=x", "--b", "model=y", *NOBODY)
WHAT_IF = ("capacity", "what-if", "laptop-cpu", "--slo", "ttft_s.p95<=2")
SEARCH = ("capacity", "smoke", "-m", "x", *NOBODY)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*SIDES, "--write", "docx=x"), "--write docx=x: write FORMAT=FILE"),
        ((*SIDES, "--write", "junit=nowhere/x"), "there is no folder nowhere"),
        (("run", "smoke", "--write", "json=."), "cannot write .: it is a folder"),
        (("ab", "smoke", "--a", "modle=x", "--b", "model=y"), "(from --a modle=x)"),
        (("ab", "smoke", "--a", "env.=1", "--b", "env.X=2"), "--a env.=1: write KEY=VALUE"),
        (("run", "smoke", "-m", "", *NOBODY), "-m '': a model has a name"),
        (("run", "smoke", "-m", "x", "--host", "http://[::1"), "write IPv6 as [::1]:11434"),
        ((*SEARCH, "--slo", "fast"), "--slo fast: must be METRIC"),
        ((*SEARCH, "--slo", "ttft_s.p90<=0"), "no server takes no time"),
        (("serve", "--port", "0", "--model", "x.gguf"), "--model x.gguf: the simulated engine"),
        (("run", "smoke", "-m", "x", "--workers", "\u00b2"), "--workers \u00b2: give a number"),
        ((*SEARCH, "--slo", "ttft_s<=2", "--think", "nan"), "nan is not in the range x>=0"),
        ((*WHAT_IF, "--rate", "1", "--seed", "-1"), "-1 is not in the range x>=0"),
        (("fidelity", "a", "b", "--seed", "-1", *NOBODY), "-1 is not in the range x>=0"),
        ((*WHAT_IF, "--users", "1e12"), "at most 1,000 servers with"),
        (("scenarios", "new", ""), "names no file"),
        (("history", "rebuild", "nowhere"), "'nowhere' does not exist"),
        (("models", "--host", "https://localhost:9", "--ca-file", "nix.pem"), "no such file"),
    ],
)
def test_wrong_use_is_one_message_that_names_it(arguments, said, tmp_path):
    history = {"OLLAMA_BENCH_HISTORY": str(tmp_path / "history.sqlite")}
    done = run_command(arguments, tmp_path, history)
    assert said in " ".join((done.stdout + done.stderr).split())
    assert done.returncode == ExitCode.USAGE
    assert "Allowed time" not in done.stderr
