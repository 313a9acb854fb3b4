"""Whether prompt and answer fit the context: else the prompt is refused, or the context shifts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest

from bench.scenario.draws import Stream, draw, generator
from bench.scenario.plan import Case

_MARGIN = 0.02
"""Of the context: token counts are aimed at, and a prompt over the context would be refused."""

_DRAWS = 400
_MAX_SHARE = 0.05
"""So many of the drawn prompts may be shortened to fit; more would bend the distribution."""


def prompt_room(case: Case, num_predict: int | None = None) -> int:
    """The longest prompt, in tokens, that leaves room for the answer in the context.

    `num_predict` is that of the request, if it has one of its own.
    """
    answer = int(case.options["num_predict"]) if num_predict is None else num_predict
    return int(int(case.options["num_ctx"]) * (1 - _MARGIN)) - max(0, answer)


def cut_to_fit(case: Case) -> int:
    """How many prompts of a trace are shortened to fit the context."""
    return sum(need > int(case.options["num_ctx"]) for need in _needs(case))


def _needs(case: Case) -> Iterator[int]:
    """The context that each prompt of a trace and its answer need."""
    arrivals = case.load.arrivals
    if arrivals is None or case.prompts.synthetic is None:
        return
    usual = max(0, int(case.options["num_predict"]))
    for prompt, answer in zip_longest(arrivals.prompt_tokens, arrivals.output_tokens):
        if prompt is not None:
            yield math.ceil((prompt + (answer or usual)) / (1 - _MARGIN))


def too_long(case: Case) -> str:
    """Why the synthetic prompts of a case do not fit its context; "" if they do."""
    made = case.prompts.synthetic
    if made is None:
        return ""
    excess = cut_to_fit(case)
    arrivals = case.load.arrivals
    if arrivals is not None and arrivals.prompt_tokens:
        rows = len(arrivals.prompt_tokens)
        if excess <= _MAX_SHARE * rows:
            return ""
        most = max(_needs(case))
        return (
            f"case {case.id!r}: {excess:,} of the {rows:,} prompts of {arrivals.trace_file} do "
            f"not fit options.num_ctx {case.options['num_ctx']}; the longest needs {most:,}"
        )
    inputs, outputs = generator(0, Stream.INPUT_TOKENS), generator(0, Stream.OUTPUT_TOKENS)
    for _ in range(_DRAWS):
        answer = None
        if made.output_tokens is not None:
            answer = round(draw(made.output_tokens, outputs))
        excess += round(draw(made.input_tokens, inputs)) > prompt_room(case, answer)
    if excess <= _MAX_SHARE * _DRAWS:
        return ""
    share = "" if excess == _DRAWS else f"{excess / _DRAWS:.0%} of the "
    return (
        f"case {case.id!r}: {share}prompts do not fit: input_tokens and num_predict together "
        f"leave less than {_MARGIN:.0%} of num_ctx {case.options['num_ctx']} free; "
        "raise options.num_ctx"
    )
