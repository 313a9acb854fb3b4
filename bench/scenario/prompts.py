"""The prompts of a case: every one a pure function of plan, block and request."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import random
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

from bench.scenario.block_text import retrieved
from bench.scenario.corpus import Corpus, TokenRates, guessed_rates, load_corpus, units_of
from bench.scenario.draws import Stream, draw, generator, mean
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
        sha256: of system and user text without the nonce; first 16 hex digits.
        target_input_tokens: what the whole prompt should count; None if not aimed at.
        num_predict: takes the place of the option if not None.
        units: length of the text without nonce in units of the corpus; 0 if not synthetic.
        more: further texts of the same embedding request.
        images: pictures, as base64.
        control: it goes without its pictures, else without a format.
    """

    user: str
    system: str | None
    nonce: str
    sha256: str
    target_input_tokens: int | None = None
    num_predict: int | None = None
    units: float = 0.0
    more: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    control: bool = False


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Gives the prompts of one case."""

    case: Case
    plan: Plan
    rates: TokenRates
    records: tuple[dict[str, Any], ...] = ()

    def prompt(
        self, block: Block, index: int, *, warmup: bool = False, row: int | None = None
    ) -> Prompt:
        """The prompt of one request.

        Args:
            block: of this case.
            index: of the request in its block, from 0.
            warmup: for a request that is not measured: its text and nonce are others than those
                of the measured requests (with `cache: warm` the text is the same).
            row: of the trace whose lengths it has; None = that of its index if it is measured, else
                none.
        """
        if self.case.control and not warmup:
            pair = self._with_images(self._one(block, index // 2, False, row), block, index // 2)
            if pair.nonce:  # the same text with another number in front
                number = self._number(block, index, False)
                past = len(pair.nonce)
                user = pair.user if pair.system else f"{number}{pair.user[past:]}"
                system = pair.system and f"{number}{pair.system[past:]}"
                pair = replace(pair, user=user, system=system, nonce=number)
            return replace(pair, images=(), control=True) if index % 2 else pair
        one = self._with_images(self._one(block, index, warmup, row), block, index)
        size = self.case.prompts.batch
        if size == 1:
            return one
        first = index * size
        texts = [self._one(block, first + n, warmup, row).user for n in range(size)]
        return replace(one, user=texts[0], more=tuple(texts[1:]))

    def _with_images(self, prompt: Prompt, block: Block, index: int) -> Prompt:
        spec = self.case.prompts.images
        if spec is None:
            return prompt
        places = range(index * spec.count, (index + 1) * spec.count)
        if spec.files:
            chosen = tuple(spec.files[place % len(spec.files)][1] for place in places)
            return replace(prompt, images=chosen)
        width, height = spec.pixels
        where = f"{self.plan.seed} {self.plan.salt} {self.plan.nonce_block(block)}"
        drawn = tuple(picture(width, height, f"{where} {prompt.nonce} {n}") for n in places)
        return replace(prompt, images=drawn)

    def _one(self, block: Block, index: int, warmup: bool, row: int | None) -> Prompt:
        """The text of one request, or of one part of it."""
        if row is None and not warmup:
            row = index
        number = self._number(block, index, warmup)
        spec = self.case.prompts
        if spec.synthetic is not None:
            return self._synthetic(spec.synthetic, block, index, warmup, row)
        if spec.rag is not None:
            rng = generator(block.seed, Stream.PASSAGES, int(warmup), index)
            text = retrieved(spec.rag, self.rates, rng)
            # One number for all of a block: passages are to be found again.
            return finish(text, self.case.system, self._number(block, 4_900_000, True))
        record = self.records[turn(len(self.records), block, index, warmup)]
        system = record.get("system", self.case.system)
        return finish(record["prompt"], system, number, num_predict=record.get("output_tokens"))

    def _number(self, block: Block, index: int, warmup: bool) -> str:
        """What busts caches; "" with a warm one."""
        if self.case.prompts.cache == "warm":
            return ""
        place = self.plan.nonce_block(block)
        return nonce(self.plan.seed, self.plan.salt, place, index, warmup=warmup)

    def _synthetic(
        self, made: SyntheticPrompts, block: Block, index: int, warmup: bool, row: int | None
    ) -> Prompt:
        corpus = load_corpus(made.language)
        target, num_predict = self._lengths(made, block, index, warmup, row)
        target = max(1, min(target, prompt_room(self.case, num_predict)))
        number = self._number(block, index, warmup)
        warm = self.case.prompts.cache == "warm"
        start = 0 if warm else turn(len(corpus.starts), block, index, warmup)
        text, units = passage_text(corpus, start, self.rates.units(target))
        how = {"target_input_tokens": target, "num_predict": num_predict, "units": units}
        return finish(text, self.case.system, number, **how)

    def _lengths(
        self, made: SyntheticPrompts, block: Block, index: int, warmup: bool, row: int | None
    ) -> tuple[int, int | None]:
        """Prompt tokens, and output tokens if they are asked for: the trace's, else drawn."""
        where = (int(warmup), index)
        arrivals = self.case.load.arrivals
        if arrivals is not None and row is not None and row < len(arrivals.prompt_tokens):
            target = arrivals.prompt_tokens[row]
        else:
            rng = generator(block.seed, Stream.INPUT_TOKENS, *where)
            target = round(draw(made.input_tokens, rng))
        if arrivals is not None and row is not None and row < len(arrivals.output_tokens):
            return target, arrivals.output_tokens[row]
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

    Without `rates`, which calibration finds, token counts are aimed at by a rule of thumb.
    """
    spec = case.prompts
    records: tuple[dict[str, Any], ...] = tuple({"prompt": text} for text in spec.inline)
    if spec.file:
        records = plan.prompt_files[spec.file]
    return PromptSource(case, plan, rates or guessed_rates(case), records)


CALIBRATION_INDEX = 2_000_000
"""Calibration prompts have indices from here on, among those that are not measured."""

_CALIBRATION_TOKENS = (400.0, 2500.0)
"""The longest calibration prompt is as long as the case's prompts, but within these."""
_SHORTEST_SHARE = 0.05
"""The shortest one without a nonce, of the longest: an empty prompt is a preload to Ollama."""


def calibration_prompts(case: Case, plan: Plan, block: Block) -> tuple[Prompt, ...]:
    """Prompts whose counted tokens tell how long a text must be for this case.

    The first has no text, so it shows the cost of template, system prompt and nonce; the others
    are half as long as the case's prompts and as long, and come from different parts of the text.
    They carry a nonce if the case's prompts do. Without one (`cache: warm`) the first is short, and
    the salt of the run chooses the texts, so that no cache has them: in some eras the count leaves
    cached tokens out.
    Give their `units` and the server's `prompt_eval_count` to `fit_calibration`.
    """
    spec, (low, high) = case.prompts, _CALIBRATION_TOKENS
    corpus, usual = load_corpus(spec.language), high
    if spec.synthetic is not None:
        usual = mean(spec.synthetic.input_tokens)
    elif spec.rag is not None:
        usual = spec.rag.passages * spec.rag.passage_tokens
    elif spec.made is not None:
        usual = mean(spec.made.first_tokens)
    longest = min(max(low, usual), high, 0.8 * int(case.options["num_ctx"]))
    warm = spec.cache == "warm"
    where = (plan.salt,) if warm else ()
    first = generator(block.seed, Stream.CALIBRATION, *where).randrange(len(corpus.starts))
    prompts = []
    for number, share in enumerate((_SHORTEST_SHARE if warm else 0.0, 0.5, 1.0)):
        start = first + number * len(corpus.starts) // 3
        text, units = passage_text(corpus, start, share * longest)
        index = CALIBRATION_INDEX + number
        value = "" if warm else nonce(plan.seed, plan.salt, block.index, index, warmup=True)
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


def finish(user: str, system: str | None, number: str, **more: Any) -> Prompt:
    """Puts the nonce before the first text that the template renders; `more` is of the prompt."""
    digest = hashlib.sha256(f"{system or ''}\0{user}".encode()).hexdigest()[:16]
    if number and system:
        system = f"{number}\n\n{system}"
    elif number:
        user = f"{number}\n\n{user}"
    return Prompt(user, system, number, digest, **more)


_SPACE = 10**12
_PER_BLOCK = 10**7
"""Indices per block: half for measured requests, half for warm-up and calibration."""


def nonce(seed: int, salt: int, block: int, index: int, *, warmup: bool = False) -> str:
    """Four groups of three digits, different for every request of a run.

    Numbers of a fixed shape cost nearly the same count of tokens in every tokenizer. The request's
    place in the run is mapped by an affine permutation of the 12-digit numbers that seed and salt
    choose: two requests of one run never share a nonce, and its first digits change from request to
    request. Requests that are not measured have a range of their own.

    Raises:
        ValueError: block or index out of range.
    """
    if not (0 <= block < _SPACE // _PER_BLOCK and 0 <= index < _PER_BLOCK // 2):
        raise ValueError(f"no nonce for request {index} of block {block}")
    place = block * _PER_BLOCK + index + (_PER_BLOCK // 2 if warmup else 0)
    factor, shift = _permutation(seed, salt)
    digits = f"{(place * factor + shift) % _SPACE:012d}"
    return " ".join(digits[i : i + 3] for i in range(0, 12, 3))


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, salt: int) -> tuple[int, int]:
    digest = hashlib.sha256(f"nonce {seed} {salt}".encode()).digest()
    # Between a tenth and nine tenths of the space, so that neighbours differ in their first digits.
    factor = _SPACE // 10 + int.from_bytes(digest[:16], "big") % (_SPACE * 8 // 10)
    while math.gcd(factor, _SPACE) != 1:
        factor += 1
    return factor, int.from_bytes(digest[16:], "big") % _SPACE


_SHADES = 48
"""Tones a picture uses at most: it must compress, for pictures of megabytes measure the network."""
_CELL = 16
"""Pixels of one square. Every square has a tone of its own, so no two pictures share a patch."""


def picture(width: int, height: int, seed: str) -> str:
    """A picture of grey and coloured squares, as base64 of a PNG.

    Another seed gives another picture, in every part of it.
    """
    rng = random.Random(seed)
    palette = b"".join(bytes(rng.randrange(256) for _ in range(3)) for _ in range(_SHADES))
    rows = []
    for _ in range(0, height, _CELL):
        tones = (rng.randrange(_SHADES) for _ in range(0, width, _CELL))
        row = b"".join(bytes([tone]) * _CELL for tone in tones)[:width]
        rows += [b"\0" + row] * _CELL
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    data = zlib.compress(b"".join(rows[:height]), 1)
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", data), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n"
    for kind, content in parts:  # chunks: PNG specification, section 5.3
        check = zlib.crc32(kind + content)
        png += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    return base64.b64encode(png).decode("ascii")
