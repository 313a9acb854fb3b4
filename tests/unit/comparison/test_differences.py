"""What two results differ in is named before their numbers are."""

from dataclasses import replace

import pytest

from bench.analysis.comparison.compare_runs import compare_runs, compare_sides
from bench.analysis.comparison.metric_verdicts import Rules
from bench.analysis.comparison.setup_checks import check_allowed, setup_differences
from bench.analysis.comparison.setup_difference import CaseSide, Role
from bench.analysis.comparison.verdict_rule import Verdict
from bench.errors import ExitCode, NotComparable, UsageError
from bench.report.comparison.comparison_page import comparison_page
from bench.report.console import console_text
from bench.scenario.plan import Target
from bench.scenario.work import Tools

PRIMARY = ("decode_tok_per_s", "ttft_s.p50")
FLAT = {"decode_tok_per_s": [50.0, 50.1, 49.9] * 2, "ttft_s.p50": [0.20, 0.201, 0.199] * 2}
SLOW = {"decode_tok_per_s": [40.0, 40.1, 39.9] * 2, "ttft_s.p50": [0.30, 0.301, 0.299] * 2}


def rules(*allow: str) -> Rules:
    return Rules(primary=PRIMARY, allow=frozenset(allow))


def found(first, second, **more):
    sides = [CaseSide(s.info, s.summary.cases[0]) for s in (first, second)]
    return {d.key: d for d in setup_differences(*sides, **more)}


# What differs, and the key by which it is named and allowed.
FORBIDDING = [
    ({"identity": {"digest": "other"}}, "digest"),
    ({"identity": {"quantization": "Q8_0"}}, "quantization"),
    ({"identity": {"served_context": 2048}}, "served_context"),
    ({"identity": {"gpu_share": 0.62}}, "gpu_share"),
    ({"identity": {"slots_observed": 1}}, "slots_observed"),
    ({"identity": {"engine": "llama.cpp"}}, "engine"),
    ({"options": {"num_ctx": 4096, "repeat_penalty": 1.0, "top_k": 1}}, "options.top_k"),
    ({"think": True}, "think"),
    ({"prompt": "Something else."}, "prompts"),
    ({"stream": False}, "stream"),
    ({"users": 2}, "load"),
    # Once unseen: these were compared in silence.
    ({"asked": {"tools": Tools((), "tools.json")}}, "tools"),
    ({"asked": {"control": True}}, "control"),
    ({"asked": {"truncate": True}}, "truncate"),
]


@pytest.mark.parametrize(("change", "key"), FORBIDDING)
def test_what_forbids_a_comparison(case_of, run_of, change, key):
    old = run_of("old", case_of(FLAT, identity={"slots_observed": 4}))
    new = run_of("new", case_of(FLAT, **{"identity": {"slots_observed": 4}, **change}))
    with pytest.raises(NotComparable, match=key) as caught:
        compare_runs(old, new, rules())
    assert f"--allow {key}" in str(caught.value)
    assert caught.value.exit_code is ExitCode.NOT_COMPARABLE
    allowed = compare_runs(old, new, rules(key))
    assert {d.key: d.role for d in allowed.cases[0].differences}[key] is Role.ALLOWED


def test_all_options_are_allowed_at_once(case_of, run_of):
    old = run_of("old", case_of(FLAT))
    new = run_of("new", case_of(FLAT, options={"num_ctx": 4096, "top_k": 1}))
    assert compare_runs(old, new, rules("options")).cases


def test_other_hardware_forbids(case_of, run_of):
    new = run_of("new", case_of(FLAT), environment={"cpu": {"model": "Zx 1"}})
    with pytest.raises(NotComparable, match="hardware: Zx 9000, GTX 1 -> Zx 1"):
        compare_runs(run_of("old", case_of(FLAT)), new, rules())


def test_all_of_them_are_named_at_once(case_of, run_of):
    new = run_of("new", case_of(FLAT, identity={"digest": "x", "gpu_share": 0.5}))
    with pytest.raises(NotComparable) as caught:
        compare_runs(run_of("old", case_of(FLAT)), new, rules())
    assert "--allow digest --allow gpu_share" in str(caught.value)


def test_the_model_as_the_thing_compared(case_of, run_of):
    old = run_of("old", case_of(FLAT))
    new = run_of("new", case_of(SLOW, model="qwen3:8b", identity={"quantization": "Q8_0"}))
    result = compare_runs(old, new, rules())
    roles = {d.key: d.role for d in result.cases[0].differences}
    assert roles == dict.fromkeys(("model", "digest", "quantization"), Role.COMPARED)
    assert result.verdict is Verdict.WORSE


def test_the_version_as_the_thing_compared(case_of, run_of):
    old = run_of("old", case_of(FLAT, identity={"server_version": "0.32.13"}))
    new = run_of("new", case_of(FLAT, identity={"server_version": "0.32.14"}))
    (only,) = compare_runs(old, new, rules()).cases[0].differences
    assert (only.key, only.role) == ("server_version", Role.COMPARED)


def test_slots_are_told_from_at_least(case_of, run_of):
    old = run_of("old", case_of(FLAT, users=4, slots_at_least=4))
    new = run_of("new", case_of(SLOW, users=4, identity={"slots_observed": 1}))
    difference = found(old, new)["slots_observed"]
    assert (difference.baseline, difference.candidate) == ("at least 4", "1")
    more = run_of("new", case_of(SLOW, users=4, identity={"slots_observed": 8}))
    assert "slots_observed" not in found(old, more)


def test_a_slot_reduction_explains_waiting_but_not_decode_speed(case_of, run_of):
    old = run_of("old", case_of(FLAT, identity={"slots_observed": 4}))
    new = run_of("new", case_of(SLOW, identity={"slots_observed": 1}))
    result = compare_runs(old, new, rules("slots_observed"))
    explained = {m.metric: m.explained_by for m in result.cases[0].metrics}
    assert explained == {"decode_tok_per_s": (), "ttft_s.p50": ("slots_observed",)}


def test_longer_answers_explain_but_do_not_forbid(case_of, run_of):
    old = run_of("old", case_of(FLAT, identity={"mean_output_tokens": 956.0}))
    new = run_of("new", case_of(FLAT, identity={"mean_output_tokens": 1018.0}))
    difference = found(old, new)["output_tokens"]
    assert difference.role is Role.EXPLAINS
    assert (difference.baseline, difference.candidate) == ("956", "1018")
    assert difference.touches("e2e_s.p50") and not difference.touches("decode_tok_per_s")
    near = run_of("new", case_of(FLAT, identity={"mean_output_tokens": 960.0}))
    assert "output_tokens" not in found(old, near)


def test_failed_requests_are_told(case_of, run_of):
    old, new = run_of("old", case_of(FLAT)), run_of("new", case_of(FLAT, failed=10))
    difference = found(old, new)["failed_requests"]
    assert (difference.baseline, difference.candidate) == ("0 of 40", "10 of 50")
    assert difference.role is Role.EXPLAINS


def test_system_software_explains(case_of, run_of):
    machines = [
        {"cpu": {"model": "Zx", "governor": g}, "gpus": [{"name": "G", "driver": d}], "os": "L 6"}
        for g, d in (("performance", "550"), ("powersave", "560"))
    ]
    runs = [run_of(f"r{i}", case_of(FLAT), environment=m) for i, m in enumerate(machines)]
    assert {k: d.role for k, d in found(*runs).items()} == {
        "gpu_driver": Role.EXPLAINS,
        "cpu_governor": Role.EXPLAINS,
    }


def test_a_spill_beside_another_model_is_noted(case_of, ab_of):
    b = case_of(FLAT, model="other", identity={"gpu_share": 0.6})
    notes = compare_sides(ab_of(case_of(FLAT), b), rules()).notes
    assert [n.code for n in notes] == ["shared_memory"]
    assert "--one-at-a-time" in notes[0].advice


def test_another_seed_is_told(case_of, run_of):
    assert found(run_of("a", case_of(FLAT)), run_of("b", case_of(FLAT), seed=2))["seed"].role is (
        Role.EXPLAINS
    )


class TestEras:
    def versions(self, case_of, run_of, first, second, **more):
        return [
            run_of(v, case_of(FLAT, identity={"server_version": v}, **more))
            for v in (first, second)
        ]

    def test_a_metric_of_another_meaning_gets_no_verdict(self, case_of, run_of):
        result = compare_runs(*self.versions(case_of, run_of, "0.24.0", "0.32.14"), rules())
        decode = result.cases[0].metrics[0]
        assert decode.verdict is Verdict.NOT_COMPARABLE
        assert "Since 0.30.0" in decode.note
        assert result.exit_code is ExitCode.NOT_COMPARABLE
        assert result.cases[0].metrics[1].verdict is Verdict.NO_CHANGE

    def test_it_can_be_allowed(self, case_of, run_of):
        runs = self.versions(case_of, run_of, "0.24.0", "0.32.14")
        result = compare_runs(*runs, rules("era"))
        assert result.verdict is Verdict.NO_CHANGE

    def test_overhead_of_the_server_explains(self, case_of, run_of):
        runs = self.versions(case_of, run_of, "0.32.14", "0.32.15")
        difference = found(*runs)["era"]
        assert difference.role is Role.EXPLAINS
        assert difference.touches("ttft_s.p50") and not difference.touches("decode_tok_per_s")

    def test_the_advice_names_what_helps(self, case_of, run_of):
        values = {**FLAT, "tpot_s.p50": [0.02, 0.0201, 0.0199] * 2}
        runs = [
            run_of(label, case_of(values, identity={"server_version": version}))
            for label, version in (("old", "0.24.0"), ("new", "0.32.15"))
        ]
        result = compare_runs(*runs, rules())
        assert result.exit_code is ExitCode.NOT_COMPARABLE
        (note,) = (n for n in result.notes if n.code == "era")
        assert "--primary tpot_s.p50" in note.advice and "--allow era" in note.advice
        helped = compare_runs(*runs, Rules(primary=("tpot_s.p50",)))
        assert helped.verdict is Verdict.NO_CHANGE
        assert not any(n.code == "era" for n in helped.notes)

    def test_no_verdict_and_a_verdict_do_not_stand_together(self, case_of, run_of):
        runs = self.versions(case_of, run_of, "0.24.0", "0.32.15")
        page = comparison_page([compare_runs(*runs, rules())])
        text = console_text(page)
        assert "Not judged: version boundary" in text
        assert "No verdict" not in text

    def test_a_default_that_is_set_is_no_boundary(self, case_of, run_of):
        unset = self.versions(case_of, run_of, "0.32.9", "0.32.10", options={"num_ctx": 4096})
        assert "repeat_penalty" in found(*unset)["era"].message
        assert "era" not in found(*self.versions(case_of, run_of, "0.32.9", "0.32.10"))

    def test_a_busted_cache_keeps_prefill_comparable(self, case_of, run_of):
        assert "era" not in found(*self.versions(case_of, run_of, "0.30.7", "0.30.8"))
        warm = self.versions(case_of, run_of, "0.30.7", "0.30.8", cache="warm")
        assert "era" in found(*warm)


class TestAnUnknownVersion:
    def test_is_told_as_such_and_compared_with_nothing(self, case_of, run_of):
        runs = [
            run_of(name, case_of(FLAT, identity={"server_version": version}))
            for name, version in (("old", ""), ("new", "0.33.4"))
        ]
        told = found(*runs)["server_version"]
        assert (told.baseline, told.candidate) == ("unknown", "0.33.4")
        assert told.role is Role.EXPLAINS
        assert "not known" in told.message

    def test_counts_as_the_newest(self, case_of, run_of):
        runs = [
            run_of(name, case_of(FLAT, identity={"server_version": version}))
            for name, version in (("old", "0.24.0"), ("new", ""))
        ]
        row = compare_runs(*runs, rules()).cases[0].metrics[0]
        assert (row.metric, row.verdict) == ("decode_tok_per_s", Verdict.NOT_COMPARABLE)

    def test_of_both_sides_is_no_difference(self, case_of, run_of):
        run = run_of("one", case_of(FLAT, identity={"server_version": ""}))
        assert not found(run, run)


@pytest.mark.parametrize(
    "key", [*(key for _, key in FORBIDDING), "settings.OLLAMA_X", "options", "server_version"]
)
def test_what_can_differ_can_be_allowed(key):
    check_allowed([key])


@pytest.mark.parametrize("key", ["", "digset", "options.num_cxt", "settings.", "load.users"])
def test_what_cannot_differ_is_refused(key):
    with pytest.raises(UsageError, match="nothing of that name can differ"):
        check_allowed([key])


class TestPairs:
    def test_what_was_set_up_on_purpose_is_compared(self, case_of, ab_of):
        a = case_of(FLAT, identity={"served_context": 4096})
        b = case_of(
            SLOW,
            options={"num_ctx": 8192, "repeat_penalty": 1.0},
            think=True,
            identity={"served_context": 8192, "gpu_share": 0.7},
        )
        result = compare_sides(ab_of(a, b), rules())
        roles = {d.key: d.role for d in result.cases[0].differences}
        assert roles == {
            "options.num_ctx": Role.COMPARED,
            "think": Role.COMPARED,
            "served_context": Role.COMPARED,
            "gpu_share": Role.EXPLAINS,
        }
        assert result.cases[0].metrics[0].explained_by == ("gpu_share",)

    def test_what_was_not_still_forbids(self, case_of, ab_of):
        b = case_of(FLAT, target="there", identity={"slots_observed": 1})
        with pytest.raises(NotComparable, match="slots_observed"):
            compare_sides(ab_of(case_of(FLAT, identity={"slots_observed": 4}), b), rules())

    def test_a_setting_of_a_managed_server_is_on_purpose(self, case_of, ab_of):
        a = case_of(FLAT, identity={"slots_observed": 4})
        b = case_of(FLAT, target="there", identity={"slots_observed": 1})
        result = compare_sides(ab_of(a, b, settings={"OLLAMA_NUM_PARALLEL": "4"}), rules())
        roles = {d.key: d.role for d in result.cases[0].differences}
        assert roles == {
            "settings.OLLAMA_NUM_PARALLEL": Role.COMPARED,
            "slots_observed": Role.COMPARED,
        }


def test_the_servers_as_the_thing_compared(case_of, run_of):
    def side(target):
        run = run_of("r", case_of(FLAT))
        plan = replace(run.info.plan, targets=(target,))
        return replace(run, info=replace(run.info, plan=plan))

    old = side(Target("here", command=("old/ollama", "serve")))
    new = side(Target("here", command=("new/ollama", "serve")))
    told = found(old, new, intended=True)["server"]
    assert (told.baseline, told.candidate) == ("old/ollama serve", "new/ollama serve")
    assert told.role is Role.COMPARED
    assert "server" not in found(old, new)  # of separate runs, the place says nothing
    assert "server" not in found(old, old, intended=True)
    here, there = side(Target("here", "http://a:1")), side(Target("here", "http://a:2"))
    assert found(here, there, intended=True)["server"].candidate == "http://a:2"


@pytest.mark.parametrize(("shares", "noted"), [((1.0, 0.0), True), ((0.0, 0.0), False)])
def test_a_side_wholly_on_the_cpu_has_spilled_only_if_there_is_a_gpu(case_of, ab_of, shares, noted):
    a, b = (case_of(FLAT, model=f"m{i}", identity={"gpu_share": s}) for i, s in enumerate(shares))
    assert bool(compare_sides(ab_of(a, b), rules()).notes) is noted


def test_a_card_that_sleeps_explains_nothing(case_of, run_of):
    """A clock of 0 MHz was divided by."""

    def side(label: str, mhz: float):
        run = run_of(label, case_of(FLAT))
        used = {"gpu0_sm_clock_mhz": [(0, mhz), (1, mhz)]}
        blocks = tuple(replace(b, utilisation=used) for b in run.info.blocks)
        return replace(run, info=replace(run.info, blocks=blocks))

    def keys(first: float, second: float) -> set[str]:
        result = compare_runs(side("old", first), side("new", second), rules())
        return {d.key for d in result.cases[0].differences}

    assert keys(0.0, 1980.0) == keys(1980.0, 0.0) == set()
    assert keys(1410.0, 1980.0) == {"gpu0_clock"}
