"""Each rule speaks where it must, and is silent where it must be."""

from dataclasses import replace

import pytest
from cases import case, metric, speed, throughput, time

from bench.analysis.run.open_loop import OVERLOAD
from bench.analysis.run.summary import Estimate, Identity, RequestCounts, Steadiness
from bench.report import sentences
from bench.report.page import Sentence, plain
from bench.report.sentences import answer


def said(sentence: Sentence | None) -> str | None:
    return None if sentence is None else plain(sentence)


def test_headline_names_speed_and_first_word() -> None:
    told = answer(case(speed(48.12, 0.6), time("ttft_s", 0.2134, 0.02)))
    assert told.texts == (
        "llama3.2:3b with 1 users writes 48.1 tok/s ± 0.6, first word after 0.21 s ± 0.02 in half "
        "of the requests.",
    )


def test_headline_says_per_user_when_there_are_several() -> None:
    assert "48.1 tok/s ± 0.5 per user" in answer(case(speed(48.12), users=4)).texts[0]


def test_headline_without_speed_begins_with_the_first_word() -> None:
    told = answer(case(speed(None), time("ttft_s", 0.3)))
    assert told.texts[0].startswith("llama3.2:3b with 1 users gives the first word after 0.300 s")


def test_headline_without_first_word_still_tells_the_speed() -> None:
    assert answer(case(speed(48.12, 0.6))).texts[0].endswith("writes 48.1 tok/s ± 0.6.")


def test_a_median_that_five_requests_cannot_support_is_not_told() -> None:
    few = metric("ttft_s", "s", 5, p50=Estimate(0.2, None, None, needs=6))
    assert "first word" not in answer(case(speed(48.1), few)).texts[0]


def test_nothing_to_tell_is_said() -> None:
    assert answer(case()).texts[0].endswith("gave no number that its requests can support.")


def test_all_failed() -> None:
    counts = RequestCounts(0, 40, {"timeout": 38, "connect_error": 2})
    told = answer(case(requests=counts))
    assert told.tone == "bad"
    assert told.texts[0] == (
        "llama3.2:3b with 1 users failed in all 40 requests (38 time-outs, 2 failed connections)."
    )


@pytest.mark.parametrize(("ok", "failed"), [(40, 0), (0, 0)])
def test_no_failure_is_invented(ok: int, failed: int) -> None:
    counts = RequestCounts(ok, failed)
    assert sentences.failed(case(requests=counts)) is None
    assert sentences.some_failed(case(requests=counts)) is None


def test_some_failed() -> None:
    counts = RequestCounts(37, 3, {"ok": 37, "http_error": 1, "aborted": 2})
    assert said(sentences.some_failed(case(requests=counts))) == (
        "3 of 40 requests failed (2 answers without an end, 1 HTTP error)."
    )
    assert answer(case(requests=counts)).tone == "caution"


def test_nothing_measured() -> None:
    told = answer(case(requests=RequestCounts(0, 0)))
    assert told.texts == ("llama3.2:3b with 1 users was not measured.",)
    assert told.tone == "bad"


def test_invalid_numbers_are_called_so_before_anything_else() -> None:
    told = answer(replace(case(speed(48.1), throughput(150.0), users=4), invalid=True))
    assert told.texts[1] == "These numbers are invalid: see the warnings."
    assert told.tone == "bad"
    assert sentences.invalid(case(speed(48.1))) is None


def test_together_speaks_only_of_several_users() -> None:
    four = case(throughput(149.6, 5.0), users=4)
    assert said(sentences.together(four)) == "All 4 users together get 150 tok/s ± 5."
    two = case(throughput(99.0, 5.0), users=2)
    assert said(sentences.together(two)) == "Both users together get 99 tok/s ± 5."
    assert sentences.together(case(throughput(50.0), users=1)) is None
    assert sentences.together(case(users=4)) is None


def test_kept_up_speaks_only_of_open_loops() -> None:
    served = metric("request_per_s", "req/s", value=Estimate(0.48, 0.46, 0.5))
    open_loop = case(served, users=None, load={"loop": "open", "rate_per_s": 0.5})
    assert said(sentences.kept_up(open_loop)) == (
        "0.5 requests/s were asked for, 0.48 requests/s ± 0.02 came and were served."
    )
    assert sentences.kept_up(case(served)) is None
    late = replace(metric("e2e_s", "s"), note=OVERLOAD)
    overloaded = case(served, late, users=None, load={"loop": "open", "rate_per_s": 2.0})
    assert "did not keep up" in said(sentences.kept_up(overloaded))


def test_thinking_first_needs_a_wait_worth_telling() -> None:
    first = time("ttft_s", 0.3)
    assert said(sentences.thinking_first(case(first, time("answer_ttft_s", 4.1, 0.1)))) == (
        "It thinks first: the answer itself starts after 4.10 s ± 0.10."
    )
    assert sentences.thinking_first(case(first, time("answer_ttft_s", 0.3))) is None
    assert sentences.thinking_first(case(first)) is None


def test_loading_speaks_of_cold_starts_only() -> None:
    assert said(sentences.loading(case(time("load_s", 4.2, 0.1)))) == (
        "Loading the model takes 4.20 s ± 0.10 of each request."
    )
    warm = case(time("load_s", 0.04, 0.001))
    assert sentences.loading(warm) is None
    assert said(sentences.loading(replace(warm, cold=True))) == (
        "Loading the model takes 40.0 ms ± 1.0 of each request."
    )


def test_reading_speaks_of_long_prompts_only() -> None:
    reads = metric("prefill_tok_per_s", "tok/s", value=Estimate(1510.0, 1480.0, 1540.0))

    def of(tokens: float) -> Sentence | None:
        return sentences.reading(
            case(reads, metric("prompt_tokens", "tokens", mean=Estimate(tokens)))
        )

    assert said(of(2048.0)) == "It reads the prompts at 1,510 tok/s ± 30."
    assert of(120.0) is None
    assert sentences.reading(case(reads)) is None
    unknown = metric("prefill_tok_per_s", "tok/s", 0)
    long = metric("prompt_tokens", "tokens", mean=Estimate(2048.0))
    assert sentences.reading(case(unknown, long)) is None


def test_waiting_needs_more_than_bookkeeping() -> None:
    assert said(sentences.waiting(case(time("queue_s", 3.41, 0.03), users=2))) == (
        "Half of the requests wait 3.41 s ± 0.03 or longer in the queue."
    )
    assert sentences.waiting(case(time("queue_s", 0.004, 0.001), users=2)) is None
    assert sentences.waiting(case(time("queue_s", 0.06, 0.05), users=2)) is None


def test_one_user_does_not_wait_where_a_long_prompt_is_tokenised() -> None:
    """4,114 tokens took a real server 79 ms, which it books nowhere but in the total."""
    tokenising = time("queue_s", 0.079, 0.01)
    assert sentences.waiting(case(tokenising)) is None
    assert sentences.waiting(case(tokenising, users=2)) is not None


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.63, "Only 63\u202f% of the model is on the GPU; the rest runs on the CPU."),
        (1.0, None),
        (0.997, None),
        (0.0, None),
        (None, None),
    ],
)
def test_spilled_speaks_of_partial_placement_only(share: float | None, text: str | None) -> None:
    assert said(sentences.spilled(case(identity=Identity(gpu_share=share)))) == text


@pytest.mark.parametrize(
    ("asked", "seen", "users", "speaks"),
    [(4, 1, 4, True), (4, 4, 8, False), (4, 1, 1, False), (None, 1, 4, False), (4, None, 4, False)],
)
def test_slots_differ_needs_a_load_that_could_have_shown_more(
    asked: int | None, seen: int | None, users: int, speaks: bool
) -> None:
    one = case(identity=Identity(slots_observed=seen), slots_asked=asked, users=users)
    told = said(sentences.slots_differ(one))
    expected = "The server was set to 4 slots, 1 was observed."
    assert told == (expected if speaks else None)


def test_unsteady_passes_on_what_changed() -> None:
    step = Steadiness(False, "step of −9 % at request 21")
    assert said(sentences.unsteady(case(steadiness=step))) == (
        "The numbers were not steady: step of −9 % at request 21."
    )
    for steady in (Steadiness(True), Steadiness(None)):
        assert sentences.unsteady(case(steadiness=steady)) is None


def test_thinking_is_never_the_first_word() -> None:
    share = metric("thinking_char_share", "", value=Estimate(0.6))
    first = time("ttft_s", 0.3, 0.01, n=9)
    answered = time("answer_ttft_s", 4.1, 0.1, n=4)
    thinking = answer(case(share, first, answered)).texts
    assert thinking[0].startswith("llama3.2:3b with 1 users starts to think after 0.30")
    assert "5 of 40 requests brought thinking only: no word of an answer." in thinking
    assert "It thinks first: the answer itself starts after 4.10 s ± 0.10, where one came." in (
        thinking
    )
    assert sentences.never_answered(case(first, answered)) is None


def test_work_without_a_first_word_has_a_headline_of_its_own() -> None:
    texts = metric("text_per_s", "texts/s", value=Estimate(37.0, 35.0, 39.0))
    (said,) = answer(case(texts)).texts
    assert said == "llama3.2:3b with 1 users embeds 37 texts/s ± 2."
    picture = (
        metric("image_s", "s", value=Estimate(0.06, 0.05, 0.07)),
        metric("image_tokens", "tokens", value=Estimate(258.0, 258.0, 258.0)),
    )
    assert "reads a picture in 60 ms ± 10, as 258 tokens" in answer(case(*picture)).texts[0]


def test_what_is_kept_is_said_once_and_what_is_suspected_is_called_so() -> None:
    share = Estimate(0.95, 0.93, 0.97)
    told = " ".join(answer(case(metric("eligible_cached_share", "", value=share))).texts)
    assert told.count("95 %") == 1
    assert "suspected" not in told
    guess = metric("suspected_cached_share", "", value=share)
    said = " ".join(answer(case(guess)).texts)
    assert "does not say what its cache keeps" in said
    assert "95 % ± 2 of a session's history is suspected to be kept" in said


def test_no_wait_is_said_that_the_requests_cannot_support() -> None:
    """Once: half of the requests wait needs 6 requests or longer."""
    open_end = metric("queue_s", "s", 5, p50=Estimate(0.3, 0.1, None, needs=6))
    assert sentences.waiting(case(open_end, users=2)) is None
