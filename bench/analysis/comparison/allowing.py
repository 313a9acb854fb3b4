"""What `--allow` takes: a mistyped key would allow nothing, and nobody would know why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from bench.analysis.comparison.setup_checks import ASKED
from bench.errors import UsageError
from bench.scenario.options import OPTION_NAMES

FORBIDDING: Final = (
    "options", "settings", *ASKED, "load", "prompts", "engine", "server", "digest", "quantization",
    "served_context", "slots_observed", "gpu_share", "hardware", "era", "order", "incomplete",
    "invalid",
)  # fmt: skip
"""Keys of what can forbid a comparison. "options" stands for every "options.NAME", likewise
"settings"."""

NOTED: Final = (
    "model", "server_version", "seed", "output_tokens", "failed_requests", "gpu_driver",
    "cpu_governor", "operating_system",
)  # fmt: skip
"""Keys of what is reported and never forbids: allowing these changes nothing, and is no mistake."""


def check_allowed(keys: Iterable[str]) -> None:
    """Whether all keys name something that can differ.

    Raises:
        UsageError: one does not.
    """
    for key in keys:
        group, _, name = key.partition(".")
        known = group == "settings" if name else key in (*FORBIDDING, *NOTED)
        if known or (group == "options" and name in OPTION_NAMES):
            continue
        names = [*FORBIDDING, *NOTED, *(f"options.{n}" for n in OPTION_NAMES)]
        near = difflib.get_close_matches(key, names, n=2)
        advice = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"--allow {key}: nothing of that name can differ",
            f"{advice}There are: {', '.join(FORBIDDING)}; and options.NAME, settings.VARIABLE.",
        )
