from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ScenarioError, UsageError
from bench.scenario.document import Document
from bench.scenario.estimate import Range, Speeds, duration_text, estimate
from bench.scenario.expand import build_ab_plan, build_plan
from bench.scenario.loading import load_scenario, resolve
from bench.scenario.order import LOAD_TIME
from bench.scenario.plan import Plan
from bench.scenario.schema import Scenario


def _scenario(data: dict[str, Any], *overrides: str) -> Scenario:
    return resolve(Document("test", data), overrides, source="test", directory=Path())


def _plan(data: dict[str, Any], **more: Any) -> Plan:
    return build_plan(_scenario(data), **{"models": ["m"], "salt": 3} | more)


SWEEP = {
    "models": ["a", "b"],
    "matrix": {"num_ctx": [1024, 2048], "think": [True, False]},
    "load": {"closed": {"users": [1, 4], "requests": 8}},
    "blocks": 3,
}


# --- cases


def test_cases_are_models_times_matrix_times_load() -> None:
    plan = _plan(SWEEP, models=())
    assert len(plan.cases) == 2 * 2 * 2 * 2
    assert len({case.id for case in plan.cases}) == 16
    first = plan.cases[0]
    assert first.id == "a, num_ctx=1024, think=true, users=1"
    assert first.axes == {
        "model": "a",
        "target": "127.0.0.1:11434",
        "num_ctx": "1024",
        "think": "true",
        "users": "1",
    }
    assert (first.options["num_ctx"], first.think, first.load.users) == (1024, True, 1)


def test_ids_stay_when_the_scenario_grows() -> None:
    ids = {case.id for case in _plan(SWEEP, models=()).cases}
    more = SWEEP | {"load": {"closed": {"users": [1, 2, 4], "requests": 8}}, "models": ["a"]}
    assert {c.id for c in _plan(more, models=["a", "b", "c"]).cases} > ids


def test_several_targets_stand_in_the_ids() -> None:
    plan = _plan({"targets": ["old:1", {"name": "new", "url": "http://box"}]})
    assert [case.id for case in plan.cases] == [
        "m, target=old:1, users=1",
        "m, target=new, users=1",
    ]
    assert [t.url for t in plan.targets] == ["http://old:1", "http://box:80"]


def test_a_managed_target_keeps_its_command() -> None:
    target = {"name": "mine", "command": ["ollama", "serve"], "env": {"OLLAMA_NUM_PARALLEL": "4"}}
    (made,) = _plan({"targets": [target]}).targets
    assert (made.command, made.env, made.url) == (
        ("ollama", "serve"),
        {"OLLAMA_NUM_PARALLEL": "4"},
        "",
    )


@pytest.mark.parametrize(
    ("key", "values", "read"),
    [
        ("users", [1, 3], lambda c: c.load.users),
        ("temperature", [0, 0.5], lambda c: c.options["temperature"]),
        ("options.top_k", [1, 40], lambda c: c.options["top_k"]),
        ("endpoint", ["chat", "generate"], lambda c: c.endpoint),
        ("stream", [True, False], lambda c: c.stream),
        ("cache", ["bust", "warm"], lambda c: c.prompts.cache),
        ("language", ["en", "zh"], lambda c: c.prompts.synthetic.language),
        ("input_tokens", [50, 70], lambda c: c.prompts.synthetic.input_tokens.params["value"]),
        ("output_tokens", [5, 7], lambda c: c.prompts.synthetic.output_tokens.params["value"]),
        ("think_time", [1, 2], lambda c: c.load.think_time_s.params["value"]),
        ("keep_alive", ["5m", 60], lambda c: c.keep_alive),
    ],
)
def test_every_axis_reaches_its_case(key: str, values: list[Any], read: Any) -> None:
    plan = _plan({"matrix": {key: values}})
    assert [read(case) for case in plan.cases] == values
    assert all(key.removeprefix("options.") in case.axes for case in plan.cases)


def test_an_open_load_has_a_case_per_rate() -> None:
    data = {"load": {"open": {"rate": [0.5, 2], "arrivals": {"gamma": {"burstiness": 3}}}}}
    plan = _plan(data)
    assert [c.id for c in plan.cases] == ["m, rate=0.5", "m, rate=2"]
    arrivals = plan.cases[0].load.arrivals
    assert arrivals is not None and (arrivals.kind, arrivals.burstiness) == ("gamma", 3)
    assert plan.cases[0].load.requests == 30


def test_a_cold_start_needs_no_warm_up() -> None:
    assert _plan({"cold": True}).cases[0].warmup == 0
    assert _plan({"cold": True, "warmup": 1}).cases[0].warmup == 1


def test_think_can_be_left_unsaid() -> None:
    assert _plan({"think": "unset"}).cases[0].think is None


def test_comparisons_without_streaming_look_at_whole_replies() -> None:
    assert _plan({}).primary == ("decode_tok_per_s", "ttft_s.p50")
    assert _plan({"stream": False}).primary == ("decode_tok_per_s", "e2e_s.p50")
    assert _plan({"primary": "error_rate"}).primary == ("error_rate",)


# --- what cannot be meant


def test_no_model_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="give one with -m"):
        _plan({}, models=())


def test_a_model_listed_twice_is_an_error() -> None:
    with pytest.raises(UsageError, match="listed twice"):
        _plan({}, models=["a", "a"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"models": [f"m{i}" for i in range(600)]}, "600 cases, more than the 500"),
        (
            {"models": [f"m{i}" for i in range(50)], "blocks": 900},
            "50 cases x 900 blocks = 45,000 blocks",
        ),
        ({"load": {"closed": {"requests": 9_000_000}}}, "54,000,000 requests"),
        ({"load": {"open": {"rate": 5000, "duration": "10h"}}}, "1,080,000,000 requests"),
        (
            {
                "endpoint": "embed",
                "prompts": {"synthetic": {"input_tokens": 9}, "batch": 10_000},
                "load": {"closed": {"requests": 600}},
            },
            "6,000,000 texts in a block, more than the 2,000,000 allowed",
        ),
        ({"prompts": {"synthetic": {"input_tokens": 5000}}}, "prompts do not fit"),
        (
            {"prompts": {"synthetic": {"input_tokens": {"uniform": {"low": 100, "high": 8000}}}}},
            r"[45]\d% of the prompts do not fit",
        ),
        (
            {"load": {"open": {"rate": [1234.5671, 1234.5674], "duration": "1s"}}},
            "two cases are called m, rate=1234.57",
        ),
        ({"matrix": {"input_tokens": [9, {"fixed": 9}]}}, "two cases are called m, input_tokens=9"),
    ],
)
def test_absurd_plans_are_refused(data: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        _plan(data, models=data.get("models", ["m"]))


# --- order


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**40), st.integers(1, 5))
def test_every_repetition_runs_every_case_once(seed: int, blocks: int) -> None:
    plan = _plan(SWEEP | {"blocks": blocks}, models=(), seed=seed)
    assert [b.index for b in plan.blocks] == list(range(16 * blocks))
    for repetition in range(blocks):
        stretch = plan.blocks[16 * repetition : 16 * (repetition + 1)]
        assert {b.repetition for b in stretch} == {repetition}
        assert {b.case for b in stretch} == {c.id for c in plan.cases}
        assert len({b.seed for b in stretch}) == 1
    assert len({b.seed for b in plan.blocks}) == blocks


def test_cases_of_one_loaded_model_stay_together() -> None:
    plan = _plan(SWEEP, models=())
    states = []
    for block in plan.blocks[:16]:
        case = plan.case(block.case)
        states.append((case.model, tuple(v for k, v in case.options.items() if k in LOAD_TIME)))
    changes = sum(a != b for a, b in itertools.pairwise(states))
    assert changes == 3


def test_the_order_is_drawn_from_the_seed() -> None:
    orders = {tuple(b.case for b in _plan(SWEEP, models=(), seed=s).blocks) for s in range(10)}
    assert len(orders) == 10
    again = _plan(SWEEP, models=(), seed=4)
    assert again == _plan(SWEEP, models=(), seed=4)
    thirds = [tuple(b.case for b in again.blocks[i : i + 16]) for i in (0, 16, 32)]
    assert len(set(thirds)) == 3


def test_the_salt_is_drawn_anew_unless_it_is_said() -> None:
    assert _plan({}, salt=None).salt != _plan({}, salt=None).salt
    assert _plan({"salt": 8}, salt=None).salt == 8
    assert _plan({"salt": 8}, salt=9).salt == 9


# --- pairs


def _pairs(pairs: int = 6, **more: Any) -> Plan:
    base = {"load": {"closed": {"users": [1, 2], "requests": 4}}}
    a, b = _scenario(base), _scenario(base, "options.num_ctx=8192")
    return build_ab_plan(a, b, pairs, models_a=["m"], models_b=["m"], salt=1, **more)


def test_pairs_run_back_to_back_with_the_same_seed() -> None:
    plan = _pairs()
    assert len(plan.blocks) == 6 * 2 * 2
    for first, second in zip(plan.blocks[::2], plan.blocks[1::2], strict=True):
        assert first.pair == second.pair
        assert {first.side, second.side} == {"a", "b"}
        assert (first.position, second.position) == (0, 1)
        assert first.seed == second.seed
        assert first.case[3:] == second.case[3:]
    assert sorted(Counter(b.pair for b in plan.blocks).values()) == [2] * 12


def test_the_side_that_is_first_alternates() -> None:
    plan = _pairs(pairs=8)
    for case in ("a: m, users=1", "a: m, users=2"):
        positions = [b.position for b in plan.blocks if b.case == case]
        assert all(x != y for x, y in itertools.pairwise(positions))


def test_sides_differ_as_asked() -> None:
    plan = _pairs()
    assert plan.case("a: m, users=1").options["num_ctx"] == 4096
    assert plan.case("b: m, users=1").options["num_ctx"] == 8192
    assert plan.case("b: m, users=1").axes["side"] == "b"
    assert plan.scenario_b is not None
    assert plan.scenario_b["options"]["num_ctx"] == 8192


def test_two_servers_make_two_sides() -> None:
    plan = _pairs(hosts_a=["old:1"], hosts_b=["new:2"])
    assert [t.name for t in plan.targets] == ["old:1", "new:2"]
    assert plan.case("b: m, users=1").target == "new:2"
    assert [t.name for t in _pairs(hosts_a=["x:1"], hosts_b=["x:1"]).targets] == ["x:1"]


def test_sides_of_different_size_cannot_be_paired() -> None:
    a, b = _scenario({}), _scenario({"load": {"closed": {"users": [1, 2]}}})
    with pytest.raises(UsageError, match="1 cases and side b 2"):
        build_ab_plan(a, b, 3, models_a=["m"], models_b=["m"])


# --- the plan as data


def test_a_plan_survives_being_written_and_read() -> None:
    for plan in (_plan(SWEEP, models=()), _pairs()):
        text = msgspec.json.encode(plan)
        assert msgspec.json.decode(text, type=Plan) == plan


def test_the_resolved_scenario_is_a_scenario() -> None:
    plan = _plan(SWEEP, models=())
    again = resolve(Document("again", plan.scenario), (), source="", directory=Path())
    assert build_plan(again, salt=3).cases == plan.cases


def test_reading_a_plan_needs_no_pydantic() -> None:
    code = "import sys, bench.scenario.plan; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the estimate


def test_requests_are_counted() -> None:
    cost = estimate(_plan(SWEEP, models=()))
    assert (cost.cases, cost.blocks) == (16, 48)
    assert cost.requests == Range(48 * 8, 48 * 8)
    # Warm-up; the first and all but one of the last requests of four users in half of the blocks;
    # calibration of two models, with and without thinking: the template is another.
    assert cost.unmeasured == 48 * 3 + 24 * (4 + 3) + 4 * 3


def test_time_follows_from_the_speeds() -> None:
    exact = Speeds(Range(100, 100), Range(10, 10), Range(5, 5))
    data = {
        "prompts": {"synthetic": {"input_tokens": 200}},
        "options": {"num_predict": 100},
        "load": {"closed": {"users": 1, "requests": 10}},
        "warmup": 0,
        "blocks": 2,
    }
    cost = estimate(_plan(data), exact)
    # 2 s to read 200 tokens, 5 to 10 s to write 50 to 100, 20 requests, one load of the model.
    assert cost.seconds.low == pytest.approx(5 + 20 * (2 + 5))
    assert cost.seconds.high == pytest.approx(5 + 20 * (2 + 10 + 0.3))


def test_parts_of_a_mix_that_run_together_take_the_time_of_one() -> None:
    exact = Speeds(Range(100, 100), Range(10, 10), Range(0, 0))
    data: dict[str, Any] = {
        "prompts": {"synthetic": {"input_tokens": 200}},
        "options": {"num_predict": 100},
        "load": {"closed": {"users": 2, "requests": 20}},
        "warmup": 0,
        "blocks": 1,
        "mix": [{"name": "one"}, {"name": "other"}],
    }
    seconds = estimate(_plan(data), exact).seconds
    # Each part has 10 requests of 7 to 12.3 s. Alone they follow each other; then both at once.
    assert seconds.low == pytest.approx(3 * 10 * 7)
    assert seconds.high == pytest.approx(4 * 10 * 12.3)


@pytest.mark.parametrize("kind", ["conversation", "agent", "rag"])
def test_calibration_is_counted_for_every_kind_of_made_up_prompts(kind: str) -> None:
    load = {"requests": 4} if kind == "rag" else {"sessions": 1}
    data = {"prompts": {kind: True}, "load": {"closed": load}, "warmup": 0, "blocks": 1}
    data["options"] = {"num_ctx": 65536}
    assert estimate(_plan(data)).unmeasured == 3


def test_more_users_only_help_the_lower_end() -> None:
    exact = Speeds(Range(100, 100), Range(10, 10), Range(0, 0))
    one = estimate(_plan({"load": {"closed": {"users": 1, "requests": 24}}}), exact).seconds
    eight = estimate(_plan({"load": {"closed": {"users": 8, "requests": 24}}}), exact).seconds
    assert eight.low < one.low / 2
    # Eight more to ramp up and eight at the end, in the worst case one after another.
    assert eight.high == pytest.approx(one.high * (24 * 3 + 3 * 3 + 16 * 3) / (24 * 3 + 3 * 3))


def test_a_block_with_a_duration_takes_it() -> None:
    data = {"load": {"closed": {"users": 2, "duration": "2m"}}, "warmup": 0, "blocks": 1}
    cost = estimate(_plan(data))
    assert cost.seconds.low >= 120
    assert cost.requests.low < cost.requests.high


def test_an_open_block_lasts_to_its_last_arrival() -> None:
    data = {
        "load": {"open": {"rate": 1, "arrivals": "constant", "duration": "60s"}},
        "warmup": 0,
        "blocks": 1,
    }
    cost = estimate(_plan(data))
    assert cost.requests == Range(60, 60)
    assert 59 + 15 < cost.seconds.low < 70 + 15  # a quarter of it to settle
    assert cost.unmeasured == 15 + 3


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (4, 4.2, "about 4 s"),
        (31, 58, "30 s to 60 s"),
        (100, 3000, "2 min to 50 min"),
        (5000, 20000, "83 min to 5.6 h"),
    ],
)
def test_durations_are_told_roughly(low: float, high: float, text: str) -> None:
    assert duration_text(Range(low, high)) == text


def test_shipped_scenarios_take_minutes_on_a_gpu() -> None:
    gpu = Speeds(Range(1500, 1500), Range(60, 60), Range(5, 5))
    for name in ("quickstart", "chat", "generate", "prefill", "context-depth", "cold-start"):
        plan = build_plan(load_scenario(name), models=["m"], salt=1)
        assert estimate(plan, gpu).seconds.high < 8 * 60


@pytest.mark.parametrize(
    ("load", "settle_s"),
    [
        ({"rate": 1, "duration": "60s"}, 15.0),
        ({"rate": 0.5, "requests": 100}, 50.0),
        ({"rate": 1, "requests": 100, "duration": "60s"}, 15.0),
        ({"rate": 1, "duration": "60s", "settle": "30s"}, 30.0),
        ({"rate": 1, "duration": "60s", "settle": 0}, 0.0),
        ({"rate": 1, "duration": "10h"}, 600.0),
    ],
)
def test_open_loops_settle_for_a_quarter_of_the_block(
    load: dict[str, Any], settle_s: float
) -> None:
    assert _plan({"load": {"open": load}}).cases[0].load.settle_s == settle_s


def test_a_load_of_an_older_run_does_not_settle() -> None:
    """Its run.json has no such key: it began on an empty server, and is no equal of a new one."""
    from bench.analysis.comparison.setup_checks import level_of
    from bench.scenario.plan import Load

    old = msgspec.convert({"loop": "open", "rate_per_s": 1.0}, Load)
    assert old.settle_s == 0.0
    new = msgspec.convert({"loop": "open", "rate_per_s": 1.0, "settle_s": 9.0}, Load)
    assert level_of(old) != level_of(new)
