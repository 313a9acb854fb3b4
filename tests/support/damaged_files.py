"""Files as disks, editors, copies and other programs damage them, and what must then hold.

Whatever a file holds, a command that reads it ends soon, with its result or with one message
(`BenchError`); it never ends in a traceback.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from byte_damage import damaged
from damaged_histories import damage_history
from whole_files import call, write_scenario

CASE_S = 20.0
"""What takes longer than this, or never ends, is a hang."""

_OTHERS = 6
"""So many times longer a case may take on a machine that other programs share."""


@dataclass
class Figures:
    """What was tried, and what did not hold."""

    tried: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    damages: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    @property
    def held(self) -> int:
        """Cases that ended soon, without a traceback."""
        return self.tried - len(self.failed)


class Hang(BaseException):
    """It took too long."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends what takes more of a core, or, for it may wait and do nothing, six times as long."""

    def ring(number: int, frame: object) -> None:
        raise Hang

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, ring)) for number in (signal.SIGALRM, signal.SIGPROF)]
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _OTHERS * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in before:
            signal.signal(number, handler)


@dataclass(frozen=True)
class Entrance:
    """One kind of file, and what reads it.

    Attributes:
        file: of the folder, relative.
        read: the commands that read it: each gets the folder.
    """

    name: str
    file: str
    read: tuple[Callable[[Path], tuple[int, str]], ...]


def _report(form: str) -> Callable[[Path], tuple[int, str]]:
    return lambda folder: call("report", folder / "run", "--format", form, "-o", folder / "out")


def _validate(folder: Path) -> tuple[int, str]:
    return call("scenarios", "validate", folder / "s.yaml")


def _dry(folder: Path) -> tuple[int, str]:
    return call("run", folder / "s.yaml", "-m", "m", "--dry-run", "--no-history")


def _compare(folder: Path) -> tuple[int, str]:
    return call("compare", folder / "run", folder / "run2", "--no-history", "--format", "markdown")


def _history(*arguments: str) -> Callable[[Path], tuple[int, str]]:
    return lambda folder: call("history", *arguments, "--history", folder / "h.sqlite")


def _with_history(folder: Path) -> tuple[int, str]:
    where = ("--history", folder / "h.sqlite", "--format", "markdown")
    return call("compare", folder / "run", folder / "run2", *where)


_RUN = (*map(_report, ("markdown", "csv", "json", "console")), _compare)

ENTRANCES = (
    Entrance("run.json", "run/run.json", _RUN),
    Entrance("run.json, report page", "run/run.json", (_report("html"),)),
    Entrance("journal", "run/requests.jsonl", _RUN),
    Entrance("journal, report page", "run/requests.jsonl", (_report("html"),)),
    Entrance("summary.json", "run/summary.json", (_compare,)),
    Entrance(
        "history",
        "h.sqlite",
        (
            _history("list"),
            _history("list", "--json"),
            _history("trend", "ttft_s.p50"),
            _history("show", "chat"),
            _history("tag", "chat", "new"),
            _with_history,
        ),
    ),
    Entrance("scenario", "s.yaml", (_validate, _dry)),
    *(Entrance(f"prompts {kind}", f"p.{kind}", (_dry,)) for kind in ("txt", "jsonl", "csv")),
    *(Entrance(f"trace {kind}", f"t.{kind}", (_dry,)) for kind in ("txt", "jsonl", "csv")),
)


def try_entrance(entrance: Entrance, whole: Path, scratch: Path, count: int, seed: int) -> Figures:
    """Damages a file so many times, and reads each.

    Args:
        entrance: the kind of file.
        whole: a folder with all files as they should be; see `made_whole`.
        scratch: a folder to work in.
        count: of damaged files.
        seed: of the damage.
    """
    figures = Figures()
    rng = random.Random(f"{entrance.name} {seed}")
    folder = scratch / "case"
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    kind = entrance.file.partition(".")[2]
    if entrance.name.startswith("prompts"):
        write_scenario(folder, prompts=f"p.{kind}")
    elif entrance.name.startswith("trace"):
        write_scenario(folder, trace=f"t.{kind}")
    good = folder / entrance.file
    original = good.read_bytes()
    for number in range(count):
        for left in folder.glob("h.sqlite-*"):
            left.unlink()
        good.write_bytes(original)
        if entrance.name == "history":
            done = damage_history(rng, good)
        else:
            done, data = damaged(rng, original)
            good.write_bytes(data)
            os.utime(good)
        read = entrance.read[number % len(entrance.read)]
        started = time.monotonic()
        try:
            with limited(CASE_S):
                code, _ = read(folder)
            figures.refused += code != 0
        except (Exception, Hang) as error:
            kept = scratch / f"failed-{entrance.name.replace(' ', '-')}-{number}"
            kept.write_bytes(good.read_bytes())
            place = _place(error)
            figures.failed.append(
                f"{done}, {type(error).__name__} {place}: {str(error)[:80]} ({kept})"
            )
        figures.tried += 1
        figures.damages[done] += 1
        took_s = time.monotonic() - started
        if took_s > CASE_S / 5:
            kept = scratch / f"slow-{entrance.name.replace(' ', '-')}-{seed}-{number}"
            kept.write_bytes(good.read_bytes())
        figures.slowest_s = max(figures.slowest_s, took_s)
    return figures


def _place(error: BaseException) -> str:
    import traceback

    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/bench/" in f.filename]
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def peak_mib(*, children: bool = False) -> float:
    """Memory that this process has had at most, or any one that it or a child of it has ended."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
