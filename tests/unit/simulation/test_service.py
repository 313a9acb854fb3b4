"""The service model against figures worked out by hand, and against itself."""

from __future__ import annotations

import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.simulation.fleet import Workload, simulate_fleet
from bench.simulation.service import Event, ServiceModel, ServiceParameters, Work

MS = 1_000_000


def run(
    parameters: ServiceParameters,
    arrivals: list[tuple[int, Work]],
    *,
    per_token: bool = True,
    seed: int = 0,
    cancel: tuple[int, int] | None = None,
) -> list[Event]:
    """All events, with arrivals (and one cancellation) at their times."""
    model = ServiceModel(parameters, per_token=per_token, seed=seed)
    todo = sorted(arrivals, key=lambda a: a[0])
    events = []
    while True:
        due = model.next_event_ns()
        at = min((t for t in (due, todo[0][0] if todo else None) if t is not None), default=None)
        if at is None:
            return events
        if cancel is not None and cancel[0] <= at:
            model.cancel(*cancel)
            cancel = None
            continue
        while todo and todo[0][0] <= at:
            model.submit(*todo.pop(0))
        while (event := model.pop(at)) is not None:
            events.append(event)


def done(events: list[Event]) -> dict[int, Event]:
    return {event.id: event for event in events if event.done}


def test_one_request_alone() -> None:
    p = ServiceParameters(
        slots=1, prefill_ns_per_token=1 * MS, base_ns=10 * MS, per_sequence_ns=2 * MS
    )
    events = run(p, [(5 * MS, Work(1, prompt_n=30, output_n=4))])
    # 30 ms of prefill give the first token, then three steps of 12 ms.
    assert [(e.at_ns // MS, e.token, e.done) for e in events] == [
        (35, 0, False),
        (47, 1, False),
        (59, 2, False),
        (71, 3, True),
    ]
    assert events[-1].submitted_ns == events[-1].started_ns == 5 * MS
    assert events[-1].first_ns == 35 * MS


def test_a_short_prompt_hides_behind_the_weights() -> None:
    p = ServiceParameters(slots=1, prefill_ns_per_token=1 * MS, base_ns=10 * MS)
    assert run(p, [(0, Work(1, 3, 1))])[0].at_ns == 10 * MS


def test_long_prompts_take_several_steps_and_slow_the_decodes_beside_them() -> None:
    p = ServiceParameters(slots=2, prefill_ns_per_token=1 * MS, base_ns=10 * MS, batch_tokens=101)
    first = Work(1, prompt_n=10, output_n=20)
    second = Work(2, prompt_n=250, output_n=1)
    events = run(p, [(0, first), (25 * MS, second)])
    times = [e.at_ns // MS for e in events if e.id == 1]
    # Steps of 10 ms until the other comes, in mid-step; then 100 + 100 + 50 tokens beside it.
    assert times[:7] == [10, 20, 30, 130, 230, 280, 290]
    assert done(events)[2].at_ns == 280 * MS


def test_context_depth_slows_decoding() -> None:
    p = ServiceParameters(slots=1, prefill_ns_per_token=0, base_ns=10 * MS, per_token_ns=1000)
    events = run(p, [(0, Work(1, prompt_n=99, output_n=3, cached_n=900))])
    gaps = [b.at_ns - a.at_ns for a, b in pairwise(events)]
    assert gaps == [10 * MS + 1000 * 1000, 10 * MS + 1001 * 1000]


def test_sequences_are_sampled_one_after_the_other() -> None:
    p = ServiceParameters(slots=3, prefill_ns_per_token=0, base_ns=10 * MS, sample_ns=1 * MS)
    events = run(p, [(0, Work(i, 1, 2)) for i in (1, 2, 3)])
    assert [(e.at_ns // MS, e.id) for e in events] == [
        (11, 1),
        (12, 2),
        (13, 3),
        (24, 1),
        (25, 2),
        (26, 3),
    ]
    assert {e.batch for e in events} == {3}


def test_four_slots_and_eight_requests() -> None:
    p = ServiceParameters(slots=4, prefill_ns_per_token=1 * MS, base_ns=10 * MS)
    ends = done(run(p, [(0, Work(i, 5, 11)) for i in range(8)]))
    # Four prefills share a step of 20 ms, then ten steps of 10 ms; the other four follow in order.
    assert [ends[i].at_ns // MS for i in range(8)] == [120] * 4 + [240] * 4
    assert [ends[i].started_ns // MS for i in range(8)] == [0] * 4 + [120] * 4


def test_a_cancelled_request_frees_its_slot_at_once() -> None:
    p = ServiceParameters(slots=1, prefill_ns_per_token=1 * MS, base_ns=10 * MS)
    work = [(0, Work(1, 5, 1000)), (1, Work(2, 5, 2))]
    ends = done(run(p, work, cancel=(55 * MS, 1)))
    assert set(ends) == {2}
    assert ends[2].started_ns == 55 * MS
    assert ends[2].first_ns == 70 * MS  # the step under way is finished first


def test_a_cancelled_request_leaves_the_queue() -> None:
    p = ServiceParameters(slots=1, prefill_ns_per_token=1 * MS, base_ns=10 * MS)
    work = [(0, Work(1, 5, 3)), (1, Work(2, 5, 3)), (2, Work(3, 5, 3))]
    ends = done(run(p, work, cancel=(5 * MS, 2)))
    assert set(ends) == {1, 3}
    assert ends[3].started_ns == ends[1].at_ns


loads = st.lists(
    st.tuples(
        st.integers(0, 400 * MS),
        st.integers(1, 700),
        st.integers(1, 60),
        st.integers(0, 300),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(loads, st.integers(1, 4), st.sampled_from([0, 70]), st.sampled_from([0.0, 30_000.0]))
def test_the_coarse_mode_gives_the_same_times(
    load: list[tuple[int, int, int, int]], slots: int, per_token_ns: int, sample_ns: float
) -> None:
    p = ServiceParameters(
        slots=slots,
        prefill_ns_per_token=51_700.0,
        base_ns=3.1 * MS,
        per_sequence_ns=210_000.0,
        per_token_ns=float(per_token_ns),
        sample_ns=sample_ns,
        batch_tokens=256,
    )
    arrivals = [(at, Work(i, p_n, o_n, c_n)) for i, (at, p_n, o_n, c_n) in enumerate(load)]
    fine, coarse = done(run(p, arrivals)), done(run(p, arrivals, per_token=False))
    assert set(fine) == set(coarse) == set(range(len(load)))
    for i, event in fine.items():
        assert coarse[i].at_ns == pytest.approx(event.at_ns, abs=2000)
        assert coarse[i].first_ns == pytest.approx(event.first_ns, abs=2000)
        assert coarse[i].started_ns == pytest.approx(event.started_ns, abs=2000)


@settings(max_examples=60, deadline=None)
@given(loads, st.integers(1, 4))
def test_nothing_is_lost_and_nobody_overtakes(
    load: list[tuple[int, int, int, int]], slots: int
) -> None:
    p = ServiceParameters(
        slots=slots, prefill_ns_per_token=50_000.0, base_ns=3 * MS, jitter=0.2, sample_ns=10_000.0
    )
    arrivals = [(at, Work(i, p_n, o_n, c_n)) for i, (at, p_n, o_n, c_n) in enumerate(load)]
    events = run(p, arrivals, seed=3)
    assert [e.at_ns for e in events] == sorted(e.at_ns for e in events)
    for i, (_, _, output_n, _) in enumerate(load):
        mine = [e for e in events if e.id == i]
        assert [e.token for e in mine] == list(range(output_n))
        assert [e.done for e in mine] == [False] * (output_n - 1) + [True]
    ends = done(events)
    in_order = sorted(range(len(load)), key=lambda i: (ends[i].submitted_ns, i))
    starts = [ends[i].started_ns for i in in_order]
    assert starts == sorted(starts)
    for event in events:
        running = [e for e in ends.values() if e.started_ns <= event.at_ns < e.at_ns]
        assert len(running) <= slots
        assert event.batch <= slots


@pytest.mark.parametrize("per_token", [True, False])
def test_jitter_keeps_the_mean_and_has_its_variance(per_token: bool) -> None:
    cv, steps = 0.2, 100
    p = ServiceParameters(slots=1, prefill_ns_per_token=0, base_ns=10 * MS, jitter=cv)
    times = []
    for seed in range(300):
        event = done(run(p, [(0, Work(1, 1, steps + 1))], per_token=per_token, seed=seed))[1]
        times.append((event.at_ns - event.first_ns) / (10 * MS * steps))
    # Mean of 100 steps: standard deviation 0.02; of 300 such means: 0.00115.
    assert statistics.mean(times) == pytest.approx(1.0, abs=0.005)
    assert statistics.stdev(times) == pytest.approx(cv / steps**0.5, rel=0.2)


def test_the_same_seed_gives_the_same_run() -> None:
    p = ServiceParameters(slots=2, prefill_ns_per_token=1000.0, base_ns=10 * MS, jitter=0.1)
    work = [(i * MS, Work(i, 50, 20)) for i in range(6)]
    assert run(p, work, seed=5) == run(p, work, seed=5)
    assert run(p, work, seed=5) != run(p, work, seed=6)


def test_the_jitter_of_a_long_prefill_evens_out() -> None:
    """A prompt that takes as long as 25 plain steps varies like their mean."""
    parameters = ServiceParameters(
        slots=1, prefill_ns_per_token=1e6, base_ns=2e7, jitter=0.2, batch_tokens=512
    )
    many = 2000
    apart = np.arange(many, dtype=np.int64) * 10**9
    work = Workload(apart, np.full(many, 500), np.ones(many, dtype=np.int64))
    took = simulate_fleet(parameters, work, seed=8).ttft_s
    assert took.std() / took.mean() == pytest.approx(0.2 / 5, rel=0.1)
