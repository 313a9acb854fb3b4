"""Every way out of the program, with one text in every place that text from outside can come to."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner
from runs import FakeModel, Workload, build

from bench.cli import doctor, models
from bench.cli.history import command as history_command
from bench.cli.output import console, say
from bench.cli.planned import plan_text
from bench.cli.progress import PlainView
from bench.cli.screen import Screen
from bench.doctor.checkup import Finding, Status
from bench.errors import BenchError, Problem, ScenarioError
from bench.report.console import Terminal
from bench.report.formats import render
from bench.report.run_page import run_page
from bench.results.history import History, IndexedRun
from bench.results.run import RunInfo, RunWarning


def workload(*names: str) -> Workload:
    """A small run in which a text stands in every place that it can come to."""
    names = tuple(cleaned(name) for name in names)
    text = names[0]
    return Workload(
        name=text[:60],
        models=tuple(FakeModel(n, quantization=n, parameter_size=n) for n in names),
        requests=4,
        blocks=2,
        warmup=0,
        description=text,
        failures=0.4,
        error_text=text,
        version=text,
        warnings=(RunWarning("odd", f"{text} said `{text}`", text),),
        environment={"os": text, "cpu": {"model": text}, "gpus": [{"name": text, "driver": text}]},
    )


def cleaned(text: str) -> str:
    """A text as `run.json` can hold it: no half of a surrogate pair gets into a file."""
    return text.encode(errors="replace").decode()


def outputs_of(text: str, folder: Path) -> Iterator[tuple[str, str]]:
    """(what it is, what it says) of every output but pages.

    Args:
        text: in every place.
        folder: an empty one.
    """
    run, summary = build(workload(text))
    page = run_page([run], [summary])
    for form in ("console", "markdown", "csv", "json"):
        yield form, render(page, form)
    for name, error in (
        ("an error", BenchError(text, text)),
        ("a scenario's error", ScenarioError(text, [Problem(text, text, text)])),
        ("a line", text),
    ):
        out = io.StringIO()
        with contextlib.redirect_stderr(out):
            say(f"ollama-bench: {error}")
        yield name, out.getvalue()
    yield "a dry run and the plain view", _plain(run.info, text)
    yield "the live view", _live(text)
    yield "doctor and models", _tables(text)
    yield from _history(cleaned(text), folder / "history.sqlite")


@contextlib.contextmanager
def _both() -> Iterator[io.StringIO]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        yield out


def _plain(info: RunInfo, text: str) -> str:
    with _both() as out:
        say(plan_text(info.plan), err=False)
        view = PlainView()
        view.run_started(info)
        view.block_started(info.plan.blocks[0], info.plan.cases[0])
        view.warned(RunWarning("odd", text, text))
        view.block_ended(info.blocks[0])
    return out.getvalue()


def _live(text: str) -> str:
    out = io.StringIO()
    run, _ = build(workload(text))
    with _both():
        plain = PlainView()
        plain.run_started(run.info)
        plain.last_error = text
    screen = Screen(plain, Terminal(file=out, width=100, height=30, color_system=None))
    screen.say(text)
    screen._console.print(screen.draw())
    return out.getvalue()


def _tables(text: str) -> str:
    row = {
        "model": text, "parameters": text, "quantization": text, "size_bytes": 1, "cloud": False,
        "context_limit": 1, "capabilities": [text], "loaded": True, "served_context": 1,
        "gpu_share": 0.5, "digest": text,
    }  # fmt: skip
    with _both() as out:
        doctor._print([Finding(text, Status.BAD, text, text)], None, console())
        models._print([row])
    return out.getvalue()


def _history(text: str, path: Path) -> Iterator[tuple[str, str]]:
    path.unlink(missing_ok=True)
    entry = IndexedRun(text, path.parent / "gone", text, text, text, True, False, text, (text,))
    History(path).add(entry)
    for what in (["list"], ["list", "--json"], ["show", text], ["tag", text]):
        done = CliRunner().invoke(history_command, [*what, "--history", str(path)])
        if done.exception is None:
            yield f"history {what[0]}", done.output
