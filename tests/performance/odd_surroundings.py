"""Odd environments, hostile text, lost outputs and planted secrets: what holds of each?

    python tests/performance/odd_surroundings.py [--only PART] [--seconds S] [--seed N]

- environment: commands with odd variables (this process)
- text: every output but pages, with one to four hostile strings in every place (this process)
- outputs: commands whose streams are full, closed, not read or not UTF-8 (a process each)
- secrets: whole runs against a server that prints and echoes all it knows (some processes each)

Bars: 0 tracebacks, 0 hangs, 0 escapes obeyed, 0 secrets found, no process over 300 MiB. Each part
stops when its share of the time is up, and says how far it came. Needs POSIX.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))

import hostile
import hostile_outputs
import lost_streams
import odd_environment
import planted_secrets
import runs
import whole_files
from damaged_files import Figures, peak_mib

from bench.server.embedded import start_server

MEMORY_MIB = 300
Part = Callable[[Path, str, int], Figures]


def texts(whole: Path, url: str, seed: int) -> Figures:
    """Twenty texts made of the hostile strings, each in every output."""
    del url
    rng, figures = random.Random(seed), Figures()
    for _ in range(20):
        text = "".join(rng.choices(list(hostile.STRINGS.values()), k=rng.choice((1, 2, 2, 3, 4))))
        at = rng.randrange(len(text))
        text = rng.choice((text, text[at:], f"model {text[:at]}"))[:4000]
        for name, said in hostile_outputs.outputs_of(text, whole):
            figures.tried += 1
            if found := hostile.obeyed(said):
                figures.failed.append(f"{name} with {text[:200]!r}: {found[:3]}")
    return figures


def secrets(whole: Path, url: str, seed: int) -> Figures:
    """One run, with secrets drawn anew; each of them is looked for in each file and form."""
    del url
    figures, planted = Figures(), planted_secrets.Planted.drawn(seed)
    with tempfile.TemporaryDirectory(dir=whole) as folder:
        _, found = planted_secrets.run_and_collect(Path(folder), planted, "12"[seed % 2])
        for name, content in found:
            figures.tried += len(planted.given) + len(planted.inherited)
            figures.failed += planted.leaks(content, f"{name}, seed {seed}")
    return figures


PARTS: dict[str, Part] = {
    "environment": lambda w, url, seed: odd_environment.try_environments(w, url, 40, seed),
    "text": texts,
    "outputs": lambda w, url, seed: lost_streams.try_streams(w, url, 40, seed),
    "secrets": secrets,
}
MOST = {"environment": 1200, "text": 10_000, "outputs": 200, "secrets": 10_000}
"""Cases after which a part ends, whatever time is left."""


def main() -> int:
    """Run every part in rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--only", default="", choices=("", *PARTS))
    asked = parser.parse_args()
    os.environ["OLLAMA_BENCH_HISTORY"] = "off"
    wrong = False
    parts = {n: p for n, p in PARTS.items() if asked.only in ("", n)}
    with tempfile.TemporaryDirectory() as folder, start_server(profile="test") as server:
        whole = whole_files.made_whole(Path(folder), _write_run)
        os.mkfifo(whole / "pipe")
        (whole / "file").write_text("text")
        for name, part in parts.items():
            until = time.monotonic() + asked.seconds / len(parts)
            total, seed = Figures(), asked.seed * 1000
            while time.monotonic() < until and total.tried < MOST[name]:
                more = part(whole, server.url, seed)
                total.tried += more.tried
                total.failed += more.failed
                seed += 1
            memory_mib = max(peak_mib(), peak_mib(children=True))
            print(
                f"{name}: {total.tried} tried, {len(total.failed)} did not hold; at most "
                f"{memory_mib:.0f} MiB in one process, of {MEMORY_MIB}",
                flush=True,
            )
            for line in total.failed[:8]:
                print(f"    {line[:700]}", flush=True)
            wrong |= bool(total.failed) or memory_mib > MEMORY_MIB
    return int(wrong)


def _write_run(folder: Path, number: int) -> Path:
    return runs.write_run(folder, replace(runs.Workload(), seed=number, requests=4, blocks=2))


if __name__ == "__main__":
    sys.exit(main())
