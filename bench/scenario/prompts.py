"""The prompts of a case: every one a pure function of plan, block and request."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from bench.scenario.calibration import DEFAULT_OVERHEAD, TokenRates
from bench.scenario.corpus import Corpus, load_corpus, units_of
from bench.scenario.draws import Stream, draw, generator, mean
from bench.scenario.nonce import nonce
from bench.scenario.plan import Block, Case, Plan, SyntheticPrompts
from bench.scenario.room import prompt_room

CLOSINGS = {
    "en": "Continue this text in the same style, in at least two thousand words.",
    "de": "Setze diesen Text im gleichen Stil fort, mit mindestens zweitausend Wörtern.",
    "es": "Continúa este texto en el mismo estilo, con al menos dos mil palabras.",
    "zh": "请以同样的风格继续写下去，至少两千字。",
    "code": "Continue this file in the same style, with at least three hundred lines.",
}
"""The end of every synthetic prompt: asks for more than num_predict lets come."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, ready to be sent.

    Attributes:
        user: the user's text; it starts with the nonce if there is no system text.
        system: the system text, starting with the nonce; None if there is none.
        nonce: the cache-busting text, "" if none.
        target_input_tokens: what the whole prompt should count; None if not aimed at.
        num_predict: takes the place of the option if not None.
        sha256: of system and user text without the nonce; first 16 hex digits.
        units: length of the text without nonce in units of the corpus; 0 if not synthetic.
    """

    user: str
    system: str | None
    nonce: str
    target_input_tokens: int | None
    num_predict: int | None
    sha256: str
    units: float = 0.0


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Gives the prompts of one case."""

    case: Case
    plan: Plan
    rates: TokenRates
    records: tuple[dict[str, Any], ...] = ()

    def prompt(self, block: Block, index: int, *, warmup: bool = False) -> Prompt:
        """The prompt of one request.

        Args:
            block: of this case.
            index: of the request in its block, from 0.
            warmup: for a request that is not measured: its text and nonce are others than those
                of the measured requests (with `cache: warm` the text is the same).
        """
        number = "" if self.case.prompts.cache == "warm" else self._nonce(block, index, warmup)
        if self.case.prompts.synthetic is not None:
            return self._synthetic(self.case.prompts.synthetic, block, index, warmup, number)
        record = self.records[turn(len(self.records), block, index, warmup)]
        system = record.get("system", self.case.system)
        return finish(record["prompt"], system, number, num_predict=record.get("output_tokens"))

    def _nonce(self, block: Block, index: int, warmup: bool) -> str:
        return nonce(self.plan.seed, self.plan.salt, block.index, index, warmup=warmup)

    def _synthetic(
        self, made: SyntheticPrompts, block: Block, index: int, warmup: bool, number: str
    ) -> Prompt:
        corpus = load_corpus(made.language)
        target, num_predict = self._lengths(made, block, index, warmup)
        target = max(1, min(target, prompt_room(self.case, num_predict)))
        warm = self.case.prompts.cache == "warm"
        start = 0 if warm else turn(len(corpus.starts), block, index, warmup)
        text, units = passage_text(corpus, start, self.rates.units(target))
        return finish(text, self.case.system, number, target, num_predict, units)

    def _lengths(
        self, made: SyntheticPrompts, block: Block, index: int, warmup: bool
    ) -> tuple[int, int | None]:
        """Prompt tokens, and output tokens if they are asked for: the trace's, else drawn."""
        where = (int(warmup), index)
        arrivals = None if warmup else self.case.load.arrivals
        if arrivals is not None and index < len(arrivals.prompt_tokens):
            target = arrivals.prompt_tokens[index]
        else:
            rng = generator(block.seed, Stream.INPUT_TOKENS, *where)
            target = round(draw(made.input_tokens, rng))
        if arrivals is not None and index < len(arrivals.output_tokens):
            return target, arrivals.output_tokens[index]
        if made.output_tokens is None:
            return target, None
        rng = generator(block.seed, Stream.OUTPUT_TOKENS, *where)
        return target, max(1, round(draw(made.output_tokens, rng)))


def turn(count: int, block: Block, index: int, warmup: bool) -> int:
    """Which of so many texts a request uses: each once, in a drawn order, before any is used again.

    Requests that are not measured go through the same order from its end.
    """
    if count == 1:
        return 0
    cycle, position = divmod(index, count)
    order = _order(count, block.seed, cycle)
    return order[-1 - position] if warmup else order[position]


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, cycle: int) -> list[int]:
    return generator(seed, Stream.PROMPT_ORDER, cycle).sample(range(count), count)


def prompt_source(case: Case, plan: Plan, rates: TokenRates | None = None) -> PromptSource:
    """What gives the prompts of a case.

    Args:
        case: of the plan.
        plan: the whole plan.
        rates: what calibration found; without it token counts are aimed at by a rule of thumb.
    """
    spec = case.prompts
    records: tuple[dict[str, Any], ...] = tuple({"prompt": text} for text in spec.inline)
    if spec.file:
        records = plan.prompt_files[spec.file]
    if rates is None:
        language = spec.synthetic.language if spec.synthetic else "en"
        system = units_of(case.system, language) if case.system else 0.0
        overhead = DEFAULT_OVERHEAD["raw" if case.raw else case.endpoint] + system
        rates = TokenRates(case.model, language, 1.0, overhead)
    return PromptSource(case, plan, rates, records)


CALIBRATION_INDEX = 2_000_000
"""Calibration prompts have indices from here on, among those that are not measured."""

_CALIBRATION_TOKENS = (400.0, 2500.0)
"""The longest calibration prompt is as long as the case's prompts, but within these."""


def calibration_prompts(case: Case, plan: Plan, block: Block) -> tuple[Prompt, ...]:
    """Prompts whose counted tokens tell how long a text must be for this case.

    The first has no text, so it shows the cost of template, system prompt and nonce; the others
    are half as long as the case's prompts and as long, and come from different parts of the text.
    Give their `units` and the server's `prompt_eval_count` to `fit_calibration`.

    Args:
        case: with synthetic prompts.
        plan: the whole plan.
        block: in which they are sent.
    """
    made = case.prompts.synthetic
    assert made is not None
    corpus = load_corpus(made.language)
    low, high = _CALIBRATION_TOKENS
    longest = min(max(low, mean(made.input_tokens)), high, 0.8 * int(case.options["num_ctx"]))
    first = generator(block.seed, Stream.CALIBRATION).randrange(len(corpus.starts))
    prompts = []
    for number, share in enumerate((0.0, 0.5, 1.0)):
        start = first + number * len(corpus.starts) // 3
        text, units = passage_text(corpus, start, share * longest)
        index = CALIBRATION_INDEX + number
        value = nonce(plan.seed, plan.salt, block.index, index, warmup=True)
        prompts.append(finish(text, case.system, value, units=units))
    return tuple(prompts)


def passage_text(corpus: Corpus, start: int, units: float) -> tuple[str, float]:
    """Text of about so many units: a passage, and a closing line that asks for a long answer."""
    closing = CLOSINGS[corpus.language]
    closing_units = units_of(closing, corpus.language) + 1
    if units < 2 * closing_units:
        return corpus.passage(start, units)
    text, length = corpus.passage(start, units - closing_units)
    return f"{text}\n\n{closing}", length + closing_units


def finish(
    user: str,
    system: str | None,
    number: str,
    target: int | None = None,
    num_predict: int | None = None,
    units: float = 0.0,
) -> Prompt:
    """Puts the nonce before the first text that the template renders."""
    digest = hashlib.sha256(f"{system or ''}\0{user}".encode()).hexdigest()[:16]
    if number and system:
        system = f"{number}\n\n{system}"
    elif number:
        user = f"{number}\n\n{user}"
    return Prompt(user, system, number, target, num_predict, digest, units)
