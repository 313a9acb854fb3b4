"""Own templates and `--open` on every command that writes a page; who is told where it lies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from runs import Workload, write_run

from bench.analysis.capacity.result import Bottleneck, CapacityResult, SearchEnding
from bench.analysis.fidelity.result import FidelityResult
from bench.cli import cli
from bench.commands.comparing import compare
from bench.commands.run import FinishedRun
from bench.errors import UsageError
from bench.results.fidelity_files import Side

MARK = "body { color: rebeccapurple }"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def look(tmp_path: Path) -> Path:
    folder = tmp_path / "look"
    folder.mkdir()
    (folder / "extra.css").write_text(MARK)
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []
    monkeypatch.setattr("webbrowser.open", urls.append)
    return urls


@pytest.mark.slow
@pytest.mark.parametrize("command", ["report", "compare", "board", "trend"])
def test_pages_of_stored_runs(
    command: str, tmp_path: Path, look: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = (write_run(tmp_path / n, Workload(requests=6, seed=i)) for i, n in enumerate("ab"))
    page = tmp_path / "page.html"
    history = ("--history", tmp_path / "h.sqlite")
    words: dict[str, tuple[object, ...]] = {
        "report": ("report", old),
        "compare": ("compare", old, new, *history),
        "board": ("board", old, new),
        "trend": ("history", "trend", *history),
    }
    if command == "trend":
        call("history", "rebuild", tmp_path / "a", tmp_path / "b", *history)
    result = call(*words[command], "--format", "html", "-o", page, "--template", look, "--open")
    assert not isinstance(result.exception, UsageError), result.exception
    assert MARK in page.read_text(encoding="utf-8")
    assert opened == [page.as_uri()]
    last = result.stdout.splitlines()[-1]
    assert last == (f"Report: {page}" if command == "compare" else str(page))


@pytest.mark.slow
def test_what_if_opens_its_page(tmp_path: Path, look: Path, opened: list[str]) -> None:
    page = tmp_path / "page.html"
    asked = ("gpu-12gb", "--slo", "ttft_s.p95<=2", "--rate", 1, "--servers", 1)
    options = ("--format", "html", "-o", page, "--template", look)
    result = call("capacity", "what-if", *asked, *options, "--open")
    assert result.stdout == f"{page}\n"
    assert MARK in page.read_text(encoding="utf-8")
    assert opened == [page.as_uri()]
    call("capacity", "what-if", *asked, *options)
    assert len(opened) == 1


@pytest.mark.slow
def test_capacity_opens_its_page(
    tmp_path: Path, look: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = CapacityResult(
        "r", "m", "rate", (), SearchEnding.RANGE, 2.0, 2.5, 2.0, 3.0, "", Bottleneck.SLOTS, (),
        4, True, 4, 1.5, 600.0, 300.0, False,
    )  # fmt: skip
    info: Any = SimpleNamespace(id="r")
    run = FinishedRun(tmp_path, info, summary=info)
    found = SimpleNamespace(result=result, path=tmp_path, exit_code=0, run=run)
    monkeypatch.setattr("bench.commands.sizing.find_capacity", lambda *_, **__: found)
    asked = ("capacity", "search", "quickstart", "-m", "m", "--slo", "ttft_s.p95<=1")
    done = call(*asked, "--template", look, "--open", "--no-history")
    page = tmp_path / "capacity.html"
    assert done.stdout.splitlines()[-2:] == [f"Report: {page}", str(tmp_path)], done.output
    assert MARK in page.read_text(encoding="utf-8")
    assert opened == [page.as_uri()]
    assert f"Report: {page}" in call(*asked, "--format", "json").stderr
    assert len(opened) == 1


@pytest.mark.slow
def test_ab_opens_its_page(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (write_run(tmp_path / n, Workload(requests=6, seed=i)) for i, n in enumerate("ab"))
    info: Any = SimpleNamespace(id="r")
    made = FinishedRun(new, info, summary=info), compare(old, new)[0]
    monkeypatch.setattr("bench.commands.comparing.ab", lambda *_, **__: made)
    asked = ("ab", "quickstart", "--a", "model=m", "--b", "model=n", "--no-history")
    page = new / "comparison.html"
    page.write_text("")
    done = call(*asked, "--open")
    assert done.stdout.splitlines()[-2:] == [f"Report: {page}", str(new)], done.output
    assert opened == [page.as_uri()]
    call(*asked, "--open", "--no-report")
    assert len(opened) == 1


@pytest.mark.slow
def test_fidelity_says_where_its_page_is(
    tmp_path: Path, look: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = tuple(Side(n, n, "http://x") for n in ("ref", "c1"))
    found = FidelityResult(1, "r", "", "i", False, sides, 0, {}, None, (), (), ())
    made = SimpleNamespace(result=found, path=tmp_path / "run")
    made.path.mkdir()
    monkeypatch.setattr("bench.commands.fidelity.fidelity", lambda *_, **__: made)
    monkeypatch.setattr("bench.results.fidelity_files.fidelity_alone", lambda _: True)
    result = call("fidelity", "ref", "c1", "--template", look, "--open")
    page = made.path / "fidelity.html"
    assert result.stdout.splitlines()[-2:] == [f"Report: {page}", str(made.path)]
    assert MARK in page.read_text(encoding="utf-8")
    assert opened == [page.as_uri()]
    assert call("fidelity", "ref", "c1", "-q").stdout.splitlines()[-1] == str(made.path)
    assert "Report:" not in call("fidelity", "ref", "c1", "-q").stdout


@pytest.mark.parametrize(
    "command",
    [("ab", "quickstart", "--a", "seed=1"), ("capacity", "quickstart", "--slo", "ttft_s.p95<=1"),
     ("fidelity", "m"), ("compare", "x"), ("board", "x"), ("history", "trend")],
)  # fmt: skip
def test_a_broken_template_is_found_before_anything_is_measured(
    command: tuple[str, ...], look: Path, tmp_path: Path
) -> None:
    (look / "report.html.j2").write_text("one\n{% if %}")
    error = call(*command, "--template", look).exception
    assert isinstance(error, UsageError)
    assert f"{look / 'report.html.j2'}, line 2" in str(error)
    error = call(*command, "--template", tmp_path).exception
    assert isinstance(error, UsageError)
    assert "no template in this folder" in str(error)
