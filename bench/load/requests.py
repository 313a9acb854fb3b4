"""From a case and a prompt to an encoded call; done before the timed path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import msgspec

from bench.load.checks import checked
from bench.load.supply import Prepared
from bench.ollama.embed_reader import VECTOR_BYTES, embed_call
from bench.ollama.line_reader import ollama_call
from bench.results.record import Phase
from bench.scenario.plan import Block, Case
from bench.scenario.prompts import Prompt, PromptSource
from bench.wire.exchange import Call, Outcome, Reply

RAMP_UP_FROM = 1_000_000
_FIRST = {
    Phase.WARMUP: 0,
    Phase.RAMP_UP: RAMP_UP_FROM,
    # From 2,000,000 on: calibration.
    Phase.SETTLE: 3_000_000,
    Phase.HOLD: 4_000_000,
}
"""Prompts that are not measured come from ranges of their own: no text or nonce is ever shared, and
the measured requests of both blocks of a pair are the same however long the ramp-up was."""

_PATHS = {"chat": "/api/chat", "generate": "/api/generate", "embed": "/api/embed"}
_encoder = msgspec.json.Encoder()


@dataclass(eq=False)
class RequestMaker:
    """Makes the calls of one block.

    `rows` has, for phases that play rows of a trace again, the first row that each begins with.
    """

    case: Case
    block: Block
    source: PromptSource
    keep_text: bool = False
    rows: Mapping[Phase, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._timeouts = asdict(self.case.timeouts)

    def __call__(self, phase: Phase, number: int) -> Prepared:
        """The call with this number in this phase."""
        if phase is Phase.MEASURE:
            return self._prepare(self.source.prompt(self.block, number), number)
        row = self.rows.get(phase)
        prompt = self.source.prompt(
            self.block,
            _FIRST[phase] + number,
            warmup=True,
            row=None if row is None else row + number,
        )
        return self._prepare(prompt, number)

    def calibration(self, prompt: Prompt) -> Call:
        """A call that makes the server count this prompt and answer one token."""
        return self._call({**request_body(self.case, prompt), "options": self._options(1)})

    def _prepare(self, prompt: Prompt, number: int) -> Prepared:
        case = self.case
        options = self._options(prompt.num_predict)
        return Prepared(
            call=self._call({**request_body(case, prompt), "options": options}),
            number=number,
            prompt_sha256=prompt.sha256,
            target_input_tokens=prompt.target_input_tokens,
            num_predict=options.get("num_predict"),
            seed=options.get("seed"),
            nonce=prompt.nonce,
            marks=self._marks(prompt),
            check=None if prompt.control or not case.checks else partial(checked, case),
            hear=partial(_counted, 1 + len(prompt.more)) if case.endpoint == "embed" else None,
            text_kept=self.keep_text,
        )

    def _marks(self, prompt: Prompt) -> dict[str, Any]:
        """What its record says of it beyond the usual."""
        marks: dict[str, Any] = {"control": True} if prompt.control else {}
        spec = self.case.prompts.images
        if spec is not None:
            marks["images"] = len(prompt.images)
            marks["image_pixels"] = len(prompt.images) * spec.pixels[0] * spec.pixels[1] or None
        if self.case.endpoint == "embed":
            marks["inputs"] = 1 + len(prompt.more)
        return marks

    def _options(self, num_predict: int | None) -> dict[str, Any]:
        if num_predict is None:
            return self.case.options
        return {**self.case.options, "num_predict": num_predict}

    def _call(self, body: dict[str, Any]) -> Call:
        case = self.case
        embed = case.endpoint == "embed"
        return (embed_call if embed else ollama_call)(
            path=_PATHS[case.endpoint],
            body=_encoder.encode(body),
            stream=case.stream and not embed,
            keep_text=self.keep_text or bool(case.checks),
            **self._timeouts,
            more_bytes=VECTOR_BYTES * case.prompts.batch if embed else 0,
        )


def _counted(inputs: int, reply: Reply) -> dict[str, Any]:
    """Whether there is a vector for each text."""
    missing = reply.outcome is Outcome.OK and reply.embeddings != inputs
    return {"odd": (*reply.odd, "embeddings")} if missing else {}


def base_body(case: Case) -> dict[str, Any]:
    """What is the same in every request of a case, without its options.

    `truncate: false` turns a prompt that does not fit into an error: Ollama would otherwise cut it
    silently, and the numbers would be those of another prompt.
    """
    body: dict[str, Any] = {
        "model": case.model,
        "stream": case.stream,
        "keep_alive": case.keep_alive,
        "truncate": case.truncate,
    }
    if case.think is not None:
        body["think"] = case.think
    if case.format is not None:
        body["format"] = case.format
    return body


def request_body(case: Case, prompt: Prompt) -> dict[str, Any]:
    """The JSON of one request, without its options."""
    if case.endpoint == "embed":
        texts = [prompt.user, *prompt.more]
        keep = {"keep_alive": case.keep_alive, "truncate": case.truncate}
        return {"model": case.model, **keep, "input": texts if prompt.more else texts[0]}
    body = base_body(case)
    if prompt.control and case.prompts.images is None:
        body.pop("format", None)
    images = {"images": list(prompt.images)} if prompt.images else {}
    if case.endpoint == "chat":
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        if case.tools is not None:
            body["tools"] = list(case.tools.tools)
        return {**body, "messages": [*system, {"role": "user", "content": prompt.user, **images}]}
    body |= {"prompt": prompt.user, **images}
    if case.raw:
        body["raw"] = True
    elif prompt.system:
        body["system"] = prompt.system
    return body
