"""`ollama-bench report`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from runs import CHAT, CONCURRENCY, Workload, write_run

from bench.cli.pages import PAGE_FORMATS
from bench.cli.report import command
from bench.errors import BenchError, ResultsError, UsageError
from bench.report.formats import RENDERERS
from bench.results.run import RunStatus


def run(*arguments: object) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def fails(kind: type[BenchError], match: str, *arguments: object) -> None:
    with pytest.raises(kind, match=match):
        CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.slow
def test_html_goes_into_the_run_directory(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    assert run(run_dir) == f"{run_dir / 'report.html'}\n"
    assert (run_dir / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_other_formats_go_to_stdout_or_a_file(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    assert json.loads(run(run_dir, "--format", "json"))["name"] == "chat"
    target = tmp_path / "issue.md"
    assert run(run_dir, "--format", "markdown", "-o", target) == f"{target}\n"
    assert target.read_text().startswith("### chat")
    assert run(run_dir, "-o", "-").startswith("<!doctype html>")


@pytest.mark.slow
def test_several_runs_join(tmp_path: Path) -> None:
    dirs = [write_run(tmp_path, w) for w in (CHAT, Workload(name="smoke", requests=6))]
    target = tmp_path / "page.html"
    run(*dirs, "-o", target)
    assert "chat + smoke" in target.read_text()


def test_incomplete_run_is_rendered_and_labelled(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6, status=RunStatus.INTERRUPTED))
    assert "incomplete: interrupted" in run(run_dir, "--format", "markdown")


def test_torn_journal_is_rendered(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6, status=RunStatus.RUNNING))
    journal = run_dir / "requests.jsonl"
    journal.write_bytes(journal.read_bytes()[:-200])
    assert "incomplete" in run(run_dir, "--format", "markdown")


@pytest.mark.slow
def test_charts_as_files(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    run(run_dir, "--format", "json", "--charts", tmp_path / "charts")
    names = {p.name for p in (tmp_path / "charts").iterdir()}
    assert {"speed.svg", "speed.png", "timeline.svg", "timeline.png"} <= names


@pytest.mark.slow
def test_own_template_replaces_the_shipped_one(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    own = tmp_path / "own"
    own.mkdir()
    (own / "report.html.j2").write_text("<title>{{ page.title }}</title> of Acme {{ 1 < 2 }}")
    assert run(run_dir, "--template", own, "-o", "-") == "<title>chat</title> of Acme True"


@pytest.mark.slow
def test_own_style_alone_is_enough_and_is_allowed_by_the_policy(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    own = tmp_path / "own"
    own.mkdir()
    (own / "report.css").write_text("body { color: rebeccapurple }")
    page = run(run_dir, "--template", own, "-o", "-")
    assert "<style>body { color: rebeccapurple }</style>" in page
    assert "<h1>chat</h1>" in page


@pytest.mark.slow
def test_broken_template_is_one_clear_error(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    own = tmp_path / "own"
    own.mkdir()
    (own / "report.html.j2").write_text("line one\n{{ page.nonsense }}")
    fails(UsageError, r"report\.html\.j2", run_dir, "--template", own)
    (own / "report.html.j2").write_text("{% if %}")
    fails(UsageError, r"report\.html\.j2.*line 1", run_dir, "--template", own)


@pytest.mark.slow
def test_bad_input_is_one_clear_error(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=6))
    fails(ResultsError, "does not exist", tmp_path / "nowhere")
    fails(ResultsError, "not a run directory", tmp_path)
    fails(UsageError, "no template in this folder", run_dir, "--template", tmp_path)
    (tmp_path / "extra.css").write_text("")
    fails(UsageError, "for --format html only", run_dir, "--template", tmp_path, "--format", "csv")
    fails(ResultsError, "cannot write", run_dir, "-o", tmp_path / "nowhere" / "x.html")
    (tmp_path / "file").write_text("")
    fails(ResultsError, "cannot write charts", run_dir, "--charts", tmp_path / "file")


def test_command_offers_every_format_of_a_report() -> None:
    assert set(PAGE_FORMATS) == set(RENDERERS)


@pytest.mark.slow
def test_concurrency_to_every_format(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, CONCURRENCY)
    for name in PAGE_FORMATS:
        assert len(run(run_dir, "--format", name, "-o", "-")) > 1000
