"""One of each file that the program reads, all as they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
from click.testing import CliRunner

from bench.cli import cli
from bench.errors import BenchError


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
