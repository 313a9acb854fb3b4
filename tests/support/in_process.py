"""Commands as users type them, without a process for each: starting Python costs more than most."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import cli


def run_command(
    arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`ollama-bench` in this process: its exit code and what it printed.

    Args:
        arguments: after the program's name.
        folder: where it is called.
        environment: variables that it has besides those of the tests.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ollama-bench", *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli._exit_code()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
