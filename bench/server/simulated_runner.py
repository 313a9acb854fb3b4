"""A simulated model in memory: the service model, driven by the event loop's timers.

Tokens are due at absolute instants that the model computes; being late with one does not move the
next.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.clock import NS
from bench.server.engine import (
    Embedding,
    EngineFailure,
    Finish,
    Job,
    LoadOptions,
    Memory,
    Piece,
    Prompt,
    Rendered,
    Sink,
)
from bench.simulation.prefix_cache import PrefixCache
from bench.simulation.profile import ModelProfile
from bench.simulation.service import Event, ServiceModel, ServiceParameters, Work
from bench.simulation.text import Part, Token, Utterance, utter
from bench.simulation.tokens import tokenize

_TURN = 256
"""Most events delivered before the event loop gets a chance to read from sockets."""


@dataclass(slots=True)
class _Running:
    """A job in the service model."""

    job: Job
    sink: Sink
    utterance: Utterance
    slot: int
    prompt_n: int
    cache_n: int


class SimulatedRunner:
    """One simulated model in memory.

    Args:
        model: what it is, and how long its outputs are.
        options: it was loaded with.
        parameters: how fast it serves.
        memory: it takes.
        host_entries: sequences it can keep beside its slots.
        draw: its randomness.
        now_ns: the clock.
        on_unload: called when it is unloaded.
    """

    def __init__(
        self,
        model: ModelProfile,
        options: LoadOptions,
        parameters: ServiceParameters,
        memory: Memory,
        *,
        host_entries: int,
        draw: random.Random,
        now_ns: Callable[[], int],
        on_unload: Callable[[], None],
    ) -> None:
        self.memory = memory
        self.alive = True
        self._model = model
        self._options = options
        self._draw = draw
        self._now = now_ns
        self._on_unload = on_unload
        self._service = ServiceModel(parameters, seed=draw.getrandbits(32))
        self._cache = PrefixCache(options.parallel, host_entries)
        self._running: dict[int, _Running] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._embed_ids = itertools.count(1)

    async def render(self, prompt: Prompt) -> Rendered:
        """ChatML around the messages; nothing around a raw text."""
        if prompt.raw is not None:
            text = prompt.raw
        else:
            parts = [f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in prompt.messages]
            if prompt.tools:
                names = " ".join(str(t.get("function", {}).get("name")) for t in prompt.tools)
                parts.insert(0, f"<|im_start|>system\nTools: {names}<|im_end|>\n")
            text = f"{''.join(parts)}<|im_start|>assistant\n"
        return Rendered(text, [*prompt.context, *tokenize(text)])

    def start(self, job: Job, sink: Sink) -> None:
        """The output is decided now, and delivered as its tokens come due."""
        slot, cached = self._cache.take(job.prompt.tokens)
        prompt_n = max(len(job.prompt.tokens) - cached, 1)
        utterance = self._utter(job)
        running = _Running(job, sink, utterance, slot, prompt_n, cached)
        self._running[job.id] = running
        work = Work(job.id, prompt_n, len(utterance.tokens), cached)
        self._service.submit(self._now(), work)
        self._set_timer()

    def cancel(self, job_id: int) -> None:
        """Drop a job; its slot's cache keeps the prompt."""
        running = self._running.pop(job_id, None)
        if running is not None:
            self._service.cancel(self._now(), job_id)
            self._cache.release(running.slot, running.job.prompt.tokens)
            self._set_timer()

    async def embed(self, text: str) -> Embedding:
        """A unit-free vector, the same for the same text, after the time of its prefill."""
        tokens = tokenize(text)
        collect = _Collect(asyncio.get_running_loop().create_future())
        job = Job(
            id=-next(self._embed_ids),
            prompt=Rendered(text, tokens),
            options={"num_predict": 1, "temperature": 0},
        )
        self.start(job, collect)
        try:
            await collect.done
        except asyncio.CancelledError:
            self.cancel(job.id)
            raise
        draw = random.Random(hashlib.sha256(f"{self._model.name}\0{text}".encode()).digest())
        vector = [draw.gauss(0.0, 1.0) for _ in range(self._model.embedding_length)]
        return Embedding(vector, len(tokens))

    async def unload(self) -> None:
        """Stop the timer and free the memory."""
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
        self._on_unload()

    def _utter(self, job: Job) -> Utterance:
        limit = job.options.get("num_predict", -1)
        if limit <= 0:
            limit = 10 * self._options.num_ctx
        if not self._options.shift:
            limit = min(limit, max(self._options.slot_ctx - len(job.prompt.tokens), 1))
        seed = job.options.get("seed", -1)
        if job.options.get("temperature", 0.8) == 0:
            seed = None
        elif seed == -1:
            seed = self._draw.getrandbits(31)
        utterance = utter(
            self._model,
            job.prompt.text,
            limit=limit,
            seed=seed,
            think=bool(job.think),
            form=job.format,
            tools=job.tools,
        )
        return utterance.until(job.stop)

    def _set_timer(self) -> None:
        due = self._service.next_event_ns()
        if self._timer is not None:
            if due == self._timer_ns:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_ns = due
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(due / NS, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        try:
            for _ in range(_TURN):
                event = self._service.pop(self._now())
                if event is None:
                    break
                self._emit(event)
        finally:
            self._set_timer()

    def _emit(self, event: Event) -> None:
        running = self._running[event.id]
        token = running.utterance.tokens[event.token]
        piece = self._piece(running, token, event)
        if piece is not None:
            running.sink.piece(piece)
        if event.done:
            del self._running[event.id]
            ids = [token.id for token in running.utterance.tokens]
            self._cache.release(running.slot, [*running.job.prompt.tokens, *ids])
            running.sink.finished(self._finish(running, event, ids))

    def _piece(self, running: _Running, token: Token, event: Event) -> Piece | None:
        """What is sent for a token; None if nothing is."""
        if token.part is Part.END:
            return None
        piece = Piece(due_ns=event.at_ns, batch=event.batch)
        if token.part is Part.THINKING:
            piece.thinking = token.text
        elif token.part is Part.ANSWER and running.utterance.tool_call is None:
            if not token.text:
                return None
            piece.text = token.text
        elif running.utterance.tool_call is not None and token.part is Part.ANSWER:
            last = len(running.utterance.tokens) - 2
            if event.token != last:
                return None
            function = {"index": 0, **running.utterance.tool_call}
            call_id = f"call_{running.job.id:08x}"
            piece.tool_calls = ({"id": call_id, "function": function},)
        if running.job.logprobs:
            piece.logprobs = (_logprob(token.text, running.job.top_logprobs),)
        return piece

    def _finish(self, running: _Running, event: Event, ids: list[int]) -> Finish:
        return Finish(
            done_reason="stop" if running.utterance.stopped else "length",
            prompt_n=running.prompt_n,
            cache_n=running.cache_n,
            prompt_ns=event.first_ns - event.started_ns,
            predicted_n=event.token + 1,
            predicted_ns=event.at_ns - event.first_ns,
            output_tokens=ids,
            due_ns=event.at_ns,
        )


class _Collect:
    """A sink that only waits for the end."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done

    def piece(self, piece: Piece) -> None:
        """Not wanted."""

    def finished(self, finish: Finish) -> None:
        """The end."""
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, failure: EngineFailure) -> None:
        """Broken off."""
        if not self.done.done():
            self.done.set_exception(failure)


def _logprob(text: str, alternatives: int) -> dict[str, Any]:
    draw = random.Random(text)
    entry = {"token": text, "logprob": -draw.random(), "bytes": list(text.encode())}
    others = []
    for i in range(1, alternatives):
        other = f"{text}{i}"
        logprob = -1.0 - i - draw.random()
        others.append({"token": other, "logprob": logprob, "bytes": list(other.encode())})
    if alternatives:
        entry = {**entry, "top_logprobs": [dict(entry), *others]}
    return entry
