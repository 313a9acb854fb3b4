"""Check a machine and its server for what distorts numbers; changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from bench.address import Address
from bench.cores import usable_cpus
from bench.errors import BenchError
from bench.ollama.control import Control, ServerVersion
from bench.ollama.eras import era_of
from bench.ollama.replies import ResidentModel
from bench.wire.transports import choose_transport
from bench.wire.transports.stamps import why_no_kernel_stamps

BUSY_SHARE = 0.1  # CPU share of other work above which numbers suffer

DESCRIPTORS = 4096  # open files below which large loads run out of connections

OWN_STAMPS = "Times hold this program's own delays; keep the machine idle."
_LOOK_S = 0.5
_UNSURE = 0.15  # passes of a test of memory that differ by more were disturbed
_COARSE_CLOCKS = ("jiffies", "acpi_pm", "hpet")


class Status(StrEnum):
    """How a check came out."""

    FINE = "fine"
    CAUTION = "caution"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        what: was checked.
        said: what was found.
        advice: what to do about it; "" if nothing.
    """

    what: str
    status: Status
    said: str
    advice: str = ""


def judged(what: str, fine: bool, said: str, advice: str = "") -> Finding:
    """Fine, or a caution with what to do about it."""
    return Finding(what, Status.FINE, said) if fine else Finding(what, Status.CAUTION, said, advice)


async def check_server(address: Address) -> list[Finding]:
    """The server: reachable, which version, what is in memory; a single `bad` one if it is not."""
    try:
        async with Control.of(address) as control:
            version = await control.version()
            installed = await control.tags()
            loaded = await control.ps() or ()
            notes = control.notes
    except BenchError as error:
        return [Finding("server", Status.BAD, error.message, error.advice)]
    here = "on this machine" if address.is_loopback else "on another machine"
    found = [Finding("server", Status.FINE, f"{address.url} answers, {here}")]
    found += _transport(address)
    found += _version(version)
    listed = f"{len(installed)} installed" if installed else "none is installed"
    advice = "Get one, e.g.: ollama pull llama3.2:3b"
    found.append(judged("models", bool(installed), listed, advice))
    found += [Finding("control calls", Status.CAUTION, note) for note in notes]
    return [*found, *_in_memory(loaded)]


def _transport(address: Address) -> Iterator[Finding]:
    """Where this server gets worse stamps than this machine can give."""
    transport, reason = choose_transport(address)
    if transport.name != "kernel" and not why_no_kernel_stamps():
        said = f"{transport.name}, which takes time stamps by itself: {reason}"
        yield Finding("transport", Status.CAUTION, said, OWN_STAMPS)


def _version(version: ServerVersion) -> Iterator[Finding]:
    era = era_of(version.version)
    said = f"{version.version}: {era.name}" + (f". {era.caution}" if era.caution else "")
    if era.assumed:
        said += ". Not a released version: the newest meaning of its numbers is assumed"
    yield judged("version", not (era.caution or era.assumed), said)
    if version.simulated:
        yield Finding(
            "engine",
            Status.CAUTION,
            "the simulated engine: its numbers are made up",
            "Use it to try the tool, never as a result.",
        )


def _in_memory(loaded: tuple[ResidentModel, ...]) -> Iterator[Finding]:
    names = ", ".join(m.name for m in loaded)
    said = f"{len(loaded)} models: {names}" if len(loaded) > 1 else names or "no model"
    advice = "Unload what is not measured: ollama stop NAME"
    yield judged("in memory", len(loaded) <= 1, said, advice)
    for model in loaded:
        share = (model.vram_bytes or 0) / model.size_bytes if model.size_bytes else 0
        if 0 < share < 1:
            yield Finding(
                "placement",
                Status.CAUTION,
                f"only {share:.0%} of {model.name} is on the GPU, the CPU computes the rest",
                "Use a smaller num_ctx, fewer parallel slots or a smaller quantisation.",
            )


def check_machine() -> list[Finding]:
    """This machine: other work, memory, power, clocks, descriptors."""
    checks = (_other_work, _memory, _read_speed, _governor, _battery, _clock, _stamps, _descriptors)
    return [finding for check in checks if (finding := _tried(check)) is not None]


def _tried(check: Callable[[], Finding | None]) -> Finding | None:
    """The finding of a check; a system that cannot be asked is no fault."""
    try:
        return check()
    except (OSError, psutil.Error, AttributeError, NotImplementedError) as error:
        return Finding(check.__name__.strip("_").replace("_", " "), Status.UNKNOWN, str(error))


def _other_work() -> Finding:
    share = psutil.cpu_percent(interval=_LOOK_S) / 100
    count, usable = psutil.cpu_count() or 1, usable_cpus()
    fewer = "" if usable >= count else f"; this program may use {usable} of them"
    said = f"{share:.0%} of {count} CPUs are busy now{fewer}"
    advice = "Stop other programs, or measure from another machine; watch the intervals."
    return judged("other work", share <= BUSY_SHARE, said, advice)


def _memory() -> Finding:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    said = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB are free"
    swapped = swap.used > 0.1 * memory.total
    if swapped:
        said += f", {swap.used / 2**30:.1f} GiB are swapped out"
    return judged("memory", not swapped, said, "A model that is swapped is slow: close programs.")


def _read_speed() -> Finding:
    """What decoding on the CPU cannot exceed: model bytes x tokens per second."""
    from bench.telemetry.bandwidth import measure_read_speed

    try:
        speeds = measure_read_speed()
    except MemoryError as error:
        return Finding("memory speed", Status.UNKNOWN, str(error))
    said = ", ".join(
        f"{s.bytes_per_s / 1e9:.1f} GB/s read by {s.threads} "
        f"{'thread' if s.threads == 1 else 'threads'}"
        for s in speeds
    )
    best = max(speeds, key=lambda s: s.bytes_per_s)
    sure = best.spread <= _UNSURE
    said += "" if sure else f", ±{best.spread:.0%}"
    advice = "Other work disturbed it: stop that, and look again."
    return judged("memory speed", sure, said, advice)


def _of_kernel(file: str) -> str:
    """What a file below /sys/devices/system says; "" without it."""
    path = Path("/sys/devices/system", file)
    return path.read_text().strip() if path.is_file() else ""


def _governor() -> Finding | None:
    governor = _of_kernel("cpu/cpu0/cpufreq/scaling_governor")
    advice = "Clocks follow the load; for steady numbers: cpupower frequency-set -g performance"
    fine = governor == "performance"
    return judged("CPU governor", fine, governor, advice) if governor else None


def _battery() -> Finding | None:
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None:
        return None
    plugged = battery.power_plugged is not False
    said = "plugged in" if plugged else f"on battery ({battery.percent:.0f} %)"
    return judged("power", plugged, said, "Plug it in: on battery it is throttled.")


def _clock() -> Finding | None:
    source = _of_kernel("clocksource/clocksource0/current_clocksource")
    advice = "Reading it is slow or coarse; see the kernel's clocksource= parameter."
    return judged("clock", source not in _COARSE_CLOCKS, source, advice) if source else None


def _stamps() -> Finding:
    why = why_no_kernel_stamps()
    said = f"taken by this program: {why}" if why else "the kernel stamps arriving data"
    return judged("time stamps", not why, said, OWN_STAMPS)


def _descriptors() -> Finding | None:
    found = None
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        endless = resource.RLIM_INFINITY  # a limit that a run raises as far as it needs
        more = "" if hard == soft else " without limit" if hard == endless else f" to {hard:,}"
        said = "any number of" if soft == endless else f"{soft:,}"
        said += " open files" + (f", can be raised{more}" if more else "")
        fine = endless in (soft, hard) or hard >= DESCRIPTORS
        found = judged("descriptors", fine, said, "For many users: ulimit -n 16384")
    return found
