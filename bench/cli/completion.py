"""What the shell can complete: metrics, wherever one is asked for."""

from __future__ import annotations

import click


def complete_metric(context: click.Context, option: click.Parameter, begun: str) -> list[str]:
    """The metrics, with their statistics, that begin so."""
    from bench.thresholds import metric_texts  # only when the shell asks: --help stays quick

    return [text for text in metric_texts() if text.startswith(begun)]


def complete_compared(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """The metrics that a comparison can rest on."""
    from bench.thresholds import compared_texts

    return [text for text in compared_texts() if text.startswith(begun)]


def complete_size(context: click.Context, option: click.Parameter, begun: str) -> list[str]:
    """Metrics whose size is to be set: `ttft_s.p50=`."""
    return [f"{text}=" for text in complete_compared(context, option, begun)]


def complete_threshold(context: click.Context, option: click.Parameter, begun: str) -> list[str]:
    """Metrics with the side on which their limit lies: `ttft_s.p95<=`."""
    from bench.metrics import METRICS

    sides = {"higher": ">=", "lower": "<="}
    return [
        text + sides.get(METRICS[text.partition(".")[0]].better, "<=")
        for text in complete_metric(context, option, begun)
    ]
