"""What a self-test means: up to which load this program can be trusted on this machine."""

from __future__ import annotations

from bench.doctor.checkup import Finding, Status, judged
from bench.doctor.self_test import LoadStep, SelfTest

EXACT_MS = 0.2
"""Stamp errors up to this (p99) are as good as none."""
USABLE_MS = 1.0
"""Up to this they are small against any time to a first token."""
ENOUGH_PER_S = 5_000
"""Chunks per second that a busy server of one machine may send."""
TOKENS_PER_S = 30
"""Of one answer; to say a load in users."""
_LATE_MS = 5.0


def ceiling_findings(test: SelfTest) -> list[Finding]:
    """The result of a self-test in words."""
    found = [Finding("transport", Status.FINE, f"{test.transport}: {test.reason}")]
    best, usable = test.best(EXACT_MS), test.best(USABLE_MS)
    found.append(_stamps(test, best or usable))
    found.append(_load(test, usable))
    short = f"{test.requests_per_s:,.0f} short requests per second, not streamed"
    found.append(Finding("requests", Status.FINE, short))
    return found


def _stamps(test: SelfTest, best: LoadStep | None) -> Finding:
    if best is not None:
        said = (
            f"right within {best.error_p99_ms:.3f} ms (p99; p50 {best.error_p50_ms:.3f}) at "
            f"{best.offered_per_s:,} chunks per second"
        )
        return judged("stamp error", best.error_p99_ms <= EXACT_MS, said)
    first = test.steps[0]
    return Finding(
        "stamp error",
        Status.CAUTION,
        f"{first.error_p99_ms:.1f} ms (p99) already at {first.offered_per_s:,} chunks per second",
        "This machine is too busy: stop other work, or measure from another one.",
    )


def _load(test: SelfTest, usable: LoadStep | None) -> Finding:
    steps = test.steps
    next_one = steps.index(usable) + 1 if usable is not None else 0
    why = ""
    if next_one < len(steps):
        why = f"; at {steps[next_one].offered_per_s:,} per second {_failed(steps[next_one])}"
    if usable is None:
        return Finding("trusted up to", Status.CAUTION, f"no load that was tried{why}")
    users = usable.offered_per_s // TOKENS_PER_S
    said = (
        f"{usable.offered_per_s:,} chunks per second, which is {users:,} users at {TOKENS_PER_S} "
        f"tokens per second each ({usable.cpu_share:.0%} of a core){why}"
    )
    advice = "Stop other work on this machine, or measure from another one."
    return judged("trusted up to", usable.offered_per_s >= ENOUGH_PER_S, said, advice)


def _failed(step: LoadStep) -> str:
    if step.server_late_p99_ms > _LATE_MS:
        return f"the test's own server was {step.server_late_p99_ms:.0f} ms late"
    if not step.reached:
        return f"only {step.reached_per_s:,.0f} came"
    return f"the stamp error is {step.error_p99_ms:.1f} ms (p99)"
