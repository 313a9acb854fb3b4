"""Files as disks, editors, copies and other programs damage them, and what must then hold.

Whatever a file holds, a command that reads it ends soon, with its result or with one message
(`BenchError`); it never ends in a traceback.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from bench.cli import cli
from bench.errors import BenchError

CASE_S = 20.0
"""What takes longer than this, or never ends, is a hang."""

_OTHERS = 6
"""So many times longer a case may take on a machine that other programs share."""

Damage = Callable[[random.Random, bytes], bytes]

ODD_VALUES = (
    *("-1", "0", "1", "-0.5", "1e308", "1e400", "-1e400", "9223372036854775807", "2" + "0" * 18),
    *("9223372036854775808", "-9223372036854775809", "9" * 400, "9" * 5000, "NaN", "Infinity"),
    *("null", "true", "false", '""', '"x"', "[]", "{}", "[null]", '{"a": 1}', "[[[]]]", "[-1]"),
    *('"\\ud83d"', '"\\u0000"', '"\\u001b[31m"', '"' + "y" * 5000 + '"', "[" * 200 + "]" * 200),
    *("[" * 100_000, '{"a":' * 50_000, '"../../../etc/passwd"', '"1970-01-01"', "1.5", '"5"'),
)
"""What may stand where another value stood."""


def flip(rng: random.Random, data: bytes) -> bytes:
    """A few bytes are others."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def zeros(rng: random.Random, data: bytes) -> bytes:
    """A crash left zeros where blocks of the disk were not written."""
    at = rng.randrange(len(data))
    length = rng.choice((16, 512, 4096))
    return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]


def hole(rng: random.Random, data: bytes) -> bytes:
    """A piece is missing in the middle."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 200) :]


def double(rng: random.Random, data: bytes) -> bytes:
    """A piece is there twice."""
    at = rng.randrange(len(data))
    end = at + rng.randrange(1, 400)
    return data[:end] + data[at:end] + data[end:]


def shuffle(rng: random.Random, data: bytes) -> bytes:
    """Lines are in another order."""
    lines = data.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def encoding(rng: random.Random, data: bytes) -> bytes:
    """Another program stored it in its own encoding, or with a mark in front."""
    text = data.decode(errors="replace")
    return rng.choice(
        (
            lambda: text.encode("utf-16"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: text.replace("e", "é").encode("latin-1", "replace"),
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: data.replace(b"\n", b"\r"),
        )
    )()


def insert(rng: random.Random, data: bytes) -> bytes:
    """Something else got in between."""
    at = rng.randrange(len(data) + 1)
    odd = rng.choice(
        (b"\xff\xfe", b"\x00", b"\xed\xa0\x80", b"\x1b[2J", b"[" * 5000, b'"', b"\n\n")
    )
    return data[:at] + odd + data[at:]


def other_file(rng: random.Random, data: bytes) -> bytes:
    """It is some other file."""
    return rng.choice(
        (b"", b"\n", b"{}", b"[]", b"null", b'"x"', b"[" * 100_000, b"\x7fELF" + bytes(500), *_BIG)
    )


_BIG = (b"a" * 3_000_000, b"[1," * 100_000, b"- [" * 3000, b"a: &a [*a, *a]\n", b"{" * 50_000)

_VALUE = re.compile(
    rb'-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|"(?:[^"\\]|\\.)*"(?!\s*:)|true|false|null|\[\]|\{\}'
)


def value(rng: random.Random, data: bytes) -> bytes:
    """One value, or a few, are others: the shape of the file stays."""
    found = list(_VALUE.finditer(data))
    for match in sorted(
        rng.sample(found, min(len(found), rng.choice((1, 1, 1, 4)))),
        reverse=True,
        key=lambda m: m.start(),
    ):
        odd = rng.choice(ODD_VALUES).encode()
        data = data[: match.start()] + odd + data[match.end() :]
    return data


def structure(rng: random.Random, data: bytes) -> bytes:
    """A key or an item is missing, doubled, or has the value of another one."""
    lines = data.splitlines(keepends=True) or [b""]
    number = rng.randrange(len(lines)) if data.count(b"\n{") else None
    try:
        content = json.loads(lines[number] if number is not None else data)
    except ValueError:
        return hole(rng, data)
    places = list(_places(content))
    if not places:
        return b"[]"
    where, key = rng.choice(places)
    other, other_key = rng.choice(places)
    change = rng.choice(("drop", "other", "rename"))
    if change == "drop":
        del where[key]
    elif change == "other":
        where[key] = json.loads(json.dumps(other[other_key]))
    elif isinstance(where, dict):
        where[f"{key}x"] = where.pop(key)
    else:
        where.insert(key, where[key])
    text = json.dumps(content).encode()
    return (
        b"".join([*lines[:number], text + b"\n", *lines[number + 1 :]])
        if number is not None
        else text
    )


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, below in pairs if isinstance(content, dict | list) else ():
        yield content, key
        if isinstance(below, dict | list):
            yield from _places(below)


DAMAGES: dict[str, Damage] = {
    f.__name__: f
    for f in (
        *(flip, cut, zeros, hole, double, shuffle, encoding, insert, other_file),
        *(value, value, structure, structure),
    )
}
_WEIGHTS = {"value": 4, "structure": 4}


def damaged(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """One damaged copy, and what was done to it."""
    names = list(DAMAGES)
    name = rng.choices(names, [_WEIGHTS.get(n, 1) for n in names])[0]
    return name, DAMAGES[name](rng, data) if data else data


def damage_history(rng: random.Random, path: Path) -> str:
    """Changes a history in place: a value in a row, or the file."""
    if rng.random() < 0.35:
        name, data = damaged(rng, path.read_bytes())
        path.write_bytes(data)
        return name
    db = sqlite3.connect(path)
    table = rng.choice(("runs", "cases", "cases", "tags"))
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    column = rng.choice(columns)
    odd: Any = rng.choice(
        (
            *(None, 5, -1, 1.5, 2**62, "", "x", "a\x1b[31m", b"\xff\xfe", b"{", b"[" * 100_000),
            *(b'{"ttft_s.p50": [1e400]}', b'{"ttft_s.p50": 5}', b'{"ttft_s.p50": ["a"]}'),
            *(b'{"ttft_s.p50": [-1, null, 1e308]}', b'{"x": [1,2,3]}', b"{}", "y" * 100_000),
        )
    )
    value = "CAST(x'ff41fe' AS TEXT)" if rng.random() < 0.1 else "?"
    where = " WHERE rowid = 1" if rng.random() < 0.7 else ""
    db.execute("PRAGMA ignore_check_constraints = 1")
    try:
        db.execute(f"UPDATE {table} SET {column} = {value}{where}", (odd,) if value == "?" else ())
        db.commit()
    except sqlite3.DatabaseError:
        pass
    db.close()
    return f"{table}.{column}"


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


def call(*arguments: str | Path) -> tuple[int, str]:
    """A command of the program, in this process; what it must not raise, it raises here."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    if result.exception is None:
        return int(result.return_value or 0), result.output
    if isinstance(result.exception, BenchError | click.ClickException):
        return 1, result.output
    if isinstance(result.exception, SystemExit):
        return int(result.exception.code or 0), result.output
    raise result.exception


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


def write_scenario(folder: Path, prompts: str = "", trace: str = "") -> None:
    """A scenario that reads these files."""
    text = "name: s\nthresholds: ['error_rate <= 1%']\noptions: {num_ctx: 16384}\n"
    text += f"prompts: {{file: {prompts}}}\n" if prompts else ""
    if trace:
        text += f"load: {{open: {{arrivals: {{trace: {{file: {trace}}}}}}}}}\nblocks: 1\n"
    (folder / "s.yaml").write_text(text)


def made_whole(folder: Path, write_run: Callable[[Path, int], Path]) -> Path:
    """A folder with one of each file, all as they should be.

    Args:
        folder: an empty one.
        write_run: makes a run directory below a folder, with a seed.
    """
    for number, name in enumerate(("run", "run2")):
        made = write_run(folder, number)
        call("report", made, "-o", folder / "out")
        call("history", "rebuild", folder, "--history", folder / "h.sqlite")
        made.rename(folder / name)
    write_summary(folder / "run")
    (folder / "s.yaml").write_text(
        "name: s\ndescription: what it is for\ntags: [a, b]\nmodels: [m]\nendpoint: generate\n"
        "options: {num_ctx: 8192, num_predict: 50, stop: ['x']}\nkeep_alive: 5m\n"
        "prompts:\n  synthetic:\n    input_tokens: {lognormal: {median: 200, p95: 900}}\n"
        "    output_tokens: {uniform: {low: 5, high: 50}}\n"
        "matrix: {temperature: [0, 0.5]}\nload:\n  closed: {users: [1, 4], requests: 20, "
        "think_time: 1.5}\nwarmup: 1\nblocks: 3\nthresholds: ['ttft_s.p50 <= 2']\nseed: 5\n"
    )
    prompts = [f"Why is number {i} prime?" for i in range(20)]
    rows = [{"prompt": p, "system": "s", "output_tokens": 9} for p in prompts]
    (folder / "p.txt").write_text("\n".join(prompts) + "\n")
    (folder / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "p.csv").write_text(
        "prompt,system,output_tokens\n" + "".join(f'"{p}",s,9\n' for p in prompts)
    )
    times = [i * 0.37 for i in range(20)]
    (folder / "t.txt").write_text("".join(f"{t:.3f} # s\n" for t in times))
    (folder / "t.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "timestamp": round(t * 1e3),
                    "input_length": 600,
                    "output_length": 7,
                    "hash_ids": [1, 2],
                }
            )
            + "\n"
            for t in times
        )
    )
    (folder / "t.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        + "".join(f"2024-05-10 00:00:{t:09.6f}+00:00,99,7\n" for t in times)
    )
    return folder


def write_summary(run: Path) -> None:
    """The summary, as a run writes it at its end."""
    text = call("report", run, "--format", "json")[1]
    (run / "summary.json").write_text(text)


def peak_mib(*, children: bool = False) -> float:
    """Memory that this process has had at most, or any one that it or a child of it has ended."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
