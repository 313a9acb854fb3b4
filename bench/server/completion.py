"""Chat and generate, from the body to the done line."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.server.bodies import BadRequest, CompletionBody
from bench.server.engine import (
    DEFECT,
    EngineFailure,
    EnginePrompt,
    Finish,
    Job,
    Message,
    ModelCard,
    Piece,
    Rendered,
)
from bench.server.go import dumps
from bench.server.http_reply import Request
from bench.server.lines import CACHED_COUNT, TOO_LONG, Ending, LineFormat, llama_server_error
from bench.server.options import merged, sampling
from bench.server.scheduler import Loaded
from bench.server.settings import ServerState
from bench.server.stream import Output, Wire

_log = logging.getLogger(__name__)
_MICROSECOND = 1000
_LONGER_THAN_CONTEXT = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)


@dataclass(slots=True)
class Completion:
    """One request of /api/chat or /api/generate, or of /v1 turned into one of them."""

    state: ServerState
    request: Request
    body: CompletionBody
    form: LineFormat
    wire: Wire
    _loaded_ns: int = 0

    async def run(self) -> None:
        """Answer; a failure before anything was sent is raised, to be answered as well."""
        state, body = self.state, self.body
        self.wire.truth.model = body.model
        card = state.card(body.model)
        if body.empty and body.keep_alive_ns == 0:
            state.scheduler.expire(card)
            self._reply_empty("unload")
            return
        self._check(card)
        options = merged(card, body.options, state.era)
        about = (body.keep_alive_ns, self.request.received_ns, self.wire.truth)
        model = await state.acquire(card, options, *about, shift=body.shift)
        try:
            self._loaded_ns = self.wire.truth.loaded_ns = state.clocks.now_ns()
            if body.empty:
                self._reply_empty("load")
            else:
                await self._complete(model, options)
        except EngineFailure as failure:
            failure.in_stream = body.stream
            raise
        finally:
            state.scheduler.release(model)

    def _check(self, card: ModelCard) -> None:
        """What Ollama refuses before it loads anything."""
        body = self.body
        name = body.model
        if body.raw and (body.template or body.system or body.context):
            raise BadRequest("raw mode does not support template, system, or context")
        if "completion" not in card.capabilities:
            what = "generate" if body.messages is None else "chat"
            raise BadRequest(f'"{name}" does not support {what}')
        if body.think and "thinking" not in card.capabilities:
            raise BadRequest(f'"{name}" does not support thinking')
        full = f"registry.ollama.ai/library/{card.name}"
        if body.tools and "tools" not in card.capabilities:
            raise BadRequest(f"{full} does not support tools")
        if body.suffix and "insert" not in card.capabilities:
            raise BadRequest(f"{full} does not support insert")

    def _reply_empty(self, reason: str) -> None:
        """The reply to a load or unload request: no metrics at all, and never a stream."""
        _, wall = self.wire.now()
        data = self.form.whole(Piece(), Ending(reason, {}), wall)
        self.wire.whole(200, self.form.whole_type, data)

    async def _complete(self, model: Loaded, options: dict[str, Any]) -> None:
        body = self.body
        prompt = self._prompt(model.card)
        self._check_images(prompt, model.card)
        async with model.rendering:
            rendered = await self._fit(model, prompt, options)
        _check_format(body.form)
        job = Job(
            id=self.wire.truth.id,
            prompt=rendered,
            options=sampling(options),
            stop=tuple(options.get("stop", ())),
            format=body.form or None,
            think=self._think(model.card),
            tools=body.tools,
            logprobs=body.logprobs,
            top_logprobs=body.top_logprobs,
        )
        native = body.messages is not None and self.state.era.llama_server
        keeps_context = body.messages is None and not body.raw
        output = Output(
            self.wire,
            self.form,
            stream=body.stream,
            abort_repeats=not native,
            late_tool_calls=native,
            context=[int(t) for t in rendered.tokens] if keeps_context else None,
            metrics=self._metrics,
            release=model.slots.release,
            abort=lambda: model.runner.cancel(job.id),
        )
        await self._in_slot(model, job, output)

    async def _in_slot(self, model: Loaded, job: Job, output: Output) -> None:
        """Wait for a slot, run the job, and give all back whatever happens."""
        truth = self.wire.truth

        def start() -> None:
            truth.slot_ns = self.state.clocks.now_ns()
            try:
                model.runner.start(job, output)
            except Exception:  # a defect of ours, which must not keep the slot
                _log.exception("job %s", job.id)
                output.failed(EngineFailure(DEFECT))

        truth.queued_ns = self.state.clocks.now_ns()
        model.slots.enter(start)
        try:
            await output.ended
        except asyncio.CancelledError:
            if not model.slots.leave_queue(start) and not _settled(output):
                model.runner.cancel(job.id)
                model.slots.release()
            raise

    def _check_images(self, prompt: EnginePrompt, card: ModelCard) -> None:
        """llama-server refuses them if the model cannot see."""
        images = any(message.images for message in prompt.messages)
        if images and self.state.era.llama_server and "vision" not in card.capabilities:
            message = "Multimodal data provided, but model does not support multimodal requests."
            raise BadRequest(llama_server_error(message))

    def _prompt(self, card: ModelCard) -> EnginePrompt:
        body = self.body
        think = self._think(card)
        if body.messages is not None:
            messages = body.messages
            if card.system and (not messages or messages[0].role != "system"):
                messages = (Message(role="system", content=card.system), *messages)
            return EnginePrompt(messages=messages, tools=body.tools, think=think)
        if body.raw:
            return EnginePrompt(raw=body.prompt, suffix=body.suffix)
        system = body.system or card.system
        messages = (Message(role="user", content=body.prompt, images=body.images),)
        if system:
            messages = (Message(role="system", content=system), *messages)
        prompt = EnginePrompt(messages=messages, think=think, context=body.context)
        return replace(prompt, suffix=body.suffix, template=body.template)

    def _think(self, card: ModelCard) -> bool | str | None:
        """Unset means on for a model that can think (since 0.12.5)."""
        if "thinking" not in card.capabilities:
            return None
        return True if self.body.think is None else self.body.think

    async def _fit(self, model: Loaded, prompt: EnginePrompt, options: dict[str, Any]) -> Rendered:
        """Render the prompt, and cut it to the context as the era does."""
        num_ctx = model.options.num_ctx
        body, era = self.body, self.state.era
        rendered = await model.runner.render(prompt)
        if not body.truncate:
            slot_ctx = model.options.slot_ctx if era.llama_server else num_ctx
            if len(rendered.tokens) > era.room(slot_ctx):
                raise BadRequest(_too_long(len(rendered.tokens), slot_ctx, era.llama_server))
            return rendered
        room = era.room(num_ctx)
        if len(rendered.tokens) <= room:
            return rendered
        while len(rendered.tokens) > room and (shorter := _without_oldest(prompt)):
            prompt = shorter
            rendered = await model.runner.render(prompt)
        if len(rendered.tokens) <= room:
            return rendered
        if era.llama_server and not body.shift:
            raise BadRequest(_LONGER_THAN_CONTEXT)
        limit = era.prompt_limit(num_ctx, options.get("num_keep", 4))
        return Rendered(rendered.text, _cut(rendered.tokens, limit, options.get("num_keep", 4)))

    def _metrics(self, finish: Finish, now_ns: int) -> dict[str, int]:
        """Ollama's numbers. llama-server era: whole microseconds, and at least one to evaluate."""
        prompt_ns, eval_ns = finish.prompt_ns, finish.predicted_ns
        if self.state.era.llama_server:
            prompt_ns = prompt_ns // _MICROSECOND * _MICROSECOND
            eval_ns = max(eval_ns // _MICROSECOND, 1) * _MICROSECOND
        prompt_n = finish.prompt_n + finish.cache_n
        truth = self.wire.truth
        truth.prompt_tokens, truth.cached_tokens = prompt_n, finish.cache_n
        cached = {CACHED_COUNT: finish.cache_n} if self.state.era.cached_count else {}
        return {
            "total_duration": now_ns - self.request.received_ns,
            "load_duration": self._loaded_ns - self.request.received_ns,
            "prompt_eval_count": prompt_n,
            **cached,
            "prompt_eval_duration": prompt_ns,
            "eval_count": finish.predicted_n,
            "eval_duration": eval_ns,
        }


def _settled(output: Output) -> bool:
    """The output has ended by itself, so its slot has been given back."""
    return output.ended.done() and not output.ended.cancelled()


def _without_oldest(prompt: EnginePrompt) -> EnginePrompt | None:
    """The chat without its oldest message that is not a system message; None at the last one."""
    rest = [message for message in prompt.messages if message.role != "system"]
    if len(rest) < 2:
        return None
    kept = tuple(message for message in prompt.messages if message is not rest[0])
    return replace(prompt, messages=kept)


def _cut(tokens: Sequence[int] | NDArray[np.int32], limit: int, num_keep: int) -> list[int]:
    """The first `num_keep` tokens and the last ones, `limit` in all."""
    keep = min(max(num_keep, 0), limit - 1)
    return [*tokens[:keep], *tokens[len(tokens) - (limit - keep) :]]


def _too_long(tokens: int, num_ctx: int, llama_server: bool) -> str:
    if not llama_server:
        return TOO_LONG
    message = (
        f"request ({tokens} tokens) exceeds the available context size ({num_ctx} tokens), "
        "try increasing it"
    )
    return llama_server_error(
        message, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=num_ctx
    )


def _check_format(form: Any) -> None:
    if form in (None, "", "json") or isinstance(form, dict):
        return
    raise EngineFailure(
        f'invalid format: {json.dumps(dumps(form))}; expected "json" or a valid JSON Schema object'
    )
