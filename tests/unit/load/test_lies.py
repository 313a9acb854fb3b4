"""Thirty-odd kinds of lies, on both endpoints, streamed or not: none moves a headline unnamed.

In virtual time, bytes and all; `tests/performance/plausibility_lies.py` does it over sockets.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from lies import HONEST, KINDS, NAMED_BY, PROMPT_TOKENS, TOKENS, Pace, Truth, headline, model_name
from lies import scripted as lying

from bench.analysis.run.summarise import summarise
from bench.results.run import ModelInfo

WARMUP = 1
REQUESTS = 8
MOVED = 0.01
NOT_OF_LIES = {"one_block"}


@pytest.mark.slow
@pytest.mark.parametrize("pace", [Pace(), Pace(prompt=0.15, step=0.01)], ids=["slow", "fast"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("endpoint", ["chat", "generate"])
def test_no_lie_moves_a_headline_unnamed(play, kit, endpoint, stream, pace):
    made = kit.case(
        kit.closed(1, requests=REQUESTS), endpoint=endpoint, stream=stream, warmup=WARMUP
    )
    options = {**made.options, "num_predict": TOKENS}
    cases = {
        kind: replace(made, id=kind, model=model_name(kind), options=options) for kind in KINDS
    }
    truths: dict[str, Truth] = defaultdict(Truth)
    asked: dict[str, int] = defaultdict(int)

    def script(call, number):
        model = next(c.model for c in cases.values() if f'"{c.model}"'.encode() in call.body)
        asked[model] += 1
        warm = asked[model] <= WARMUP
        return lying(call, asked[model], pace, None if warm else truths[model])

    done = play(kit.plan(*cases.values()), script)
    summary = summarise(done.info, done.run.records)
    shown = 0
    for case in summary.cases:
        truth = truths[cases[case.id].model].headlines()
        codes = {w.code for w in summary.warnings if w.case == case.id} - NOT_OF_LIES
        assert case.requests.ok == REQUESTS
        if case.id == HONEST:
            assert not codes
        for id, true in truth.items():
            value = headline(case.metrics, id)
            if value is None:
                assert case.metrics[id].note, f"{case.id}: no reason why there is no {id}"
                continue
            shown += 1
            moved = abs(value / true - 1)
            assert moved <= MOVED or codes & NAMED_BY[id], f"{case.id}: {id} {value} not {true}"
    assert shown > len(KINDS)
    assert summary.cases[0].metrics["prompt_tokens"].stats["mean"].value == PROMPT_TOKENS


def test_another_model_in_half_of_the_replies_is_named_and_invalid(play, kit):
    kind = "another model answers, one in two"
    made = kit.case(kit.closed(1, requests=REQUESTS), model=model_name(kind))
    made = replace(made, options={**made.options, "num_predict": TOKENS})
    done = play(kit.plan(made), lambda call, number: lying(call, number, Pace()))
    summary = summarise(done.info, done.run.records)
    (warning,) = [w for w in summary.warnings if w.code == "other_model"]
    assert warning.invalidates and not summary.valid
    assert "4 of 8 replies" in warning.message and "other:1b" in warning.message


@pytest.mark.parametrize("what", ["version_now", "digest"])
def test_another_server_behind_the_address_is_named(play, kit, what):
    """Between two blocks the version, or the model's digest, is another."""

    class Changing(kit.Control):
        async def preload(self, *args):
            if self.log.count("preload"):
                setattr(self, what, "0.33.0" if what == "version_now" else "def")
            return await super().preload(*args)

    made = kit.case(kit.closed(1, requests=3))
    done = play(kit.plan(made, blocks=2), control=Changing())
    summary = summarise(done.info, done.run.records)
    # The digest that was found before the run belongs to the model as it was looked up.
    if what == "digest":
        models = (ModelInfo("here", "m:1b", "abc"),)
        summary = summarise(replace(done.info, models=models), done.run.records)
    assert [w.invalidates for w in summary.warnings if w.code == "server_changed"] == [True]
    assert not summary.valid
