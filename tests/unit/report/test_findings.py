"""What several cases say together, and when they must not."""

from types import SimpleNamespace
from typing import cast

from cases import case, metric, speed, throughput, time

from bench.analysis.run.summary import Estimate, Identity
from bench.report.findings import depth, depth_groups, fastest, saturation
from bench.report.model import CaseView, Report
from bench.report.page import Sentence, plain


def said(sentence: Sentence | None) -> str | None:
    return None if sentence is None else plain(sentence)


def level(users: int, tok_per_s: float, queue_s: float, slots: int | None = 4) -> CaseView:
    return case(
        throughput(tok_per_s),
        time("queue_s", queue_s, min(0.001, queue_s / 2)),
        users=users,
        identity=Identity(slots_observed=slots),
    )


def test_saturation_at_the_slots() -> None:
    sweep = [level(1, 50, 0.002), level(2, 90, 0.002), level(4, 150, 0.002), level(8, 151, 3.4)]
    told = said(saturation(sweep))
    assert told is not None
    assert told.startswith(
        "llama3.2:3b saturates at 4 users: the server runs 4 slots, the fifth waits. With 8 users"
    )


def test_no_saturation_at_slots_that_were_not_observed() -> None:
    sweep = [level(u, x, q, slots=None) for u, x, q in ((1, 50, 0.002), (8, 151, 3.4))]
    assert "slots" not in (said(saturation(sweep)) or "")


def test_no_saturation_while_throughput_still_rises() -> None:
    sweep = [level(1, 50, 0.002), level(4, 150, 0.002), level(8, 200, 3.4)]
    told = said(saturation(sweep))
    assert told is not None
    assert "saturates" not in told
    assert "no saturation within the measured levels" in told


def test_no_saturation_without_waiting() -> None:
    sweep = [level(1, 150, 0.002), level(4, 150, 0.002), level(8, 151, 0.004)]
    told = said(saturation(sweep))
    assert told is not None
    assert told.startswith("llama3.2:3b writes no more in all with 8 users")


def test_flat_points_with_wide_intervals_say_nothing() -> None:
    wide = [case(throughput(100.0, 30.0), users=u, identity=Identity()) for u in (1, 2, 4)]
    assert saturation(wide) is None


def test_noise_makes_the_sweep_silent() -> None:
    wide = [
        case(throughput(x, 60.0), users=u, identity=Identity())
        for u, x in ((1, 100.0), (2, 130.0), (4, 150.0))
    ]
    assert saturation(wide) is None


def test_one_level_is_no_sweep() -> None:
    assert saturation([level(8, 151, 3.4)]) is None


def test_fastest_gives_the_ratio_with_its_range() -> None:
    group = [case(speed(48.0, 0.5), model="a"), case(speed(24.0, 0.2), model="b")]
    assert said(fastest(group)) == "a writes 2.00 ± 0.04 times as fast as b."


def test_overlapping_models_are_not_ranked() -> None:
    group = [case(speed(48.0, 2.0), model="a"), case(speed(47.0, 2.0), model="b")]
    told = said(fastest(group))
    assert told is not None
    assert "times as fast" not in told
    assert "ollama-bench ab" in told
    # Overlap alone is no evidence of equality.
    assert "equally" not in told
    assert "is open" in told


def test_equal_speeds_need_evidence() -> None:
    group = [case(speed(48.0, 0.4), model="a"), case(speed(47.8, 0.4), model="b")]
    assert said(fastest(group)) == "a and b write equally fast to within 5\u202f%."


def test_models_without_intervals_are_not_compared() -> None:
    bare = metric("decode_tok_per_s", "tok/s", value=Estimate(48.0, needs=2))
    assert fastest([case(bare, model="a"), case(speed(20.0), model="b")]) is None
    assert fastest([case(speed(20.0), model="a")]) is None


def test_depth_speaks_when_intervals_separate() -> None:
    short = case(speed(48.8, 0.4), metric("prompt_tokens", "tokens", mean=Estimate(511.0)))
    long = case(speed(35.7, 0.3), metric("prompt_tokens", "tokens", mean=Estimate(7951.0)))
    assert said(depth([short, long])) == (
        "llama3.2:3b with 1 users slows from 48.8 tok/s ± 0.4 with 511 prompt tokens to "
        "35.7 tok/s ± 0.3 with 7,951."
    )
    same = case(speed(48.5, 0.4), metric("prompt_tokens", "tokens", mean=Estimate(7951.0)))
    assert depth([short, same]) is None


def test_depth_does_not_compare_a_part_alone_with_one_beside_others() -> None:
    def part(tokens: float, name: str, mix: str) -> CaseView:
        prompts = metric("prompt_tokens", "tokens", mean=Estimate(tokens))
        return case(speed(40.0), prompts, axes={"part": name, "mix": mix})

    cases = tuple(
        part(tokens, name, mix)
        for tokens, name in ((100.0, "light"), (4000.0, "heavy"))
        for mix in ("alone", "together")
    )
    (group,) = depth_groups(cast(Report, SimpleNamespace(cases=cases)))
    assert [c.summary.axes["mix"] for c in group] == ["alone", "alone"]
