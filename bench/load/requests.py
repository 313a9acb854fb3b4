"""From a case and a prompt to an encoded call; done before the timed path."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.load.supply import Prepared
from bench.ollama.exchange import Call
from bench.results.record import Phase
from bench.scenario.plan import Block, Case
from bench.scenario.prompts import Prompt, PromptSource

RAMP_UP_FROM = 1_000_000
"""Prompts that are not measured come from ranges of their own: no text or nonce is ever shared, and
the measured requests of both blocks of a pair are the same however long the ramp-up was."""

_PATHS = {"chat": "/api/chat", "generate": "/api/generate"}
_encoder = msgspec.json.Encoder()


class RequestMaker:
    """Makes the calls of one block."""

    def __init__(
        self, case: Case, block: Block, source: PromptSource, keep_text: bool = False
    ) -> None:
        self._case = case
        self._block = block
        self._source = source
        self._keep_text = keep_text

    def __call__(self, phase: Phase, number: int) -> Prepared:
        """The call with this number in this phase."""
        if phase is Phase.MEASURE:
            return self._prepare(self._source.prompt(self._block, number), number)
        shift = RAMP_UP_FROM if phase is Phase.RAMP_UP else 0
        prompt = self._source.prompt(self._block, shift + number, warmup=True)
        return self._prepare(prompt, number)

    def calibration(self, prompt: Prompt) -> Call:
        """A call that makes the server count this prompt and answer one token."""
        return self._call({**request_body(self._case, prompt), "options": self._options(1)})

    def _prepare(self, prompt: Prompt, number: int) -> Prepared:
        options = self._options(prompt.num_predict)
        seed = options.get("seed")
        num_predict = options.get("num_predict")
        return Prepared(
            call=self._call({**request_body(self._case, prompt), "options": options}),
            number=number,
            prompt_sha256=prompt.sha256,
            target_input_tokens=prompt.target_input_tokens,
            num_predict=num_predict,
            seed=seed,
            nonce=prompt.nonce,
        )

    def _options(self, num_predict: int | None) -> dict[str, Any]:
        if num_predict is None:
            return self._case.options
        return {**self._case.options, "num_predict": num_predict}

    def _call(self, body: dict[str, Any]) -> Call:
        case = self._case
        return Call(
            path=_PATHS[case.endpoint],
            body=_encoder.encode(body),
            stream=case.stream,
            keep_text=self._keep_text,
            connect_s=case.timeouts.connect_s,
            first_byte_s=case.timeouts.first_byte_s,
            idle_s=case.timeouts.idle_s,
        )


def request_body(case: Case, prompt: Prompt) -> dict[str, Any]:
    """The JSON of one request, without its options.

    `truncate: false` turns a prompt that does not fit into an error: Ollama would otherwise cut it
    silently, and the numbers would be those of another prompt.
    """
    body: dict[str, Any] = {
        "model": case.model,
        "stream": case.stream,
        "keep_alive": case.keep_alive,
        "truncate": False,
    }
    if case.think is not None:
        body["think"] = case.think
    if case.format is not None:
        body["format"] = case.format
    if case.endpoint == "chat":
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        return {**body, "messages": [*system, {"role": "user", "content": prompt.user}]}
    body["prompt"] = prompt.user
    if case.raw:
        body["raw"] = True
    elif prompt.system:
        body["system"] = prompt.system
    return body
