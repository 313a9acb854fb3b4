"""Finds out how many tokens a model makes of a text: the server counts, there is no tokenizer."""

from __future__ import annotations

from dataclasses import replace

from bench.load.requests import CALIBRATION_FROM, RequestMaker
from bench.ollama.exchange import Outcome, Transport
from bench.scenario.calibration import TokenRates, fit_calibration
from bench.scenario.plan import Block, Case, Distribution, Plan
from bench.scenario.prompts import Prompt, PromptSource, prompt_source

LENGTHS = (40.0, 120.0, 240.0, 400.0)
"""Lengths of the calibration prompts, in units of the corpus (about a token each)."""


def calibration_key(case: Case) -> tuple[str, ...]:
    """Cases with the same key make the same number of tokens of the same text."""
    made = case.prompts.synthetic
    language = made.language if made else ""
    template = "raw" if case.raw else case.endpoint
    return (case.target, case.model, language, template, repr(case.think), case.system or "")


async def calibrate(
    case: Case, block: Block, plan: Plan, transport: Transport
) -> tuple[TokenRates | None, str]:
    """Send a few prompts of known length and fit a line through the counts.

    Returns:
        The rates; or None, and why there are none.
    """
    maker = RequestMaker(case, block, prompt_source(case, plan))
    lengths, counts = [], []
    for number, length in enumerate(LENGTHS):
        prompt = _prompt_of_length(case, block, plan, length, number)
        reply = await transport.send(maker.calibration(prompt))
        if reply.outcome is not Outcome.OK:
            return None, f"calibration request failed: {reply.error or reply.outcome}"
        if reply.server.prompt_eval_count is None:
            return None, "the server did not count the prompt's tokens"
        lengths.append(prompt.units)
        counts.append(reply.server.prompt_eval_count)
    try:
        made = case.prompts.synthetic
        language = made.language if made else "en"
        return fit_calibration(lengths, counts, model=case.model, language=language), ""
    except ValueError as error:
        return None, str(error)


def _prompt_of_length(case: Case, block: Block, plan: Plan, units: float, number: int) -> Prompt:
    """A prompt of so many units of text, its nonce and system text aside."""
    made = case.prompts.synthetic
    assert made is not None
    fixed = replace(made, input_tokens=Distribution("fixed", {"value": units}), output_tokens=None)
    one_length = replace(case, prompts=replace(case.prompts, synthetic=fixed, cache="bust"))
    one_to_one = TokenRates(case.model, made.language, tokens_per_unit=1.0, overhead_tokens=0.0)
    source = PromptSource(one_length, plan, one_to_one)
    return source.prompt(block, CALIBRATION_FROM + number, warmup=True)
