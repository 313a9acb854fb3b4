"""Replies whose truth is known, and thirty-odd ways in which a server or a proxy lies about them.

A reply is planned as it happens: when each token is made and when its text arrives. The honest done
line follows from that; a lie changes the done line or the arrivals, and never what happened.
`scripted` plays it on a virtual clock, `tests/performance/plausibility_lies.py` over sockets.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.wire.exchange import Call
from bench.wire.transports.fake import ScriptedReply

NS = 1e9
TOKENS = 40
"""Tokens of an answer, and num_predict: all answers end there."""
PROMPT_TOKENS = 200


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the parts of a reply take, in seconds."""

    load: float = 0.002
    rest: float = 0.003
    prompt: float = 0.4
    step: float = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply.

    Attributes:
        arrivals: when each piece of text arrives, in seconds since the request.
        texts: of each arrival.
        end: when the done line comes.
        done: its counters.
        reason: its done_reason.
        model: the name in it; None = the one that was asked.
    """

    arrivals: tuple[float, ...]
    texts: tuple[str, ...]
    end: float
    done: Mapping[str, Any]
    reason: str = "length"
    model: str | None = None

    def saying(self, **numbers: Any) -> Answer:
        """The same with other numbers; None leaves one out."""
        told = {**self.done, **numbers}
        return replace(self, done={k: v for k, v in told.items() if v is not None})

    def scaled(self, factor: float, *names: str) -> Answer:
        """The same with some numbers times a factor."""
        return self.saying(**{n: round(self.done[n] * factor) for n in names})


@dataclass(slots=True)
class Truth:
    """What really happened in the requests of a case, for the headlines."""

    steps: int = 0
    decode_s: float = 0.0
    prompt_s: float = 0.0
    tokens: int = 0
    elapsed_s: float = 0.0
    ttft_s: list[float] = field(default_factory=list)
    tpot_s: list[float] = field(default_factory=list)
    requests: int = 0

    def headlines(self) -> dict[str, float]:
        """Headline -> its true value, for one user who asks without a pause."""
        middle = len(self.ttft_s) // 2
        return {
            "decode_tok_per_s": self.steps / self.decode_s,
            "prefill_tok_per_s": PROMPT_TOKENS * self.requests / self.prompt_s,
            "ttft_s": sorted(self.ttft_s)[middle],
            "tpot_s": sorted(self.tpot_s)[middle],
            "output_tok_per_s": self.tokens / self.elapsed_s,
        }


def honest(number: int, pace: Pace, truth: Truth | None = None, hidden: int = 0) -> Answer:
    """Reply number so and so; a few percent of jitter between requests.

    Args:
        number: decides the jitter.
        pace: of the server.
        truth: gets what happened.
        hidden: tokens that are made before the first that is shown, twice as fast.
    """
    noise = random.Random(number)
    prompt, step = (x * noise.uniform(0.97, 1.03) for x in (pace.prompt, pace.step))
    first = pace.load + pace.rest + prompt + hidden * step / 2
    arrivals = tuple(first + i * step for i in range(TOKENS))
    end = arrivals[-1]
    decode = hidden * step / 2 + (TOKENS - 1) * step
    done = {
        "total_duration": round(end * NS),
        "load_duration": round(pace.load * NS),
        "prompt_eval_count": PROMPT_TOKENS,
        "prompt_eval_duration": round(prompt * NS),
        "eval_count": TOKENS + hidden,
        "eval_duration": round(decode * NS),
    }
    if truth is not None:
        truth.requests += 1
        truth.steps += TOKENS + hidden - 1
        truth.decode_s += decode
        truth.prompt_s += prompt
        truth.tokens += TOKENS + hidden
        truth.elapsed_s += end
        truth.ttft_s.append(first)
        truth.tpot_s.append(step)
    return Answer(arrivals, tuple(f" w{i}" for i in range(TOKENS)), end, done)


Lie = Callable[[Answer, int], Answer]
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def _in_bursts(a: Answer, size: int) -> Answer:
    ends = [a.arrivals[min(i - i % size + size - 1, TOKENS - 1)] for i in range(TOKENS)]
    return replace(a, arrivals=tuple(ends))


def _eval_and_prompt(a: Answer, _: int) -> Answer:
    return a.saying(eval_duration=a.done["eval_duration"] + a.done["prompt_eval_duration"])


LIES: dict[str, Lie] = {
    "decoding negative": lambda a, _: a.scaled(-1, "eval_duration"),
    "decoding zero": lambda a, _: a.saying(eval_duration=0),
    "decoding of hours, one in four": lambda a, n: a if n % 4 else a.scaled(1e6, "eval_duration"),
    "decoding wrapped below zero": lambda a, _: a.saying(eval_duration=2**64 - 10**6),
    "decoding as text": lambda a, _: a.saying(eval_duration="0.78s"),
    "decoding in seconds": lambda a, _: a.saying(eval_duration=a.done["eval_duration"] / NS),
    "decoding absent": lambda a, _: a.saying(eval_duration=None),
    "decoding is the whole elapsed": lambda a, _: a.saying(
        eval_duration=a.done["total_duration"], prompt_eval_duration=0, load_duration=0
    ),
    "decoding is the total": lambda a, _: a.saying(eval_duration=a.done["total_duration"]),
    "decoding with the prompt in it": _eval_and_prompt,
    "decoding twice": lambda a, _: a.scaled(2, "eval_duration"),
    "decoding half": lambda a, _: a.scaled(0.5, "eval_duration"),
    "decoding in one microsecond": lambda a, _: a.saying(eval_duration=1000),
    "all in milliseconds": lambda a, _: a.scaled(1e-6, *DURATIONS),
    "all in microseconds": lambda a, _: a.scaled(1e-3, *DURATIONS),
    "all in ticks of 100 ns": lambda a, _: a.scaled(0.01, *DURATIONS),
    "parts in milliseconds": lambda a, _: a.scaled(1e-6, "prompt_eval_duration", "eval_duration"),
    "all zero": lambda a, _: a.saying(**dict.fromkeys(a.done, 0)),
    "nothing said": lambda a, _: replace(a, done={}),
    "total ten times": lambda a, _: a.scaled(10, "total_duration"),
    "total a tenth": lambda a, _: a.scaled(0.1, "total_duration"),
    "load of a minute": lambda a, _: a.saying(load_duration=60 * 10**9),
    "prompt zero": lambda a, _: a.saying(prompt_eval_duration=0),
    "prompt a tenth": lambda a, _: a.scaled(0.1, "prompt_eval_duration"),
    "prompt half": lambda a, _: a.scaled(0.5, "prompt_eval_duration"),
    "prompt three times": lambda a, _: a.scaled(3, "prompt_eval_duration"),
    "tokens above num_predict": lambda a, _: a.scaled(2, "eval_count"),
    "tokens half": lambda a, _: a.scaled(0.5, "eval_count"),
    "tokens of another slot": lambda a, n: a.saying(eval_count=5 + 7 * n % 35),
    "tokens absent, one in four": lambda a, n: a if n % 4 else a.saying(eval_count=None),
    "more tokens cached than there are": lambda a, _: a.saying(prompt_eval_cached_count=500),
    "stream in one piece": lambda a, _: replace(a, arrivals=(a.end,) * TOKENS),
    "stream replayed fast": lambda a, _: replace(
        a, arrivals=tuple(a.end + 0.001 * i for i in range(TOKENS)), end=a.end + 0.001 * TOKENS
    ),
    "stream in bursts of ten": lambda a, _: _in_bursts(a, 10),
    "stream held back to the middle": lambda a, _: replace(
        a, arrivals=tuple(max(t, a.arrivals[20]) for t in a.arrivals)
    ),
    "another model answers, one in two": lambda a, n: a if n % 2 else replace(a, model="other:1b"),
}
HIDDEN = "tokens that nobody sees"
"""No lie about an answer, but an answer with 80 tokens of thinking that is not shown."""
HONEST = "honest"
KINDS = (HONEST, HIDDEN, *LIES)


def model_name(kind: str) -> str:
    """The model that answers in this way."""
    return kind.replace(" ", "-").replace(",", "") + ":1b"


_KIND_OF = {model_name(kind): kind for kind in KINDS}


def answer_of(model: str, number: int, pace: Pace, truth: Truth | None = None) -> Answer:
    """What a model answers to request number so and so; what happened goes into `truth`."""
    kind = _KIND_OF[model]
    told = honest(number, pace, truth, 80 if kind == HIDDEN else 0)
    answer = LIES[kind](told, number) if kind in LIES else told
    if truth is not None:
        truth.elapsed_s += answer.end - told.end  # what comes later was waited for
    return answer


def lines_of(answer: Answer, model: str, chat: bool) -> list[tuple[float, bytes]]:
    """The lines of a stream, each with the seconds since the request at which it arrives."""
    lines = [
        (at, _line(answer.model or model, chat, text))
        for at, text in zip(answer.arrivals, answer.texts, strict=True)
    ]
    done = {"done": True, "done_reason": answer.reason, **answer.done}
    return [*lines, (answer.end, _line(answer.model or model, chat, "", done))]


def whole_of(answer: Answer, model: str, chat: bool) -> bytes:
    """The same answer, not streamed."""
    done = {"done": True, "done_reason": answer.reason, **answer.done}
    return _line(answer.model or model, chat, "".join(answer.texts), done)


def _line(model: str, chat: bool, text: str, more: Mapping[str, Any] | None = None) -> bytes:
    said = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
    line = {"model": model, "created_at": "2026-01-01T00:00:00Z", **said, "done": False}
    return json.dumps({**line, **(more or {})}).encode() + b"\n"


def scripted(call: Call, number: int, pace: Pace, truth: Truth | None = None) -> ScriptedReply:
    """The reply on a virtual clock."""
    model = json.loads(call.body)["model"]
    answer = answer_of(model, number, pace, truth)
    chat = call.path.endswith("/chat")
    if call.stream:
        return ScriptedReply(tuple(lines_of(answer, model, chat)))
    return ScriptedReply(((answer.end, whole_of(answer, model, chat)),))


NAMED_BY: dict[str, frozenset[str]] = {
    "decode_tok_per_s": frozenset(
        {"implausible", "clocks_disagree", "unaccounted_time", "time_outside_server"}
    ),
    "prefill_tok_per_s": frozenset(
        {"implausible", "implausible_rate", "unaccounted_time", "time_outside_server"}
    ),
    "ttft_s": frozenset({"stream_held_back", "stream_in_bursts"}),
    "tpot_s": frozenset(
        {"implausible", "clocks_disagree", "chunk_not_token", "stream_held_back"}
        | {"stream_in_bursts"}
    ),
    "output_tok_per_s": frozenset({"implausible", "chunk_not_token"}),
}
"""Headline -> the warnings that say that it, or what it rests on, is in doubt."""


def headline(metrics: Mapping[str, Any], id: str) -> float | None:
    """The value of a headline in a summary's metrics; None if it is not shown."""
    found = metrics[id].stats.get("p50" if id in ("ttft_s", "tpot_s") else "value")
    return None if found is None else found.value
