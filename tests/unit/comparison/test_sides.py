"""What may be set on the sides of `ab`, and the plan that follows."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.commands.sides import ab_plan, parse_side, pilot_plan
from bench.errors import ScenarioError, UsageError
from bench.results.directory import RunDirectory, read_info
from bench.results.run import ClockInfo, RunInfo, RunStatus


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\nmodels: [m]\nprompts: [Say something]\n")
    return path


def test_parse():
    side = parse_side("a", ["model=x:3b", "options.num_ctx=8192", "think = true"])
    assert side.models == ("x:3b",)
    assert side.overrides == ("options.num_ctx=8192", "think=true")
    assert not side.managed
    started = parse_side("b", ["binary=/opt/ollama", "env.OLLAMA_NUM_PARALLEL=4"])
    assert (started.binary, started.env) == ("/opt/ollama", {"OLLAMA_NUM_PARALLEL": "4"})


@pytest.mark.parametrize("text", ["model", "model=", "=x"])
def test_what_is_no_setting(text):
    with pytest.raises(UsageError, match="write KEY=VALUE"):
        parse_side("a", [text])


def test_a_host_is_not_started():
    with pytest.raises(UsageError, match="sets both a host and a server to start"):
        parse_side("a", ["host=:1", "env.X=1"])


def test_pairs_alternate_and_share_seeds(scenario):
    plan = ab_plan(scenario, ["model=x"], ["model=y"], 6, hosts=["http://127.0.0.1:1"])
    order = "".join(b.side for b in plan.blocks)
    assert order in ("abba" * 3, "baab" * 3)
    for first, second in zip(plan.blocks[::2], plan.blocks[1::2], strict=True):
        assert first.pair == second.pair and first.seed == second.seed
        assert (first.position, second.position) == (0, 1)
    assert {plan.case(b.case).model for b in plan.blocks if b.side == "a"} == {"x"}


def test_hosts_options_and_think_can_differ(scenario):
    for a, b in (
        (["host=:11434"], ["host=:11435"]),
        (["options.num_ctx=1024"], ["options.num_ctx=2048"]),
        (["think=true"], ["think=false"]),
    ):
        plan = ab_plan(scenario, a, b, 6, hosts=() if "host" in a[0] else [":1"])
        one, other = plan.cases
        assert (
            one.target != other.target or one.options != other.options or (one.think != other.think)
        )


def test_a_started_side_starts_the_other_too(scenario):
    plan = ab_plan(scenario, [], ["env.OLLAMA_FLASH_ATTENTION=1"], 6)
    assert [t.command for t in plan.targets] == [("ollama", "serve")] * 2
    assert [t.env for t in plan.targets] == [{}, {"OLLAMA_FLASH_ATTENTION": "1"}]
    assert len({t.name for t in plan.targets}) == 2


def test_sides_that_do_not_differ(scenario):
    with pytest.raises(UsageError, match="nothing says how the two sides differ"):
        ab_plan(scenario, [], [], 6)


def test_equal_sides_are_an_a_a(scenario):
    given = ab_plan(scenario, ["model=x"], ["model=x"], 6, hosts=[":1"])
    pilot = pilot_plan(scenario, 6, models=["x"], hosts=[":1"])
    for plan in (given, pilot):
        one, other = plan.cases
        assert (one.model, one.target, one.options) == (other.model, other.target, other.options)
        assert len(plan.targets) == 1
        assert {b.side for b in plan.blocks} == {"a", "b"}


def test_a_wrong_key_is_named(scenario):
    with pytest.raises(ScenarioError, match=r"options\.num_ctxx"):
        ab_plan(scenario, ["options.num_ctxx=1"], ["options.num_ctx=2"], 6, hosts=[":1"])


def test_a_secret_goes_to_its_server_and_into_no_file(scenario, tmp_path):
    b = ["env.MY_API_KEY=hush", "env.OLLAMA_NUM_PARALLEL=4"]
    plan = ab_plan(scenario, ["binary=/opt/ollama"], b, 6)
    started = next(t for t in plan.targets if t.env)
    assert started.env["MY_API_KEY"] == "hush"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    directory = RunDirectory.create(tmp_path, plan.name, now)
    clock = ClockInfo(0, now.isoformat())
    directory.write_info(RunInfo("r", RunStatus.RUNNING, "1", now.isoformat(), clock, plan))
    written = (directory.path / "run.json").read_text()
    assert "hush" not in written
    assert "OLLAMA_NUM_PARALLEL=4" in written
    (kept,) = [t for t in read_info(directory.path).plan.targets if t.env]
    assert kept.env == {"MY_API_KEY": "(hidden)", "OLLAMA_NUM_PARALLEL": "4"}
