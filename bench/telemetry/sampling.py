"""Reads every source in a thread of its own, and keeps what it says.

Nothing waits for a source: one that hangs keeps its own thread only, and its late answers are
dropped, because nobody knows of which moment they are.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.telemetry.energy import power_devices
from bench.telemetry.source import (
    NO_DEVICE_W,
    ElsewhereError,
    Finder,
    GoneError,
    Samples,
    Source,
    UnreadableError,
    is_blank,
)

DEADLINE_S = 2.0
"""A reading that takes longer is given up."""
COUNTER_EVERY_S = 0.1
_RETRY_S = 1.0
_MOST_COUNTED = 1200
"""Samples of a counter kept of one block; a longer block keeps them further apart."""
_MARGIN = 1.2
_SLACK_S = 0.2
"""A counter that moves every 100 ms may show two ticks' worth of energy after a short step."""

Now = Callable[[], int]


class Counter:
    """Adds up the steps of a counter of energy, as far as they can be true.

    A step is taken if it lies within 0 and the limit of power x time x 1.2. A counter that falls
    starts from where it fell to: it never books its lifetime when it comes back.
    """

    def __init__(self, limit_w: float | None = None, wraps_at_j: float | None = None) -> None:
        self._limit_w = (limit_w or NO_DEVICE_W) * _MARGIN
        self._wraps_at_j = wraps_at_j
        self._last: tuple[int, float] | None = None
        self._known: tuple[int, float] | None = None
        self._total_j = 0.0
        self.dropped = 0

    def add(self, t_ns: int, value_j: float) -> float:
        """Joules since the first reading, after this one (value as the counter stands)."""
        if self._last is None:
            self._last = (t_ns, value_j)
            return 0.0
        step = self._step(*self._last, t_ns, value_j)
        if step is None and self._known is not None:  # an odd reading in between: bridge it
            step = self._step(*self._known, t_ns, value_j)
        if step is None:
            self.dropped += 1
            self._known = self._known or self._last
        else:
            self._total_j += step
            self._known = None
        self._last = (t_ns, value_j)
        return self._total_j

    def _step(self, since_ns: int, before_j: float, t_ns: int, value_j: float) -> float | None:
        step = value_j - before_j
        if step < 0 and self._wraps_at_j is not None:
            step += self._wraps_at_j
        most = self._limit_w * ((t_ns - since_ns) / 1e9 + _SLACK_S)
        return step if 0 <= step <= most else None


class Recorder:
    """What one source said, and why it said nothing."""

    def __init__(self, source: Source, now: Now) -> None:
        self.source = source
        self._now = now
        self._counters = {
            name: Counter(c.limit_w, c.wraps_at_j) for name, c in source.counters.items()
        }
        self.samples: Samples = {}
        self.why = ""
        self.gone = False
        self.gaps = 0
        self._since_ns: int | None = None

    def take(self, gauges: bool = True) -> None:
        """One reading: of the counters and, if asked, of the gauges."""
        for name, counter in self.source.counters.items():
            if not self.gone:
                self._keep(lambda name=name, c=counter: {name: c.read()})  # type: ignore[misc]
        if gauges and not self.gone:
            self._keep(self.source.gauges)

    def _keep(self, read: Callable[[], Any]) -> None:
        start_ns = self._since_ns = self._now()
        try:
            values = read()
        except GoneError as error:
            self.gone, self.why = True, str(error)
            return
        except Exception as error:  # a driver's library may raise anything
            self.gaps += 1
            self.why = str(error) or type(error).__name__
            return
        finally:
            self._since_ns = None
        end_ns = self._now()
        if end_ns - start_ns > DEADLINE_S * 1e9:
            self.gaps += 1
            self.why = f"an answer took {(end_ns - start_ns) / 1e9:.0f} s and was dropped"
            return
        at_ns = (start_ns + end_ns) // 2
        for name, value in values.items():
            if not math.isfinite(value) or is_blank(value):
                continue
            if name.endswith("_energy_j") and name not in self._counters:
                self._counters[name] = Counter()  # of an exporter
            kept = self._counters[name].add(at_ns, value) if name in self._counters else value
            self.samples.setdefault(name, []).append((at_ns, kept))

    def status(self) -> dict[str, Any]:
        """The source's description, and how reading it went."""
        since_ns, why = self._since_ns, self.why
        if since_ns is not None and self._now() - since_ns > DEADLINE_S * 1e9:
            why = f"it has not answered for {(self._now() - since_ns) / 1e9:.0f} s"
        said = asdict(self.source.description) | {"gaps": self.gaps}
        dropped = sum(c.dropped for c in self._counters.values())
        if dropped:
            said["steps_dropped"] = dropped
        if why and (self.gaps or self.gone or not self.samples or since_ns is not None):
            said["not_measurable"] = why
        return said


class Telemetry:
    """Samples the machine of local servers until it is closed.

    Args:
        finders: how to find the sources, by kind.
        now: the clock of the run, in ns; it must be readable from any thread.
        not_seen: targets whose machine is another one -> why nothing is seen of it.
        servers: how to find the processes of each local target, by its name.
        exporters: URL -> how to find what it exports, and of which targets' machine that is.
        asked: kinds and URLs that the user named.

    Attributes:
        page_cpu_s: seconds of CPU that a page of this run took so far, in a process of its own;
            None = there is no page.
    """

    page_cpu_s: Callable[[], float] | None = None

    def __init__(
        self,
        finders: dict[str, Finder],
        now: Now,
        not_seen: dict[str, str] | None = None,
        servers: dict[str, Finder] | None = None,
        exporters: Mapping[str, tuple[Finder, tuple[str, ...]]] | None = None,
        asked: Sequence[str] = (),
    ) -> None:
        self._now = now
        self._stop = threading.Event()
        self._recorders: list[tuple[tuple[str, ...], Recorder]] = []
        self._blind: dict[str, str] = {}
        self._empty: dict[str, str] = {}
        self._asked = asked
        self._not_seen = dict(not_seen or {})
        self._cpu_ns: dict[int, int] = {}
        self._started_ns = now()
        self._started = False
        self._scraped = {t for _, targets in (exporters or {}).values() for t in targets}
        finding: list[tuple[str, tuple[str, ...], Finder]]
        finding = [(kind, (), f) for kind, f in finders.items()]
        finding += [("server", (target,), f) for target, f in (servers or {}).items()]
        finding += [(url, targets, f) for url, (f, targets) in (exporters or {}).items()]
        self._kinds = frozenset(kind for kind, _, _ in finding)
        self._threads = [self._thread(self._open, *each) for each in finding]

    def start(self) -> None:
        """Begin to look for sources and to read them; from the second time on nothing happens."""
        if not self._started:
            self._started = True
            for thread in list(self._threads):
                thread.start()

    def watches(self, target: str) -> bool:
        """Whether anything at all is looked for on a target's machine."""
        return bool(self._threads) and (target not in self._not_seen or target in self._scraped)

    def watts_can_be_read(self, target: str) -> bool:
        """Whether energy or power of a target's machine has been read so far."""
        names = [n for r in self._of(target) for n in list(r.samples)]
        return bool(power_devices(names))

    def close(self) -> None:
        """Stop; a thread that hangs is left behind. Blocks for the deadline at most."""
        self._stop.set()
        until = time.monotonic() + DEADLINE_S
        for thread in list(self._threads):
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def between(self, target: str, start_ns: int, end_ns: int, origin_ns: int) -> Samples:
        """What the machine of a target did in a block; nothing if it is not seen.

        Its begin and end count from the start of the run, which is `origin_ns` on the clock.
        """
        found: Samples = {}
        for recorder in self._of(target):
            for name, values in list(recorder.samples.items()):
                since = [(t - origin_ns, v) for t, v in list(values)]
                inside = [(t, v) for t, v in since if start_ns <= t <= end_ns]
                if inside:  # what two sources tell, the first one's
                    found.setdefault(name, inside[:: 1 + len(inside) // _MOST_COUNTED])
        return found

    def _of(self, target: str) -> list[Recorder]:
        """Those that read the machine of a target; without owners they read this machine."""
        here = target not in self._not_seen
        return [
            r for owners, r in list(self._recorders) if target in owners or (here and not owners)
        ]

    def unread(self) -> dict[str, str]:
        """What the user named and nothing is read of so far, and why."""
        elsewhere = {
            k: "the server is on another machine" for k in self._asked if k not in self._kinds
        }
        why = elsewhere | self._blind | self._empty
        return {kind: why[kind].removeprefix(f"{kind}: ") for kind in self._asked if kind in why}

    def status(self) -> dict[str, Any]:
        """What was read, what could not be seen and why, and what the reading cost."""
        elapsed_ns = max(1, self._now() - self._started_ns)
        cpu_s = self.page_cpu_s
        page = {} if cpu_s is None else {"page_of_a_core": cpu_s() / elapsed_ns * 1e9}
        return page | {
            "sources": [recorder.status() for _, recorder in list(self._recorders)],
            "not_measurable": dict(self._blind),
            "not_seen": dict(self._not_seen),
            "cost_of_a_core": sum(list(self._cpu_ns.values())) / elapsed_ns,
        }

    def _thread(self, work: Callable[..., None], *args: Any) -> threading.Thread:
        return threading.Thread(target=work, args=args, name="telemetry", daemon=True)

    def _open(self, kind: str, owners: tuple[str, ...], finder: Finder) -> None:
        """Look for sources; then read each in a thread of its own."""
        wait_s = 0.0
        self._blind[kind] = "its driver has not answered"
        while not self._stop.wait(wait_s):
            try:
                sources, blind = finder()
            except UnreadableError as error:
                self._blind[kind] = str(error)
                wait_s = _RETRY_S
                continue
            except ElsewhereError as error:
                self._not_seen |= dict.fromkeys(owners, str(error))
                self._empty[kind] = str(error)
                sources, blind = (), {}
            except Exception as error:  # a driver's library may raise anything
                sources, blind = (), {kind: str(error) or type(error).__name__}
            self._blind.pop(kind, None)
            self._blind.update(blind)
            if not sources:
                self._empty.setdefault(kind, "; ".join(blind.values()) or "there is none")
            for source in sources:
                recorder = Recorder(source, self._now)
                self._recorders.append((owners, recorder))
                thread = self._thread(self._read, recorder)
                self._threads.append(thread)
                thread.start()
            return
        if self._blind.get(kind, "").startswith("its driver"):
            del self._blind[kind]

    def _read(self, recorder: Recorder) -> None:
        source = recorder.source
        gauge_s = source.description.every_s
        step_s = COUNTER_EVERY_S if source.counters else gauge_s
        due_s = gauges_s = time.monotonic()
        while not recorder.gone:
            with_gauges = due_s >= gauges_s - step_s / 2
            recorder.take(with_gauges)
            if with_gauges:
                gauges_s += gauge_s
            self._cpu_ns[threading.get_ident()] = time.thread_time_ns()
            now_s = time.monotonic()
            due_s = max(due_s + step_s, now_s)
            gauges_s = max(gauges_s, now_s)
            if self._stop.wait(due_s - now_s):
                break
        source.close()
