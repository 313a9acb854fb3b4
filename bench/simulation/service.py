"""How one loaded model serves: slots, a FIFO queue, prefill, and continuous batching.

The engine works in steps, as llama.cpp does. A step carries one token of every decoding sequence
and, within the batch size, prompt tokens of the sequences in prefill; then the sequences that got
logits are sampled one after the other. A step takes

    max(base, prefill_per_token * p) + per_sequence * n + per_token * K + sample * r

with p prompt tokens, n decoding sequences of K context tokens in all, and r sequences sampled. The
maximum says that a few prompt tokens hide behind the reading of the weights, and that many make
everybody beside them wait.

`ServiceModel` is a pure state machine on a given clock. With `per_token` it reports every
token; without, it jumps from one change of occupancy to the next in closed form, so that a request
costs a few events however long its output. Without jitter both give the same times (to rounding);
with jitter the coarse mode draws one factor per stretch with the same mean and variance.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from bench.simulation.stretch import Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParameters:
    """What decides how fast a loaded model serves. Times in nanoseconds.

    Attributes:
        slots: sequences served at once; the rest waits in a FIFO queue.
        prefill_ns_per_token: time per prompt token that must be evaluated.
        base_ns: time of a step however little it carries (reading the weights).
        per_sequence_ns: time per decoding sequence in a step.
        per_token_ns: time per context token of the decoding sequences in a step (reading the KV).
        sample_ns: time to sample one sequence's token.
        jitter: coefficient of variation of a step's duration.
        batch_tokens: most tokens a step carries (`num_batch`).
    """

    slots: int
    prefill_ns_per_token: float
    base_ns: float
    per_sequence_ns: float = 0.0
    per_token_ns: float = 0.0
    sample_ns: float = 0.0
    jitter: float = 0.0
    batch_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Work:
    """One request to a model.

    Attributes:
        id: unique among the requests in the model.
        prompt_n: prompt tokens to evaluate, at least 1 (those found in the cache left out).
        output_n: tokens to sample, end token included, at least 1.
        cached_n: prompt tokens found in the prefix cache; they cost no prefill, but are context.
        extra_n: work before the prompt (encoding images), in prompt tokens; no context.
    """

    id: int
    prompt_n: int
    output_n: int
    cached_n: int = 0
    extra_n: int = 0


class Event(NamedTuple):
    """A token was sampled; `done` if it was the request's last.

    Without `per_token` only the last one is reported.

    Attributes:
        token: its 0-based number.
        batch: sequences in the step.
        submitted_ns, started_ns, first_ns: when its request came, got a slot, had its first token.
    """

    at_ns: int
    id: int
    token: int
    batch: int
    done: bool
    submitted_ns: int
    started_ns: int
    first_ns: int


@dataclass(slots=True, eq=False)
class _Sequence:
    """A request in the model."""

    work: Work
    submitted: float
    prompt_left: int
    started: float = 0.0
    first_ns: int = 0
    finish_step: int = 0
    gone: bool = False


class ServiceModel:
    """One model under load: `submit`, then `pop` events as time passes.

    `per_token` reports every token, else only each request's last.
    """

    # Slots, and lists for what stays short: a thousand models should stay in the processor's cache.
    __slots__ = (
        *("_active", "_at", "_by_id", "_completing", "_context", "_decoding", "_events"),
        *("_joining", "_per_token", "_prefill", "_queue", "_random", "_step", "_stretch"),
        "parameters",
    )

    def __init__(
        self, parameters: ServiceParameters, *, seed: int = 0, per_token: bool = True
    ) -> None:
        self.parameters = parameters
        self._per_token = per_token
        self._random = random.Random(seed)
        self._queue: deque[_Sequence] = deque()
        self._joining: list[_Sequence] = []
        self._prefill: list[_Sequence] = []
        self._decoding: list[_Sequence] = []
        self._by_id: dict[int, _Sequence] = {}
        self._active = 0
        self._context = 0  # K
        self._step = 0  # steps taken so far
        self._at = 0.0  # end of the last stretch
        self._events: list[Event] = []
        self._stretch: Stretch | None = None
        self._completing: list[_Sequence] = []  # end their prefill with the stretch

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def submit(self, now_ns: int, work: Work) -> None:
        """A request arrives. Time must not run backwards between calls."""
        sequence = _Sequence(work, now_ns, max(work.prompt_n, 1) + work.extra_n)
        self._by_id[work.id] = sequence
        if self._active < self.parameters.slots:
            self._take_slot(sequence, now_ns)
            self._shorten(now_ns)
        else:
            self._queue.append(sequence)

    def cancel(self, now_ns: int, work_id: int) -> None:
        """A request is given up: it leaves the queue, or its slot, at once."""
        sequence = self._by_id.pop(work_id, None)
        if sequence is None:
            return
        if sequence in self._queue:
            self._queue.remove(sequence)
            return
        self._shorten(now_ns)
        self._events = [e for e in self._events if e.id != work_id]
        sequence.gone = True
        self._leave(sequence, now_ns)

    def next_event_ns(self) -> int | None:
        """When `pop` will next have something to do; None if nothing is under way."""
        if self._events:
            return self._events[0].at_ns
        if self._stretch is not None:
            return self._stretch.end_ns
        return math.ceil(self._at) if self._active else None

    def pop(self, now_ns: int) -> Event | None:
        """The next event up to now, or None. Call until None; submitting in between is fine."""
        while True:
            if self._events:
                if self._events[0].at_ns > now_ns:
                    return None
                event = self._events.pop(0)
                if event.done:
                    self._leave(self._by_id.pop(event.id), event.at_ns)
                return event
            if self._stretch is not None:
                if self._stretch.end_ns > now_ns:
                    return None
                self._end_stretch()
            if not self._active or math.ceil(self._at) > now_ns:
                return None
            self._begin_stretch()

    def _take_slot(self, sequence: _Sequence, now: float) -> None:
        sequence.started = now
        self._joining.append(sequence)
        self._active += 1
        if self._stretch is None:
            self._at = max(self._at, now)

    def _leave(self, sequence: _Sequence, now: float) -> None:
        self._active -= 1
        if sequence in self._decoding:
            self._decoding.remove(sequence)
            self._context -= self._depth(sequence)
        elif sequence in self._prefill:
            self._prefill.remove(sequence)
        else:
            self._joining.remove(sequence)
        if self._queue:
            self._take_slot(self._queue.popleft(), now)

    def _depth(self, sequence: _Sequence) -> int:
        """Context tokens a decoding sequence has in the coming step."""
        work = sequence.work
        sampled = work.output_n - (sequence.finish_step - self._step)
        return work.cached_n + work.prompt_n + sampled

    def _begin_stretch(self) -> None:
        if self._joining:
            if not self._prefill and not self._decoding:
                self._at = max(self._at, self._joining[0].started)
            reached = math.ceil(self._at)
            while self._joining and self._joining[0].started <= reached:
                self._prefill.append(self._joining.pop(0))
        p = self.parameters
        n = len(self._decoding)
        budget = max(p.batch_tokens - n, 1)
        tokens = 0
        completing: list[_Sequence] = []
        for sequence in self._prefill:
            share = min(sequence.prompt_left, budget - tokens)
            sequence.prompt_left -= share
            tokens += share
            if sequence.prompt_left == 0:
                completing.append(sequence)
            if tokens == budget:
                break
        steps = 1
        if not self._prefill and not self._per_token:
            steps = min([s.finish_step for s in self._decoding]) - self._step
        compute = max(p.base_ns, tokens * p.prefill_ns_per_token)
        compute += p.per_sequence_ns * n + p.per_token_ns * self._context
        first = compute + p.sample_ns * (n + len(completing))
        self._completing = completing
        # A step that reads a prompt lasts as long as many plain ones, whose jitter evens out.
        plain = p.base_ns + p.per_sequence_ns
        alike = max(1.0, first / plain) if self._prefill and plain else 1.0
        factor = self._factor(steps * alike)
        self._stretch = Stretch(self._at, steps, first, p.per_token_ns * n, factor)
        self._announce(self._stretch)

    def _factor(self, steps: float) -> float:
        """Jitter of the mean of some steps' durations: mean 1, never below a tenth."""
        cv = self.parameters.jitter
        if not cv:
            return 1.0
        return max(0.1, self._random.gauss(1.0, cv / math.sqrt(steps)))

    def _announce(self, stretch: Stretch) -> None:
        """Put the events of a stretch in line: those of its last step."""
        sample = self.parameters.sample_ns * stretch.factor
        sampled = len(self._decoding) + len(self._completing)
        at = stretch.end - sample * sampled
        last_step = self._step + stretch.steps
        batch = sampled + len(self._prefill) - len(self._completing)
        for sequence in self._decoding:
            at += sample
            done = sequence.finish_step == last_step
            if done or self._per_token:
                index = sequence.work.output_n - 1 - (sequence.finish_step - last_step)
                self._events.append(self._event(sequence, at, index, batch, done))
        for place, sequence in enumerate(self._completing):
            at = stretch.end - sample * (len(self._completing) - 1 - place)
            sequence.first_ns = math.ceil(at)
            done = sequence.work.output_n == 1
            if done or self._per_token:
                self._events.append(self._event(sequence, at, 0, batch, done))

    def _event(self, sequence: _Sequence, at: float, index: int, batch: int, done: bool) -> Event:
        came_ns, began_ns = math.ceil(sequence.submitted), math.ceil(sequence.started)
        times = came_ns, began_ns, sequence.first_ns
        return Event(math.ceil(at), sequence.work.id, index, batch, done, *times)

    def _end_stretch(self) -> None:
        """Take the stretch's steps; its events have all been popped."""
        stretch = self._stretch
        assert stretch is not None
        self._stretch = None
        self._at = stretch.end
        self._step += stretch.steps
        self._context += len(self._decoding) * stretch.steps
        for sequence in self._completing:
            if sequence.gone or sequence.work.output_n == 1:
                continue
            self._prefill.remove(sequence)
            sequence.finish_step = self._step + sequence.work.output_n - 1
            self._decoding.append(sequence)
            self._context += sequence.work.cached_n + sequence.work.prompt_n + 1

    def _shorten(self, now: float) -> None:
        """End the running stretch with the step that is under way, so that others can join."""
        stretch = self._stretch
        if stretch is None or stretch.steps == 1:
            return
        steps = stretch.steps_until(now)
        if steps < stretch.steps:
            stretch.shorten(steps)
            self._events.clear()  # they belonged to the last step, which is now another one
