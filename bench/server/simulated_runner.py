"""A simulated model in memory: the service model, driven by the event loop's timers.

Tokens are due at absolute instants that the model computes; being late with one does not move the
next.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.clock import NS
from bench.server.engine import (
    DEFECT,
    Embedding,
    EngineFailure,
    EnginePrompt,
    Finish,
    Job,
    LoadOptions,
    Memory,
    Piece,
    Rendered,
    Sink,
)
from bench.server.simulated_template import render
from bench.simulation import next_token
from bench.simulation.prefix_cache import PrefixCache, shifted
from bench.simulation.profile import ModelProfile
from bench.simulation.service import Event, ServiceModel, Work
from bench.simulation.text import END, Part, Token, Utterance, utter
from bench.simulation.tokens import VOCABULARY, tokenize

_log = logging.getLogger(__name__)
_NO_SLOT = -1
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


@dataclass(slots=True, eq=False)
class SimulatedRunner:
    """One simulated model in memory."""

    model: ModelProfile
    options: LoadOptions
    memory: Memory
    service: ServiceModel
    cache: PrefixCache
    draw: random.Random
    now_ns: Callable[[], int]
    on_unload: Callable[[SimulatedRunner], None]
    alive: bool = True
    _running: dict[int, _Running] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None
    _timer_ns: int = 0
    _embed_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def render(self, prompt: EnginePrompt) -> Rendered:
        """See `simulated_template`."""
        return render(self.model, prompt)

    def start(self, job: Job, sink: Sink) -> None:
        """The output is decided now, and delivered as its tokens come due."""
        tokens = np.asarray(job.prompt.tokens, np.int32)
        # What is embedded is always read as a whole, and leaves the slot's content alone.
        slot, cached = (_NO_SLOT, 0) if job.id < 0 else self.cache.take(tokens)
        prompt_n = max(len(tokens) - cached, 1)
        utterance = self._utter(job)
        running = _Running(job, sink, utterance, slot, prompt_n, cached)
        self._running[job.id] = running
        images = int(np.count_nonzero(tokens[cached:] >= VOCABULARY))
        encode = images * self.model.prefill_tok_per_s / self.model.images.encode_tok_per_s
        work = Work(job.id, prompt_n, len(utterance.tokens), cached, round(encode))
        self.service.submit(self.now_ns(), work)
        self._set_timer()

    def cancel(self, job_id: int) -> None:
        """Drop a job; its slot's cache keeps the prompt."""
        running = self._running.pop(job_id, None)
        if running is not None:
            self.service.cancel(self.now_ns(), job_id)
            self._free(running, ())
            self._set_timer()

    async def embed(self, text: str) -> Embedding:
        """A unit-free vector, the same for the same text, after the time of its prefill."""
        tokens = tokenize(text)
        collect, once = _Collect(), {"num_predict": 1, "temperature": 0}
        job = Job(id=-next(self._embed_ids), prompt=Rendered(text, tokens), options=once)
        self.start(job, collect)
        try:
            await collect.done
        except asyncio.CancelledError:
            self.cancel(job.id)
            raise
        draw = random.Random(hashlib.sha256(f"{self.model.name}\0{text}".encode()).digest())
        vector = [draw.gauss(0.0, 1.0) for _ in range(self.model.embedding_length)]
        return Embedding(vector, len(tokens))

    async def unload(self) -> None:
        """Stop the timer and free the memory."""
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
        self.on_unload(self)

    def _utter(self, job: Job) -> Utterance:
        if job.logprobs and next_token.ends_here(job.prompt.text):
            return Utterance([END], True)
        limit = job.options.get("num_predict", -1)
        if limit <= 0:
            limit = 10 * self.options.num_ctx
        if not self.options.shift:
            limit = min(limit, max(self.options.slot_ctx - len(job.prompt.tokens), 1))
        seed = job.options.get("seed", -1)
        if job.options.get("temperature", 0.8) == 0:
            seed = None
        elif seed == -1:
            seed = self.draw.getrandbits(31)
        how: dict[str, Any] = {"think": bool(job.think), "form": job.format, "tools": job.tools}
        said = utter(self.model, job.prompt.text, limit=limit, seed=seed, **how)
        return said.until(job.stop)

    def _set_timer(self) -> None:
        due = self.service.next_event_ns()
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
                event = self.service.pop(self.now_ns())
                if event is None:
                    break
                try:
                    self._emit(event)
                except Exception:  # a defect of ours, which must not keep the slot
                    _log.exception("job %s", event.id)
                    if (running := self._running.get(event.id)) is not None:
                        self.cancel(event.id)
                        running.sink.failed(EngineFailure(DEFECT))
        finally:
            self._set_timer()

    def _emit(self, event: Event) -> None:
        running = self._running[event.id]
        token = running.utterance.tokens[event.token]
        piece = self._piece(running, token, event)
        if piece is not None:
            running.sink.piece(piece)
        if event.token == 0 and running.slot != _NO_SLOT:
            self.cache.evaluated(running.slot, running.job.prompt.tokens)
        if event.done:
            del self._running[event.id]
            ids = [token.id for token in running.utterance.tokens]
            self._free(running, ids[:-1])  # the last one has been sampled, but not read
            running.sink.finished(self._finish(running, event, ids))

    def _free(self, running: _Running, output: Sequence[int]) -> None:
        """Give the slot back, with the prompt and what was put out in it."""
        if running.slot == _NO_SLOT:
            return
        job = running.job
        prompt = np.asarray(job.prompt.tokens, np.int32)
        whole = np.concatenate((prompt, np.asarray(output, np.int32)))
        keep = max(job.options.get("num_keep", 4), 0)
        held = shifted(whole, self.options.slot_ctx, keep)
        self.cache.release(running.slot, held, min(len(prompt), len(held)))

    def _piece(self, running: _Running, token: Token, event: Event) -> Piece | None:
        """What is sent for a token; None if nothing is."""
        if token.part is Part.END:
            return None
        entry = None
        if running.job.logprobs:
            entry, token = self._logprobs(running, token, event)
        piece = Piece(due_ns=event.at_ns, batch=event.batch)
        called = running.utterance.tool_call
        if token.part is Part.THINKING:
            piece.thinking = token.text
        elif token.part is Part.ANSWER and called is not None:
            if event.token != len(running.utterance.tokens) - 2:  # the last before the end
                return None
            call_id = f"call_{running.job.id:08x}"
            piece.tool_calls = ({"id": call_id, "function": {"index": 0, **called}},)
        elif token.part is Part.ANSWER:
            if not token.text:
                return None
            piece.text = token.text
        if entry is not None:
            piece.logprobs = (entry,)
        return piece

    def _logprobs(
        self, running: _Running, token: Token, event: Event
    ) -> tuple[dict[str, Any], Token]:
        """What the model thinks comes at this place, and the token that comes.

        A form or a call is spelt as it must be; all else says what is likeliest.
        """
        job = running.job
        text = job.prompt.text + "\0" * event.token
        count = max(job.top_logprobs, 1)
        listed = next_token.likeliest(self.model, text, count, running.cache_n)
        free = job.format is None and running.utterance.tool_call is None
        if free and token.part is not Part.END_OF_THINKING:
            token = replace(token, text=listed[0].text)
        entry = _entry(token.text, listed[0].logprob)
        if job.top_logprobs:
            entry["top_logprobs"] = [_entry(t.text, t.logprob) for t in listed]
        return entry, token

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

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def piece(self, piece: Piece) -> None:
        pass

    def finished(self, finish: Finish) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, failure: EngineFailure) -> None:
        if not self.done.done():
            self.done.set_exception(failure)


def _entry(text: str, logprob: float) -> dict[str, Any]:
    """A token as Ollama lists it; one without text has no bytes."""
    entry: dict[str, Any] = {"token": text, "logprob": logprob}
    return entry | {"bytes": list(text.encode())} if text else entry
