"""Make the example reports in this folder again, from the embedded engines.

    python reports/examples/make.py [NAME...]

Nothing in them was measured on an Ollama server: most come from the simulated engine, whose speeds
are invented, and one from a very small model under llama.cpp on whatever machine ran this. Takes
about fifteen minutes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

HERE = Path(__file__).parent
PROFILES = HERE.parents[1] / "bench" / "simulation" / "profiles"
BENCH = (sys.executable, "-m", "bench")


@dataclass(frozen=True)
class Example:
    """One example: what serves, and what is run against it.

    Attributes:
        serve: arguments of `serve`; empty = `demo` does both.
        run: arguments of `run`, or of `demo`.
    """

    serve: tuple[str, ...]
    run: tuple[str, ...]


EXAMPLES = {
    "quantisations": Example(
        serve=("--profile", "gpu-12gb"),
        run=(
            "chat",
            *("-m", "llama3.1:8b", "-m", "llama3.1:8b-instruct-q8_0"),
            *("--set", "load.closed.requests=25", "--set", "options.num_predict=48"),
            *("--set", "thresholds=['ttft_s.p95 <= 1', 'decode_tok_per_s >= 40']"),
        ),
    ),
    "concurrency": Example(
        serve=("--profile", "gpu-80gb", "--num-parallel", "4"),
        run=("concurrency", "-m", "llama3.1:8b", "-m", "qwen3:32b"),
    ),
    "real-tokens": Example(serve=(), run=("--engine", "llama.cpp")),
    "upgrade": Example(
        serve=("--profile", "gpu-12gb"),
        run=("quickstart", "-m", "llama3.1:8b", "--set", "options.num_predict=64"),
    ),
}
SLOWER = 1.08
"""How much longer a step takes on side b of the comparison."""


def make(name: str) -> None:
    """Run one example and keep its page."""
    example = EXAMPLES[name]
    with tempfile.TemporaryDirectory() as folder:
        page = "report.html"
        if name == "upgrade":
            page = "comparison.html"
            slower = slowed(Path(folder), example.serve[1])
            with served(example.serve) as a, served(("--profile", str(slower))) as b:
                sides = ("--a", f"host={a}", "--b", f"host={b}", "--allow", "server")
                run_dir = bench("ab", *example.run, *sides, "-o", folder, "--no-history")
        elif not example.serve:
            run_dir = bench("demo", *example.run, "-o", folder)
        else:
            with served(example.serve) as host:
                run_dir = bench("run", *example.run, "--host", host, "-o", folder, "--no-history")
        shutil.copy(run_dir / page, HERE / f"{name}.html")
    print(HERE / f"{name}.html")


def slowed(folder: Path, profile: str) -> Path:
    """The same machine, with longer steps."""
    document = YAML().load(PROFILES / f"{profile}.yaml")
    document["models"][0]["step_ms"] *= SLOWER
    path = folder / "slower.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(document, file)
    return path


def bench(*arguments: str) -> Path:
    """Run the command line; the last line it prints is the run directory."""
    command = [*BENCH, *arguments]
    print(" ".join(command[1:]), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    # A threshold that is not met is exit code 1: the example shows it.
    if done.returncode not in (0, 1) or not done.stdout.strip():
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return Path(done.stdout.strip().splitlines()[-1])


@contextmanager
def served(arguments: Sequence[str]) -> Iterator[str]:
    """The embedded server on a free port, while the block runs; gives its address."""
    command = [*BENCH, "serve", "--port", "0", *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        addresses = (re.search(r"http://\S+", line) for line in server.stdout)
        found = next(a for a in addresses if a)
        yield found.group()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    for wanted in sys.argv[1:] or EXAMPLES:
        make(wanted)
