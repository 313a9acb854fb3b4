"""Sessions, batches and pictures in reports: what is drawn and said, from runs in virtual hands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import bench
from bench.analysis.comparison.verdict_rule import Verdict
from bench.analysis.run.summarise import summarise
from bench.commands.comparing import Judging, ab
from bench.commands.sides import ab_plan
from bench.load.session import Settings
from bench.report.charts import run_charts
from bench.report.charts.sessions import sessions_of
from bench.report.comparison.comparison_page import comparison_page
from bench.report.console import console_text
from bench.report.html import html
from bench.report.model import Report, build_report
from bench.report.page import Chart
from bench.report.run_page import run_page
from bench.results.directory import read_run
from bench.results.run import ClientHealth
from bench.server.embedded import start_server

AGENT = {
    "turns": 3,
    "tool_steps": 2,
    "shared_tokens": 300,
    "first_tokens": 200,
    "turn_tokens": 60,
    "tool_tokens": 80,
    "output_tokens": 8,
    "pause": 0,
    "tool_pause": 0,
    "titles": False,
    "subagents": {"chance": 0},
}
BASE = {
    "schema": 1,
    "name": "work",
    "options": {"num_ctx": 8192, "temperature": 0, "seed": 7, "num_predict": 8},
    "think": False,
    "warmup": 1,
}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents on one slot, after one alone; nothing is kept beside the slot."""
    load = {"closed": {"users": [1, 2], "requests": 24}}
    scenario = BASE | {"prompts": {"agent": AGENT}, "load": load, "blocks": 6}
    with start_server(ollama_version="0.33.3", cache_ram=0, num_parallel=1) as server:
        run = bench.run(
            scenario,
            models=["sim-small:latest"],
            hosts=[server.url],
            settings=Settings(output=tmp_path_factory.mktemp("runs")),
            report=False,
        )
        measured = [r for r in read_run(run.path).records if r.phase == "measure"]
        told = sum(r.server.prompt_eval_cached_count or 0 for r in measured)
        asked = sum(r.server.prompt_eval_count or 0 for r in measured)
        bodies = {r.body_sha256: r for r in server.truth if r.cached_tokens is not None}
        assert len(bodies) >= len(measured)
        assert told / asked < 0.9
    return run.path


def report_of(path: Path) -> Report:
    """The report of a run, as of a client that was never late.

    The client shares its process with the server here, whose answers of milliseconds it bends; the
    report says less of a run that is invalid.
    """
    run = read_run(path)
    on_time = tuple(replace(b, health=ClientHealth()) for b in run.info.blocks)
    run = replace(run, info=replace(run.info, blocks=on_time))
    return build_report([run], [summarise(run.info, run.records)])


def chart(report: Report, begins: str) -> Chart:
    (found,) = [c for c in run_charts(report) if c.id.startswith(begins)][-1:]
    return found


def test_a_lost_cache_is_drawn_dark_and_said(agents: Path) -> None:
    report = report_of(agents)
    alone, both = (sessions_of(report, c) for c in report.cases)
    assert not any(a.lost for s in alone for a in s.requests)
    later = [a for s in both for a in s.requests if a.history]
    assert sum(a.lost for a in later) > len(later) / 2
    grid = chart(report, "sessions-")
    assert "had to read more than half of their history again" in grid.message
    assert "read again (median of" in chart(report, "context-wait-").message
    assert "read" in chart(report, "session-line-").message
    assert "1 user" in chart(report, "cache-users").message
    page = run_page([r.run for r in report.runs], [r.summary for r in report.runs])
    said = " ".join(text for a in page.findings for text in a.texts)
    assert "loses its cache between 1 session at once and 2" in said
    assert "of what it has read of a session" in " ".join(
        text for a in page.answers for text in a.texts
    )
    assert "What each session had to read again" in html(page)


def test_single_questions_have_no_charts_of_sessions(tmp_path: Path) -> None:
    scenario = BASE | {
        "prompts": {"inline": ["Hello"]},
        "load": {"closed": {"users": [1], "requests": 3}},
        "blocks": 1,
    }
    with start_server() as server:
        run = bench.run(
            scenario,
            models=["sim-small:latest"],
            hosts=[server.url],
            settings=Settings(output=tmp_path),
            report=False,
        )
    ids = {c.id.split("-")[0] for c in run_charts(report_of(run.path))}
    assert not ids & {"sessions", "context", "session", "cache", "batches", "pictures"}


def test_pictures_are_drawn_over_their_sizes(tmp_path: Path) -> None:
    scenario = BASE | {
        "prompts": {"inline": ["What is it?"], "images": {"pixels": [256, 256]}},
        "matrix": {"pixels": [[256, 256], [512, 512]]},
        "load": {"closed": {"users": [1], "requests": 4}},
        "blocks": 3,
    }
    with start_server(ollama_version="0.33.3") as server:
        run = bench.run(
            scenario,
            models=["sim-vision:latest"],
            hosts=[server.url],
            settings=Settings(output=tmp_path),
            report=False,
        )
    drawn = chart(report_of(run.path), "pictures")
    assert drawn.table is not None
    assert "256x256" in drawn.message
    assert "512x512" in drawn.message


@pytest.mark.slow
def test_an_upgrade_that_lost_the_cache_is_worse_and_says_why(tmp_path: Path) -> None:
    scenario = BASE | {
        "models": ["sim-small:latest"],
        "prompts": {"agent": AGENT},
        "load": {"closed": {"users": 2, "requests": 10}},
    }
    version = "0.33.3"
    with (
        start_server(ollama_version=version, num_parallel=1) as old,
        start_server(ollama_version=version, num_parallel=1, cache_ram=0) as new,
    ):
        plan = ab_plan(scenario, [f"host={old.url}"], [f"host={new.url}"], pairs=6)
        judging = Judging(allow=frozenset({"invalid"}), primary=("user_turn_s.mean",))
        _, result = ab(plan, judging=judging, settings=Settings(output=tmp_path), report=False)
        read = [sum(r.cached_tokens or 0 for r in s.truth) for s in (old, new)]
    assert read[1] < 0.8 * read[0]
    assert result is not None
    assert result.verdict is Verdict.WORSE
    (gate,) = [m for c in result.cases for m in c.metrics if m.primary]
    assert gate.explained_by == ("eligible_cached_share",)
    assert "Why: side b took" in " ".join(console_text(comparison_page([result])).split())
