"""Finds out how many tokens a model makes of a text: the server counts, there is no tokenizer."""

from __future__ import annotations

from bench.load.requests import RequestMaker
from bench.ollama.exchange import Outcome, Transport
from bench.scenario.calibration import TokenRates, fit_calibration
from bench.scenario.plan import Block, Case, Plan
from bench.scenario.prompts import calibration_prompts, prompt_source


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
    for prompt in calibration_prompts(case, plan, block):
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
