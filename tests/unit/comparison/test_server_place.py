"""Where a server is belongs to what a result is a result of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.analysis.comparison.compare_runs import Subject, compare_runs
from bench.analysis.comparison.history_entry import identity_key
from bench.analysis.comparison.metric_verdicts import Rules
from bench.analysis.comparison.setup_difference import CaseSide, Role
from bench.commands.sides import ab_plan
from bench.errors import NotComparable
from bench.scenario.plan import Target

FLAT = {"decode_tok_per_s": [50.0, 50.1, 49.9] * 2, "ttft_s.p50": [0.20, 0.201, 0.199] * 2}
RULES = Rules(primary=("decode_tok_per_s",))


def at(subject: Subject, url: str) -> Subject:
    """The same run, measured at another address."""
    plan = replace(subject.info.plan, targets=(Target("here", url),))
    return replace(subject, info=replace(subject.info, plan=plan))


@pytest.fixture
def key_at(case_of, run_of):
    run = run_of("run", case_of(FLAT))

    def key(url: str) -> str:
        moved = at(run, url)
        return identity_key(CaseSide(moved.info, moved.summary.cases[0]))

    return key


def test_two_boxes_measured_from_one_laptop_are_two(key_at):
    assert key_at("http://gpu-one:11434") != key_at("http://gpu-two:11434")
    assert key_at("http://gpu-one:11434") != key_at("http://127.0.0.1:11434")
    assert key_at("http://gpu-one:11434") != key_at("http://gpu-one:11435")


def test_a_tunnel_is_not_this_machine(key_at):
    assert key_at("http://localhost:11435") != key_at("http://localhost:11436")


def test_the_usual_place_keeps_its_identity(key_at):
    """Entries of earlier versions, and servers that are started for a run, stay one identity."""
    usual = key_at("http://127.0.0.1:11434")
    assert key_at("http://localhost:11434") == usual
    assert key_at("http://[::1]:11434") == usual
    assert key_at("") == usual


def test_two_boxes_are_not_compared_in_silence(case_of, run_of):
    one = at(run_of("old", case_of(FLAT)), "http://gpu-one:11434")
    other = at(run_of("new", case_of(FLAT)), "http://gpu-two:11434")
    with pytest.raises(NotComparable, match="server: gpu-one:11434 -> gpu-two:11434") as caught:
        compare_runs(one, other, RULES)
    assert "--allow server" in caught.value.advice
    allowed = compare_runs(one, other, replace(RULES, allow=frozenset({"server"})))
    assert {d.key: d.role for d in allowed.cases[0].differences}["server"] is Role.ALLOWED


def test_two_ports_of_one_machine_may_explain_a_change(case_of, run_of):
    one = at(run_of("old", case_of(FLAT)), "http://127.0.0.1:11434")
    other = at(run_of("new", case_of(FLAT)), "http://127.0.0.1:11435")
    found = {d.key: d.role for d in compare_runs(one, other, RULES).cases[0].differences}
    assert found["server"] is Role.EXPLAINS


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (["host=:11434"], ["host=:11435"], True),
        (["binary=/opt/old/ollama"], ["binary=/opt/new/ollama"], True),
        (["env.X=0"], ["env.X=1"], True),
        (["model=x"], ["model=y"], False),  # one server: the second would come from the cache
        (["host=localhost:11434"], ["host=127.0.0.1:11434"], False),
        (["options.top_k=1"], ["options.top_k=2"], False),
    ],
)
def test_a_pair_on_two_servers_sends_the_same_bytes(tmp_path, a, b, same):
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\nmodels: [m]\nprompts: [Say something]\n")
    plan = ab_plan(path, a, b, 3, models=["m"], hosts=[":1"] if same is False else ())
    for first, second in zip(plan.blocks[::2], plan.blocks[1::2], strict=True):
        assert (plan.nonce_block(first) == plan.nonce_block(second)) is same
    places = [plan.nonce_block(block) for block in plan.blocks]
    assert len(set(places)) == (3 if same else 6)
