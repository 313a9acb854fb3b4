"""Every command of the README and of the documents, run in order in one folder, as a reader would.

A block marked `sh` is run line by line, one marked `python` as a program; a line
that ends in `# exit code N` must exit so, others with 0. A block marked `text` after it is what the
commands print: numbers, run names and lines with an ellipsis aside, its words must be printed here,
too, but for a few that depend on the numbers. A `yaml` block that begins with a comment that is a
file name is that file.

The server is the embedded one with the models that the pages name, sped up.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from bench.errors import ExitCode
from bench.resources import DOCS
from bench.server.embedded import start_server

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
ORDER = (
    "measure",
    "report",
    "scenarios",
    "models",
    "capacity",
    "compare",
    "history",
    "ci",
    "serve",
)
"""Topics in the order in which a reader would follow them: some use what others made."""
PAGES = (
    README,
    *(DOCS / f"{name}.md" for name in ORDER),
    *sorted(p for p in DOCS.glob("*.md") if p.stem not in ORDER),
    ROOT / "scenarios/README.md",
)
MACHINE = Path(__file__).with_name("desktop.yaml")
SPEED_UP = 3.0
TRIES = 3
LONGEST_S = 300
SHORTER = {
    "--budget 3m": "--budget 60s",
    "ollama-bench run concurrency": "ollama-bench run concurrency --set blocks=3",
}
"""Measurements that would take minutes here: the same commands, with less time or fewer blocks."""
MAY_DIFFER = 0.35
"""Share of the words shown that other numbers may leave out: whole sentences depend on them."""
INSTALLS = "python3 -m venv"
"""How the two commands begin that are run by `.ci/run` on a fresh clone instead."""

# `ollama serve` as far as a managed server is concerned.
BINARY = """#!{python}
import os, time
from bench.server.embedded import start_server
port = int(os.environ["OLLAMA_HOST"].rsplit(":", 1)[1])
with start_server(profile={profile!r}, port=port):
    time.sleep(600)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its mark, its text, and where it begins."""

    mark: str
    text: str
    page: str = ""
    line: int = 0


@dataclass(frozen=True)
class Step:
    """A block to act on, and the text that it is said to print."""

    block: Block
    printed: str


@dataclass(frozen=True)
class Place:
    folder: Path
    env: dict[str, str]


def read_blocks() -> list[Block]:
    return [
        Block(token.info.strip(), token.content, page.stem, token.map[0] + 1)
        for page in PAGES
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8"))
        if token.type == "fence" and token.map
    ]


def file_name(block: Block) -> str:
    """The file that the block's first line names; "" if it names none."""
    first = block.text.splitlines()[0]
    return first.removeprefix("# ") if re.fullmatch(r"# [\w./-]+\.\w+", first) else ""


def steps() -> list[Step]:
    blocks = read_blocks()
    followers = [*blocks[1:], Block("", "")]
    return [
        Step(block, follower.text if (follower.mark, follower.page) == ("text", block.page) else "")
        for block, follower in zip(blocks, followers, strict=True)
        if block.mark in {"sh", "python"} or (block.mark == "yaml" and file_name(block))
        if not block.text.startswith(INSTALLS)
    ]


def commands(block: Block) -> list[tuple[str, int]]:
    """Its commands, each with the exit code that it should have."""
    lines = block.text.replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.strip() and not line.startswith("#")]
    codes = [re.search(r"# exit code (\d+)", line) for line in found]
    return [(line, int(c[1]) if c else 0) for line, c in zip(found, codes, strict=True)]


def words(text: str) -> set[str]:
    """Words of three letters or more; those with digits in them are numbers and names."""
    lines = [line for line in text.splitlines() if "…" not in line]
    return {
        w for w in re.findall(r"[\w:./-]+", "\n".join(lines)) if re.fullmatch(r"[A-Za-z]{3,}", w)
    }


def write_profile(path: Path, speed: float) -> Path:
    """The README's machine, so many times faster and with shorter answers."""
    yaml = YAML(typ="safe")
    profile = yaml.load(MACHINE)
    for model in profile["models"]:
        for key in model:
            if key.startswith(("step_ms", "sample_ms", "cold_load", "warm_load")):
                model[key] /= speed
        model["prefill_tok_per_s"] *= speed
        model["output_tokens"] = {"median": 22, "p95": 36}
    with path.open("w") as file:
        yaml.dump(profile, file)
    return path


def write_binary(path: Path, profile: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(BINARY.format(python=sys.executable, profile=str(profile)))
    path.chmod(0o755)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("reader")
    machines = tmp_path_factory.mktemp("machines")
    fast = write_profile(machines / "fast.yaml", SPEED_UP)
    slow = write_profile(machines / "slow.yaml", SPEED_UP * 0.8)
    for where in (folder, folder / README.stem):
        write_binary(where / "old/bin/ollama", fast)
        write_binary(where / "new/bin/ollama", slow)
    with start_server(profile=fast) as server:
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OLLAMA_HOST": server.url,
            "OLLAMA_BENCH_HISTORY": str(folder / "history.db"),
            "COLUMNS": "100",
        }
        yield Place(folder, env)


def serve(command: str, place: Place) -> tuple[str, int]:
    """What a server prints until it listens, and how it ends on Ctrl-C."""
    lines = []
    with subprocess.Popen(
        shlex.split(command, comments=True),
        cwd=place.folder,
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                process.send_signal(signal.SIGINT)
        return "".join(lines), process.wait(30)


def run(command: str, place: Place) -> tuple[str, int]:
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    if command.startswith(("ollama-bench serve", "ollama-bench record")):
        return serve(command, place)
    return run_quietly(["bash", "-c", command], place)


def run_valid(command: str, place: Place) -> tuple[str, int]:
    """Runs a command; again, as a reader would, where a busy machine spoilt the measurement."""
    return valid(lambda: run(command, place), place)


def valid(act: Callable[[], tuple[str, int]], place: Place) -> tuple[str, int]:
    runs = place.folder / "runs"
    for _ in range(TRIES):
        before = set(runs.glob("*"))
        printed, code = act()
        if code != ExitCode.INVALID and "MeasurementInvalid" not in printed:
            break
        for spoilt in set(runs.glob("*")) - before:
            shutil.rmtree(spoilt)
    return printed, code


def run_quietly(arguments: list[str], place: Place) -> tuple[str, int]:
    done = subprocess.run(
        arguments,
        cwd=place.folder,
        env=place.env,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    return done.stdout + done.stderr, done.returncode


def act(step: Step, place: Place) -> str:
    """Do what a block says; what was printed."""
    block = step.block
    if block.page == README.stem:  # its reader has not read the documents, nor they it
        place = replace(place, folder=place.folder / README.stem)
    if block.mark == "yaml":
        path = place.folder / file_name(block)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return ""
    if block.mark == "python":
        program = [sys.executable, "-c", block.text]
        printed, code = valid(lambda: run_quietly(program, place), place)
        assert code == 0, printed
        return printed
    all_printed = ""
    for command, expected in commands(block):
        printed, code = run_valid(command, place)
        assert code == expected, f"{command}\nexit code {code}, not {expected}\n{printed}"
        all_printed += printed
    return all_printed


def name_of(step: Step) -> str:
    first = file_name(step.block) or step.block.text.splitlines()[0]
    return f"{step.block.page}-{step.block.line}-{first[:50].strip()}"


@pytest.mark.parametrize("step", steps(), ids=name_of)
def test_what_the_pages_say_happens(step: Step, place: Place) -> None:
    printed = act(step, place)
    shown = words(step.printed)
    missing = shown - words(printed)
    share = len(missing) / max(1, len(shown))
    assert share <= MAY_DIFFER, f"the README shows {sorted(missing)}, not printed:\n{printed}"


def would_run(command: str, place: Place) -> None:
    """Without measuring: everything it says is understood, and there is what it needs."""
    (place.folder / "support.yaml").write_text(file_of("support.yaml"))
    words = shlex.split(command)
    assert Path(words[0]).name == "ollama-bench"
    printed, code = run_quietly(["ollama-bench", *words[1:], "--dry-run"], place)
    assert code == 0, printed


def file_of(name: str) -> str:
    """What the README says a file should be."""
    return next(block.text for block in read_blocks() if file_name(block) == name)


def test_the_workflow_would_run(place: Place) -> None:
    workflow = YAML(typ="safe").load(file_of(".github/workflows/ollama-bench.yml"))
    assert {"name", "jobs"} <= workflow.keys()
    steps_of_jobs = [s for job in workflow["jobs"].values() for s in job["steps"]]
    lines = [line for s in steps_of_jobs for line in s.get("run", "").splitlines()]
    assert lines
    for line in lines:
        would_run(line, place)


def test_the_timer_would_run(place: Place) -> None:
    service, timer = (as_unit(block.text) for block in read_blocks() if block.mark == "ini")
    would_run(service["Service"]["ExecStart"], place)
    assert timer["Timer"]["OnCalendar"]


def as_unit(text: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None)
    unit.read_string(text)
    return unit


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, heading = target.partition("#")
        if target.startswith("http"):
            continue
        found = page.parent / file if file else page
        assert found.exists(), target
        assert not heading or heading in headings(found), target


def headings(page: Path) -> set[str]:
    return {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    }


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 220
