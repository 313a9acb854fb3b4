from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.clock import NS
from bench.errors import ModelError
from bench.ollama.scripted import scripted_chat
from bench.results.record import Phase
from bench.scenario.plan import Distribution, SyntheticPrompts
from bench.wire.transports.fake import ScriptedReply


def test_load_warm_up_and_measurement_are_apart(play, kit):
    done = play(kit.plan(kit.case(kit.closed(1, requests=5), warmup=3)))
    block = done.info.blocks[0]
    assert block.load_ns == 2 * NS
    assert len(done.records(Phase.WARMUP)) == 3
    assert max(r.end_ns for r in done.records(Phase.WARMUP)) <= block.window_start_ns
    assert block.before.loaded and block.after.loaded


def test_a_loaded_model_has_no_load_time(play, kit):
    done = play(kit.plan(kit.case(kit.closed(1, requests=5)), blocks=2))
    assert [b.load_ns for b in done.info.blocks] == [2 * NS, None]


def test_ps_is_never_read_while_requests_are_sent(play, kit):
    control = kit.Control()
    seen = []
    done = play(
        kit.plan(kit.case(kit.closed(2, requests=10))),
        control=control,
        observer=kit.Watcher(lambda record: seen.append(len(control.log))),
    )
    assert control.log == ["ps", "preload", "ps", "ps"]
    assert set(seen) == {3}
    assert len(done.run.records) == len(seen)


def test_cold_unloads_before_every_measured_request(play, kit):
    control = kit.Control()
    done = play(kit.plan(kit.case(kit.closed(1, requests=4), cold=True, warmup=0)), control=control)
    assert control.log == ["unload", "ps", *["unload"] * 4, "ps"]
    assert len(done.records()) == 4
    assert done.info.blocks[0].before.loaded is False


def test_a_reload_inside_a_block_is_named(play, kit):
    usual = scripted_chat(["a"] * 5, load_s=0.05)
    jump = scripted_chat(["a"] * 5, first_s=3.5, load_s=3.4)
    script = lambda call, number: jump if number == 7 else usual  # noqa: E731
    done = play(kit.plan(kit.case(kit.closed(1, requests=20))), script)
    [warning] = [w for w in done.info.warnings if w.code == "reloaded"]
    assert "(1 request waited; first at request 7, 3.4 s)" in warning.message
    assert warning.invalidates
    assert warning.message in done.info.blocks[0].notes


def test_a_reload_after_the_runner_died_is_no_other_client(play, kit):
    def script(call, number):
        if number == 5:
            error = (
                b'{"error":"an error was encountered while running the model: unexpected EOF"}\n'
            )
            return ScriptedReply(((0.2, error),))
        slow = 2.0 if number == 6 else 0.001
        return scripted_chat(["x"] * 5, first_s=0.2 + slow, gap_s=0.05, load_s=slow, model="m:1b")

    done = play(kit.plan(kit.case(kit.closed(1, requests=9))), script)
    [warning] = [w for w in done.info.warnings if w.code == "reloaded"]
    assert "runner had died" in warning.advice and "client" not in warning.advice


def test_slow_warm_load_durations_of_old_servers_are_no_reload(play, kit):
    usual = scripted_chat(["a"] * 5, first_s=1.0, load_s=0.6)
    plan = kit.plan(kit.case(kit.closed(1, requests=20)))
    done = play(plan, lambda call, number: usual, version="0.24.0")
    assert "reloaded" not in done.warning_codes
    # From 0.32.15 on a warm request costs milliseconds: there somebody reloads it every time.
    done = play(plan, lambda call, number: usual)
    [warning] = [w for w in done.info.warnings if w.code == "reloaded"]
    assert "20 requests waited" in warning.message


def test_a_runner_that_died_in_the_warm_up_is_named(play, kit):
    error = b'{"error":"an error was encountered while running the model: unexpected EOF"}\n'
    usual = scripted_chat(["a"] * 5)
    script = lambda call, number: ScriptedReply(((0.2, error),)) if number == 1 else usual  # noqa: E731
    done = play(kit.plan(kit.case(kit.closed(1, requests=6), warmup=3)), script)
    [warning] = [w for w in done.info.warnings if w.code == "warm_up_failed"]
    assert warning.message.startswith("block 1 of m:1b: 1 of 3 warm-up requests failed, one of")
    assert "unexpected EOF" in warning.message and "runner had died" in warning.advice
    assert warning.message in done.info.blocks[0].notes
    assert not warning.invalidates and len(done.records()) == 6


def test_other_failures_of_the_warm_up_are_named_in_their_words(play, kit):
    error = b'{"error":"out of paper"}\n'
    usual = scripted_chat(["a"] * 5)
    script = lambda call, number: ScriptedReply(((0.2, error),)) if number == 0 else usual  # noqa: E731
    done = play(kit.plan(kit.case(kit.closed(1, requests=6), warmup=3)), script)
    [warning] = [w for w in done.info.warnings if w.code == "warm_up_failed"]
    assert "first: out of paper" in warning.message and "died" not in warning.advice


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loaded": False}, "evicted"),
        ({"digest": "other"}, "digest changed"),
        ({"context": 2048}, "from context 4096 to 2048"),
    ],
)
def test_an_eviction_or_replacement_inside_a_block_is_named(play, kit, change, said):
    control = kit.Control()

    def disturb(record):
        if record.phase is Phase.MEASURE:
            for name, value in change.items():
                setattr(control, name, value)

    done = play(
        kit.plan(kit.case(kit.closed(1, requests=5))),
        control=control,
        observer=kit.Watcher(disturb),
    )
    [warning] = [w for w in done.info.warnings if w.code == "model_changed"]
    assert said in warning.message
    assert warning.invalidates


def test_other_models_in_memory_are_named(play, kit):
    done = play(
        kit.plan(kit.case(kit.closed(1, requests=5))), control=kit.Control(others=("big:70b",))
    )
    assert any("big:70b" in w.message for w in done.info.warnings if w.code == "other_models")


def test_a_model_that_cannot_be_loaded_costs_its_blocks_only(play, kit):
    class Picky(kit.Control):
        async def preload(self, model, options, keep_alive, timeout_s):
            if options.get("num_ctx") == 999_999:
                raise ModelError("the server cannot use the model m:1b: out of memory")
            return await super().preload(model, options, keep_alive, timeout_s)

    good = kit.case(kit.closed(1, requests=5))
    bad = replace(good, id="bad", options={**good.options, "num_ctx": 999_999})
    done = play(kit.plan(bad, good), control=Picky())
    assert [b.complete for b in done.info.blocks] == [False, True]
    assert "out of memory" in done.info.blocks[0].notes[0]
    assert {r.case for r in done.run.records} == {good.id}
    assert "load_failed" in done.warning_codes


def test_nothing_is_measured_when_every_warm_up_request_fails(play, kit):
    refuse = ScriptedReply(((0.01, b'{"error":"broken model"}'),), status=500)
    done = play(kit.plan(kit.case(kit.closed(1, requests=5))), lambda call, number: refuse)
    assert done.records() == []
    [warning] = [w for w in done.info.warnings if w.code == "not_measured"]
    assert "broken model" in warning.message
    assert warning.invalidates


def test_synthetic_prompts_are_calibrated_once_per_model(play, kit):
    made = SyntheticPrompts(Distribution("fixed", {"value": 300}), None, "en")
    case = kit.case(kit.closed(1, requests=5))
    case = replace(case, prompts=replace(case.prompts, inline=(), synthetic=made))

    def counting(call, number):
        """A tokenizer of 1 token per 4 characters, and a template of 20 tokens."""
        text = json.loads(call.body)["messages"][0]["content"]
        return scripted_chat(["a"] * 4, prompt_tokens=20 + len(text) // 4)

    done = play(kit.plan(case, blocks=2), counting)
    assert len(done.transport.calls) == 3 + len(done.run.records)
    counts = [r.server.prompt_eval_count for r in done.records()]
    assert counts == pytest.approx([300] * 10, rel=0.1)
    assert {r.target_input_tokens for r in done.records()} == {300}


def test_the_same_plan_sends_the_same_bodies(play, kit):
    case = kit.case(kit.closed(1, requests=10))
    first, second = (play(kit.plan(case)).transport.calls for _ in range(2))
    assert [c.body for _, c in first] == [c.body for _, c in second]


def test_every_request_of_a_run_starts_with_a_text_of_its_own(play, kit):
    done = play(kit.plan(kit.case(kit.closed(4, requests=20)), blocks=2))
    nonces = [r.nonce for r in done.run.records]
    assert len(set(nonces)) == len(nonces)
    assert all(nonces)


def test_the_prompts_of_a_pair_are_the_same_in_both_blocks(play, kit):
    """Also when their ramp-ups had different lengths."""
    case = kit.case(kit.closed(3, requests=30))
    the_plan = kit.plan(case, blocks=2)
    pair = tuple(replace(b, seed=1, pair=0, position=i) for i, b in enumerate(the_plan.blocks))
    slow = kit.answers(first_s=2.0)
    script = lambda call, number: slow(call, number) if number < 20 else kit.answers()(call, number)  # noqa: E731
    done = play(replace(the_plan, blocks=pair), script)
    first, second = (
        sorted(r.prompt_sha256 for r in done.records() if r.block == b) for b in (0, 1)
    )
    assert first == second
