"""Variables of the environment that hold anything, and commands that must bear it."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

from damaged_files import CASE_S, Figures, Hang, limited
from hostile import STRINGS, obeyed
from in_process import run_command

VARIABLES = (
    *("OLLAMA_HOST", "OLLAMA_BENCH_TOKEN", "OLLAMA_BENCH_HISTORY", "OLLAMA_BENCH_CACHE", "NETRC"),
    *("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
    *("OLLAMA_NUM_PARALLEL", "OLLAMA_KEEP_ALIVE", "CUDA_VISIBLE_DEVICES", "HOME", "XDG_DATA_HOME"),
    *("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("PATH", "MPLCONFIGDIR", "MPLBACKEND", "PYTHONIOENCODING", "CI", "GITHUB_ACTIONS", "USER"),
)
"""What this program or a library below it reads."""

VALUES = (
    *("", " ", "0", "-1", "1", "9" * 400, "nan", "1e999", "x", "off", "x" * 100_000, "a=b;c", "~"),
    *("http://", "http://[::bad", "[", "]:1", "a b", ":99999", "1:2:3", "ftp://p:1", "unix://"),
    *(
        "//",
        "http://u:p@h:1",
        "http://127.0.0.1:1/v1",
        "0.0.0.0",
        "::1",
        "127.0.0.1:1",
        "é",
        "模型",
    ),
    *(
        "\udcff",
        "a\nb",
        "\r\n",
        "*",
        ",,",
        "./none/none",
        "pipe",
        "pipe/below",
        "file",
        ".",
        "%s{}",
    ),
    *("Bearer x\r\nX-Y: z", "/dev/zero", "/dev/full", "/dev/null"),
    *(text for text in STRINGS.values() if "\0" not in text),
)

COMMANDS = (
    ("models",),
    ("run", "quick.yaml", "-m", "sim-small", "--no-report"),
    ("run", "smoke", "-m", "m", "--dry-run"),
    ("history", "list"),
    ("scenarios", "list"),
    ("report", "run", "--format", "console"),
    ("compare", "run", "run2"),
    ("plan", "quick.yaml", "-m", "sim-small", "--no-history"),
)
QUICK = """
name: quick
prompts: [Hello]
options: {num_predict: 2}
blocks: 1
warmup: 0
load: {closed: {users: [1], requests: 2}}
"""
CODES = frozenset({0, 2, 3, 5, 6})
"""All but those of a defect and of "worse": nothing is worse here."""


def try_environments(whole: Path, url: str, count: int, seed: int) -> Figures:
    """Runs commands with one to three odd variables each.

    Args:
        whole: a folder as `whole_files.made_whole` makes it, with a pipe and a file.
        url: of a server that has sim-small.
        count: of commands.
        seed: of the draws.
    """
    rng, figures = random.Random(seed), Figures()
    (whole / "quick.yaml").write_text(QUICK)
    for number in range(count):
        names = rng.sample(VARIABLES, rng.choice((1, 1, 2, 3)))
        odd = {name: rng.choice(VALUES) for name in names}
        command = COMMANDS[number % len(COMMANDS)]
        started = time.monotonic()
        try:
            with limited(CASE_S):
                done = run_command(command, whole, {"OLLAMA_HOST": url, **odd})
            said = done.stdout + done.stderr
            if "FORCE_COLOR" in odd:  # then colours are asked for
                said = re.sub(r"\x1b\[[\d;]*m", "", said)
            wrong = obeyed(said)[:3]
            if done.returncode not in CODES:
                wrong.append(f"exit code {done.returncode}: {done.stderr[-300:]}")
            figures.refused += done.returncode in (2, 6)
        except (Exception, Hang) as error:
            wrong = [f"{type(error).__name__}: {str(error)[:200]}"]
        if wrong:
            figures.failed.append(f"{' '.join(command)} with {str(odd)[:300]}: {wrong}")
        figures.tried += 1
        figures.slowest_s = max(figures.slowest_s, time.monotonic() - started)
    return figures
