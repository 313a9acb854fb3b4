"""Kills of senders, agents, schedulers and whole runs at random instants: what hangs, what is lost?

    python tests/performance/fleet_kills.py [--each 30] [--seed 1] [--kinds sender,scheduler]

Each kill is a run of its own of about 3 s of load, from two Dask workers on this machine, and one
SIGKILL. The instant is drawn evenly over the time for which senders live in an undisturbed run; for
every third scheduler and run over all of the run. So it may hit the start of Python, the start of a
sender, the warm-up, between two blocks, or the end. After a kill of the
run itself a second run with the same folder fetches what was left. `local` is such a kill with
`--load-from local:2`, where Dask's own processes must end, too.

The server's truth log says which answers had ended. Bars: 10 s after the kill, or after the end
that an undisturbed run would have had, no process is left; every answer that had ended 0.3 s before
the kill is in the journal.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from fleet import cluster

from bench.results.directory import read_run
from bench.server.embedded import EmbeddedServer, start_server

SCENARIO = """
schema: 1
name: fleet
prompts: [Hello, "How are you?", "What is new?"]
options: {num_predict: 12}
blocks: 2
warmup: 2
load: {closed: {users: [4], duration: 1.5s}}
"""
AGENT = "bench.load.fleet.agent"
KINDS = ("sender", "agent", "scheduler", "coordinator", "local")
ON_THE_WAY_S = 0.3
HANGS_S = 60.0


@dataclass(frozen=True)
class Kill:
    """What came of one.

    Attributes:
        instant_s: since senders began; negative = since the run began.
        over_s: from the kill until the last process was gone.
        hung_s: that, less what was left of an undisturbed run unless the run was killed itself.
        again_s: what the run took that fetched what was left; None = there was none.
        ended: answers that had ended by the kill, as the server knows.
        lost: of these, those in no journal that ended `ON_THE_WAY_S` before it.
        late: the other ones in no journal.
        said: the codes of warnings, or the last line of the program.
    """

    instant_s: float
    over_s: float
    hung_s: float
    again_s: float | None
    ended: int
    lost: int
    late: int
    code: int
    said: str


class Runs:
    """Starts runs in a folder, and knows their processes by a mark in the environment."""

    def __init__(self, folder: Path, server: EmbeddedServer) -> None:
        self.folder, self.server = folder, server
        self.number = 0
        self.begun_s = self.begun_ns = 0
        (folder / "fleet.yaml").write_text(SCENARIO)
        self.mark = f"BENCH_MARK={folder}"

    @property
    def output(self) -> Path:
        return self.folder / f"runs-{self.number}"

    def start(self, load_from: str, *, again: bool = False) -> subprocess.Popen[bytes]:
        self.number += not again
        self.begun_ns = time.monotonic_ns()
        command = [sys.executable, "-m", "bench", "run", "fleet.yaml", "-m", "sim-small", "-q"]
        command += ["--host", self.server.url, "--no-history", "--no-report", "-o", self.output]
        if again:
            command += ["--set", "load={closed: {users: [1], requests: 1}}"]
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                [*command, "--load-from", load_from],
                cwd=self.folder,
                stdout=said,
                stderr=said,
                env=os.environ | {"BENCH_MARK": str(self.folder)},
            )

    def until(
        self, process: subprocess.Popen[bytes], apart: frozenset[int], module: str
    ) -> list[psutil.Process]:
        """Wait for the first processes of a module, or for the end."""
        found: list[psutil.Process] = []
        while module and process.poll() is None and not (found := self.alive(apart, module)):
            time.sleep(0.01)
        return found

    def wait(self, process: subprocess.Popen[bytes], apart: frozenset[int]) -> float:
        """Seconds until it and all that it started were gone."""
        begun = running = time.monotonic()
        while process.poll() is None or self.alive(apart):
            now = time.monotonic()
            running = now if process.poll() is None else running
            if now - running > HANGS_S or now - begun > 3 * HANGS_S:
                self.tell_hang(process, apart)
                break
            time.sleep(0.05)
        return time.monotonic() - begun

    def alive(self, apart: frozenset[int], module: str = "") -> list[psutil.Process]:
        """The processes of this folder's runs, with a module in their command."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid in apart or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                line = process.cmdline()
                if not line or "python" not in line[0] or (module and module not in line):
                    continue
                if process.environ().get("BENCH_MARK") == str(self.folder):
                    found.append(process)
        return found

    def tell_hang(self, process: subprocess.Popen[bytes], apart: frozenset[int]) -> None:
        for one in self.alive(apart):
            with contextlib.suppress(psutil.Error):
                print(f"    still there: {one.pid} {' '.join(one.cmdline())[-150:]}")
                one.kill()
        if process.poll() is None:
            process.kill()


def one_kill(runs: Runs, place: Place, kind: str, drawn: float, lives: dict[str, float]) -> Kill:
    """Args: lives: for how long an undisturbed run does after a module has begun; "" = the run."""
    early = kind not in ("sender", "agent") and int(drawn * 1000) % 3 == 0
    module = "" if early else "bench.load.worker" if kind == "sender" else AGENT
    process = runs.start(place.load_from)
    begun_ns = runs.begun_ns
    apart = place.apart
    found = runs.until(process, apart, module)
    victim = place.scheduler if kind == "scheduler" else process.pid
    if kind in ("sender", "agent") and found:
        victim = found[0].pid
    born_s = time.monotonic()
    time.sleep(drawn * lives[module])
    killed_ns = time.monotonic_ns()
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    over_s = runs.wait(process, apart)
    of_itself_s = 0.0 if kind in ("coordinator", "local") else (1 - drawn) * lives[module]
    code, again_s = process.returncode, None
    said = (runs.folder / "said").read_text().strip().splitlines()
    if kind in ("coordinator", "local"):  # the next run with these machines fetches what was left
        begun = time.monotonic()
        again = runs.start(place.load_from, again=True)
        runs.wait(again, apart)
        again_s = time.monotonic() - begun
    before = {
        t.metrics["total_duration"]: t.end_ns
        for t in runs.server.truth
        if begun_ns < t.received_ns and len(t.line_sent_ns) > 1 and not t.gone
        and t.end_ns and t.end_ns < killed_ns and "total_duration" in t.metrics
    }  # fmt: skip
    kept = [read_run(path) for path in runs.output.glob("*")]
    have = {r.server.total_duration for run in kept for r in run.records}
    missing = [end for took, end in before.items() if took not in have]
    lost = sum(end < killed_ns - ON_THE_WAY_S * 1e9 for end in missing)
    named = ("scheduler_lost", "records_fetched")
    codes = {w.code for run in kept for w in run.info.warnings if w.invalidates or w.code in named}
    instant_s = killed_ns / 1e9 - born_s
    return Kill(
        instant_s=-instant_s if early else instant_s,
        over_s=over_s,
        hung_s=over_s - of_itself_s,
        again_s=again_s,
        ended=len(before),
        lost=lost,
        late=len(missing) - lost,
        code=code,
        said=", ".join(sorted(codes)) or "".join(said[-1:])[:60],
    )


@dataclass(frozen=True)
class Place:
    """Where to send from.

    Attributes:
        scheduler: its process.
        apart: processes that outlive a run.
    """

    load_from: str
    scheduler: int
    apart: frozenset[int]


def undisturbed(runs: Runs, place: Place) -> dict[str, float]:
    """For how long a run goes on after a module has begun."""
    process = runs.start(place.load_from)
    begun = {"": time.monotonic()}
    for module in (AGENT, "bench.load.worker"):
        runs.until(process, place.apart, module)
        begun[module] = time.monotonic()
    runs.wait(process, place.apart)
    return {module: time.monotonic() - at for module, at in begun.items()}


@contextlib.contextmanager
def machines(folder: Path, kind: str) -> Iterator[Place]:
    """What to load from."""
    if kind == "local":
        yield Place("local:2", 0, frozenset({os.getpid()}))
        return
    with cluster(folder, [[], []]) as (address, *processes):
        yield Place(
            address, processes[0].pid, frozenset({os.getpid(), *(p.pid for p in processes)})
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print("kind         instant     over     hung    again  ended  lost  late  code  said")
    for kind in args.kinds.split(","):
        draw = random.Random(f"{args.seed} {kind}")
        kills: list[Kill] = []
        with tempfile.TemporaryDirectory() as name, start_server(profile="test") as server:
            folder = Path(name)
            os.environ |= {"XDG_STATE_HOME": str(folder / "state"), "BENCH_MARK": name}
            runs = Runs(folder, server)
            with contextlib.ExitStack() as stack:
                found = stack.enter_context(machines(folder, kind))
                lives = undisturbed(runs, found)
                for _ in range(args.each):
                    if kind == "scheduler":
                        stack.close()
                        found = stack.enter_context(machines(folder, kind))
                    kills.append(k := one_kill(runs, found, kind, draw.random(), lives))
                    again = "" if k.again_s is None else f"{k.again_s:.1f}"
                    print(
                        f"{kind:12} {k.instant_s:6.2f} s {k.over_s:6.1f} s {k.hung_s:6.1f} s "
                        f"{again:>8} {k.ended:6} {k.lost:5} {k.late:5} {k.code:5}  {k.said}",
                        flush=True,
                    )
        overs, agains = [k.over_s for k in kills], [k.again_s or 0.0 for k in kills]
        print(
            f"{kind}: {len(kills)} kills in {lives[AGENT]:.1f} s of sending; over after "
            f"{statistics.median(overs):.1f} s (longest {max(overs):.1f}), longest hang "
            f"{max(k.hung_s for k in kills):.1f} s, longest next run {max(agains):.1f} s; "
            f"{sum(k.ended for k in kills)} answers had ended, {sum(k.lost for k in kills)} lost, "
            f"{sum(k.late for k in kills)} of the last {ON_THE_WAY_S} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
