"""The demo: which engine it takes, and what it leaves behind."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import bench.commands.demo
from bench.cli import cli
from bench.commands.demo import choose_engine, demo_plan, demo_server
from bench.commands.run import run_plan
from bench.errors import EngineError
from bench.load.session import Settings
from bench.server.llamacpp import engine as llamacpp_engine

SHORT = (
    "load.closed.users=[1, 4]",
    "load.closed.requests=6",
    "load.closed.duration=60s",
    "blocks=1",
)
PIP = 'pip install "ollama-bench[demo]"'


@pytest.fixture
def not_installed(monkeypatch):
    """A Python without the packages of the extra."""
    monkeypatch.setattr(llamacpp_engine, "installed", lambda: False)
    monkeypatch.setattr("bench.server.llamacpp.engine.installed", lambda: False)


@pytest.fixture
def fast_profile(monkeypatch):
    """The simulated engine with the profile made for tests: milliseconds per token."""
    monkeypatch.setattr(bench.commands.demo, "_PROFILE", "test")
    monkeypatch.setattr(bench.commands.demo, "_SIMULATED_MODEL", "sim-small")


def short_demo(engine, folder):
    settings = Settings(output=folder)
    with demo_server(engine) as server:
        return run_plan(demo_plan(engine, server, settings, SHORT), settings=settings)


def test_real_tokens_are_taken_if_they_can_be_had():
    assert choose_engine().name == "llama.cpp"
    assert choose_engine("llama.cpp").name == "llama.cpp"
    assert choose_engine("simulated").name == "simulated"


def test_without_the_extra_the_numbers_are_invented_and_that_is_said(not_installed):
    engine = choose_engine()
    assert engine.name == "simulated"
    assert "SIMULATED: the numbers are invented" in engine.notice
    assert PIP in engine.notice


def test_llama_cpp_that_is_asked_for_and_missing(not_installed):
    with pytest.raises(EngineError, match=r"the llama\.cpp engine is not installed") as caught:
        choose_engine("llama.cpp")
    assert PIP in caught.value.advice


def test_a_simulated_demo_is_marked_as_such_everywhere(fast_profile, tmp_path):
    run = short_demo(choose_engine("simulated"), tmp_path)
    assert run.summary.simulated
    assert [case.axes["users"] for case in run.summary.cases] == ["1", "4"]
    assert all(case.requests.ok == 6 for case in run.summary.cases)
    assert all(case.simulated for case in run.summary.cases)
    assert run.info.simulated
    page = run.report.read_text(encoding="utf-8")
    assert "SIMULATED: the numbers are invented" in page
    assert "ollama-bench[demo]" in page


@pytest.mark.real_engine
def test_a_demo_with_real_tokens_names_the_engine(tmp_path):
    run = short_demo(choose_engine("llama.cpp"), tmp_path)
    assert not run.summary.simulated
    alone, four = run.summary.cases
    assert alone.identity.engine.startswith("llama.cpp")
    assert alone.identity.model == "smollm2:135m"
    assert alone.identity.served_context == 1024
    assert alone.requests.by_done_reason == {"length": 6}
    assert four.identity.slots_observed == 2
    page = run.report.read_text(encoding="utf-8")
    assert "SmolLM2-135M" in page
    assert "xllamacpp" in page


def test_the_command_prints_where_the_run_is(fast_profile, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    arguments = ["demo", "--engine", "simulated", "-o", str(tmp_path), "--open"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code in (0, 5)  # 5: this machine was too busy for trustworthy numbers
    (folder,) = tmp_path.iterdir()
    assert result.stdout.splitlines()[-1] == str(folder)
    assert "SIMULATED" in result.stderr
    assert opened == [(folder / "report.html").as_uri()]
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert [case["requests"]["ok"] for case in summary["cases"]] == [42, 42, 42]


def test_json_is_alone_on_stdout(fast_profile, tmp_path):
    arguments = ["demo", "--engine", "simulated", "-o", str(tmp_path), "--json", "-q"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert json.loads(result.stdout)["simulated"]
    assert result.stderr == ""


def test_an_engine_that_does_not_exist():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "demo", "--engine", "vllm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'auto', 'llama.cpp', 'simulated'" in done.stderr
