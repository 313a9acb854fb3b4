"""Secrets planted in the environment of a server that gives away all it knows, and who looks for
them in every file, message and database of a run.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from bench.analysis.run.summarise import summarise
from bench.report.formats import render
from bench.report.run_page import run_page
from bench.results.directory import read_run

SERVER = Path(__file__).parent / "leaky_server.py"
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
HARMLESS = {"OLLAMA_NUM_PARALLEL": "2", "CUDA_VISIBLE_DEVICES": "0"}
_ODD = ["", "&", "=", "%41", "+/", "é", '"', "\\", "'", "<b>", "\t", "$x", "#", "; ", "模型", "{}"]


@dataclass
class Planted:
    """What is planted.

    Attributes:
        mark: ends every secret. Long: three letters happen by chance in a page's packed numbers.
        given: to the server that is started.
        inherited: by it, of the measuring process.
    """

    mark: str = "Zq9-vK7w-Xd2"
    given: dict[str, str] = field(default_factory=dict)
    inherited: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mark = self.mark
        values = {name: f"planted-{n:02d}-{name.lower()}-{mark}" for n, name in enumerate(NAMES)}
        values |= self.given
        proxy, url = (quote(values[n], safe="") for n in ("HTTPS_PROXY", "DATABASE_URL"))
        values["HTTPS_PROXY"] = f"http://user:{proxy}@proxy.example:3128"
        values["DATABASE_URL"] = f"postgres://me:{url}@db/x?password=planted-query-{mark}"
        self.given = values
        self.inherited = {
            "OLLAMA_BENCH_TOKEN": f"planted-bearer-token-{mark}",
            "OLLAMA_REMOTES_AUTH": f"planted-client-{mark}",
            "CI_JOB_TOKEN": f"planted-ci-job-{mark}",
        }

    @classmethod
    def drawn(cls, seed: int) -> Planted:
        """Other secrets, with characters that files, shells and URLs write in other ways."""
        rng = random.Random(seed)
        letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
        mark = "".join(rng.choices(letters, k=14))
        odd = {name: f"pl{rng.choice(_ODD)}{mark}{rng.choice(_ODD)}" for name in NAMES}
        return cls(mark, {name: value.strip() for name, value in odd.items()})

    def leaks(self, content: bytes, where: str) -> list[str]:
        """What is planted in it, packed or not: a page's numbers are base64 of gzip."""
        for packed in re.findall(rb"H4sI[A-Za-z0-9+/]+=*", content):
            content += gzip.decompress(base64.b64decode(packed))
        found = [
            f"{name} in {where}"
            for name, value in {**self.given, **self.inherited}.items()
            if any(form in content for form in _forms(self._secret(value)))
        ]
        return found + ([f"something planted in {where}"] if self.mark.encode() in content else [])

    def _secret(self, value: str) -> str:
        if "://" not in value:
            return value
        return next(p for p in re.split(r"[@:/?]", value) if self.mark in p)


def _forms(secret: str) -> set[bytes]:
    """A secret as it may stand in a file."""
    return {secret.encode(), base64.b64encode(secret.encode())}


def scenario(folder: Path, planted: Planted, **more: object) -> str:
    """The file of a run against that server; JSON is YAML, too."""
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
                "env": {**planted.given, **HARMLESS},
            }
        ],
        **more,
    }
    (folder / "leaky.yaml").write_text(json.dumps(content))
    return "leaky.yaml"


def run_and_collect(
    folder: Path, planted: Planted, workers: str
) -> tuple[Path, Iterator[tuple[str, bytes]]]:
    """A run against the server; its directory, and (name, content) of all that came of it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "run", scenario(folder, planted)),
            *("-m", "leaky:latest", "--keep-text", "--workers", workers),
            *("--history", "history.sqlite"),
        ],
        cwd=folder,
        env={**os.environ, **planted.inherited, "COLUMNS": "200"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    (directory,) = (folder / "runs").iterdir()

    def all_of_it() -> Iterator[tuple[str, bytes]]:
        yield from (("stdout", done.stdout), ("stderr", done.stderr))
        for path in (*directory.rglob("*"), *folder.glob("history.sqlite*")):
            if path.is_file():
                yield path.name, path.read_bytes()
        run = read_run(directory)
        for form in ("console", "markdown", "csv", "json"):
            page = run_page([run], [summarise(run.info, run.records)])
            yield form, render(page, form).encode()

    return directory, all_of_it()
