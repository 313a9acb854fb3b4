"""Senders that Dask starts send together what one machine would send alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from subprocess import DEVNULL

import psutil
import pytest

import bench
from bench._version import __version__
from bench.analysis.run.summarise import summarise
from bench.doctor.fleet import check_fleet
from bench.errors import UsageError
from bench.load.fleet import dask_cluster
from bench.load.fleet.asker import Place
from bench.load.fleet.by_ssh import NO_DASHBOARD
from bench.load.fleet.spool import Spool, spool_folder
from bench.load.messages import Arrived, encode
from bench.load.observer import Silent
from bench.report.model import build_report
from bench.report.sender_tables import sender_table
from bench.results.directory import read_run
from bench.results.record import Phase, decode_record
from bench.results.run import RunStatus

pytestmark = [
    # Dask leaves sockets and loops to the garbage collector when a cluster ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SCENARIO = """
schema: 1
name: fleet
prompts: [Hello, "How are you?", "What is new?"]
options: {num_predict: 10}
blocks: 2
warmup: 2
salt: 5
load: {closed: {users: [4], requests: 41}}
"""
OPEN = SCENARIO.replace("closed: {users: [4], requests: 41}", "open: {rate: 40, requests: 41}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two Dask workers on this machine, for all tests here."""
    import distributed

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as found:
            yield found


@pytest.fixture
def run(simulated, tmp_path, cluster):
    def run_it(text=SCENARIO, observer=None, **settings):
        file = tmp_path / "fleet.yaml"
        file.write_text(text)
        settings = {"load_from": cluster.scheduler_address} | settings
        return bench.run(
            file,
            models=["sim-small"],
            hosts=[simulated.url],
            settings=bench.Settings(output=tmp_path / "runs", **settings),
            observer=observer,
            report=False,
        )

    return run_it


def sent(run, block):
    """What was sent in the measured part of a block, whoever sent it."""
    return sorted(
        (r.nonce, r.prompt_sha256, r.seed, r.num_predict)
        for r in run.records
        if r.block == block and r.phase is Phase.MEASURE
    )


@pytest.mark.parametrize("text", [SCENARIO, OPEN])
def test_two_senders_send_what_one_machine_would(run, text):
    shared, alone = read_run(run(text).path), read_run(run(text, load_from="").path)
    for block in (0, 1):
        assert len(sent(alone, block)) == 41
        assert sent(shared, block) == sent(alone, block)
    assert {r.worker for r in shared.records} == {0, 1}
    assert len({r.nonce for r in shared.records}) == len(shared.records)
    assert len({(r.block, r.index) for r in shared.records}) == len(shared.records)
    assert shared.info.transport.load_from.startswith("tcp://127.0.0.1")
    for block in shared.info.blocks:
        assert block.complete and len(block.senders) == 2
        for sender in block.senders:
            # One machine, one clock: the truth is 0.
            assert abs(sender.clock.offset_ns) <= sender.clock.error_ns
            assert sender.clock.rtt_ns > 0 and sender.server_rtt_ns > 0
            assert sender.name and sender.health.send_late_p99_ms is not None
    assert not any(w.code == "open_scheduler" for w in shared.info.warnings)
    table = sender_table(build_report([shared], [summarise(shared.info, shared.records)]))
    assert table is not None
    told = [[cell.text for cell in row.cells] for row in table.rows]
    assert len(told) == 2
    for number, row in enumerate(told):
        assert row[0].startswith(f"{number + 1}: ")
        assert row[-1]  # how its stamps were taken
    assert sum(int(row[1]) for row in told) == 82
    assert sender_table(build_report([alone], [summarise(alone.info, alone.records)])) is None


class Killer(Silent):
    """Kills a process of the fleet in the middle of the first block."""

    def __init__(self, module):
        self.module, self.seen = module, 0

    def request_ended(self, record):
        self.seen += record.phase is Phase.MEASURE
        if self.seen == 10:
            self.seen += 1
            os.kill(processes(self.module)[0], signal.SIGKILL)


def processes(module):
    """Those of this user that run a module of ours, started from here."""
    here = str(Path(bench.__file__).parents[1])
    return [
        p.pid for p in psutil.process_iter() if module in (line := _command(p)) and here in line
    ]


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("module", ["bench.load.worker", "bench.load.fleet.agent"])
def test_a_sender_that_is_killed_fails_its_block_and_loses_nothing(run, module):
    done = run(observer=Killer(module))
    first, second = done.info.blocks
    assert not first.complete and second.complete
    assert done.exit_code == 5
    [warning] = [w for w in done.info.warnings if w.code == "worker_died"]
    assert "of 2 (" in warning.message and "1/2 of the block" in warning.message
    records = read_run(done.path).records
    assert len({(r.block, r.index) for r in records}) == len(records)
    assert sum(r.block == 0 and r.phase is Phase.MEASURE for r in records) >= 10
    assert sum(r.block == 1 and r.phase is Phase.MEASURE for r in records) == 41


def test_what_an_earlier_run_left_on_a_machine_is_fetched(run):
    """The run's own machine was killed: what a sender said meanwhile lies there."""
    earlier = read_run(run().path)
    journal = earlier.path / "requests.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-3]))
    spool = Spool(spool_folder(), earlier.path.name, "1-ab")
    spool.append(b"".join(encode(Arrived(decode_record(x))) for x in lines[-8:]) + b'{"torn')
    spool.close(keep=True)
    gone = spool.path.rename(spool.path.with_name(f"{earlier.path.name}~1-ab~999999999.jsonl"))
    later = run()
    assert later.info.status is RunStatus.COMPLETE
    [warning] = [w for w in later.info.warnings if w.code == "records_fetched"]
    assert warning.message.startswith("3 records of ")
    assert len(read_run(earlier.path).records) == len(lines)
    assert not gone.exists()


def test_bad_input_is_one_message(run, simulated, tmp_path, monkeypatch):
    empty = tmp_path / "hosts.txt"
    empty.write_text("# nobody\n")
    for load_from, said in {
        "nonsense": "neither an address nor a file",
        "local:x": "how many senders",
        "local:²": "how many senders",
        "udp://somewhere:1": "is no address such as tcp",
        "tcp://somewhere": "is no address such as tcp",
        "tcp://somewhere:99999": "is no address such as tcp",
        str(empty): "names no host",
    }.items():
        with pytest.raises(UsageError, match=said) as error:
            run(load_from=load_from)
        assert "help fleet" in error.value.advice
    with pytest.raises(UsageError, match="exclude each other"):
        run(workers=2)
    monkeypatch.setattr(dask_cluster, "__version__", "99.1")
    with pytest.raises(UsageError, match=r"all machines need ollama-bench 99\.1") as error:
        run()
    assert "pip install 'ollama-bench[fleet]==99.1'" in error.value.advice


@pytest.mark.parametrize(
    "load", ["closed: {users: 3, sessions: 6}", "open: {rate: 8, sessions: 6}"]
)
def test_a_session_stays_with_one_sender(run, load):
    talk = "{turns: 2, first_tokens: 20, turn_tokens: 10, output_tokens: 6, pause: 0.01}"
    text = SCENARIO.replace("blocks: 2\nwarmup: 2", "blocks: 1")
    text = text.replace('[Hello, "How are you?", "What is new?"]', f"{{conversation: {talk}}}")
    text = text.replace("closed: {users: [4], requests: 41}", load)
    records = [r for r in read_run(run(text).path).records if r.phase is Phase.MEASURE]
    assert sorted((r.session, r.turn) for r in records) == [
        (str(session), turn) for session in range(6) for turn in (0, 1)
    ]
    assert len({r.worker for r in records}) == 2
    for part in ("session", "user"):
        senders = {(getattr(r, part), r.worker) for r in records if getattr(r, part) is not None}
        assert len(senders) == len({name for name, _ in senders})


class SchedulerKiller(Silent):
    """Kills Dask's scheduler in the middle of the first block."""

    def __init__(self, scheduler):
        self.scheduler, self.seen = scheduler, 0

    def request_ended(self, record):
        self.seen += record.phase is Phase.MEASURE
        if self.seen == 10:
            self.scheduler.kill()


@pytest.mark.slow
def test_a_run_goes_on_without_its_scheduler(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file, started = tmp_path / "scheduler.json", []

    def dask(module, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{module}", "--no-dashboard"]
        command += ["--scheduler-file", str(file), *options]
        started.append(subprocess.Popen(command, stdout=DEVNULL, stderr=DEVNULL))

    dask("scheduler", "--host", "127.0.0.1", "--port", "0")
    try:
        while not file.exists() or not file.read_text().rstrip().endswith("}"):
            time.sleep(0.05)
        for _ in range(2):
            dask("worker", "--nthreads", "1", "--no-nanny")
        address = json.loads(file.read_text())["address"]
        done = run(load_from=address, observer=SchedulerKiller(started[0]))
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert done.info.status is RunStatus.COMPLETE
    assert [w.code for w in done.info.warnings].count("scheduler_lost") == 1
    assert all(b.complete for b in done.info.blocks)
    records = read_run(done.path).records
    assert sum(r.phase is Phase.MEASURE for r in records) == 82


@pytest.mark.slow
def test_certificates_of_dask_encrypt_what_senders_say(run):
    """The connections of senders are encrypted as those of the scheduler are."""
    import dask
    from distributed import LocalCluster, Security

    own = Security.temporary()
    roles = {
        f"{role}.{part}": getattr(own, f"tls_{role}_{part}")
        for role in ("client", "scheduler", "worker")
        for part in ("key", "cert")
    }
    settings = {"ca-file": own.tls_ca_file, **roles}
    with (
        dask.config.set({f"distributed.comm.tls.{k}": v for k, v in settings.items()}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs=NO_DASHBOARD,
            security=own,
        ) as there,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert there.scheduler_address.startswith("tls://")
        met = []
        hello = Place.hello
        patch.setattr(Place, "hello", lambda at, *a: met.append(at) or hello(at, *a))
        done = run(load_from=there.scheduler_address)
    assert done.info.status is RunStatus.COMPLETE
    assert met and all(place.tls is not None for place in met)
    assert not any(w.code == "open_scheduler" for w in done.info.warnings)


@pytest.mark.slow
async def test_doctor_looks_at_every_machine():
    found = {f.what: f for f in await check_fleet("local:2")}
    assert found["senders"].said.startswith(f"2, all with {__version__}: ")
    clocks = [f for what, f in found.items() if what.endswith(", clock")]
    assert len(clocks) == 2
    assert all(f.said.startswith("known to ") for f in clocks)


def test_pairs_and_a_search_are_sent_by_all(simulated, tmp_path, cluster):
    file = tmp_path / "fleet.yaml"
    file.write_text(SCENARIO.replace("users: [4], requests: 41", "users: [2], requests: 6"))
    settings = bench.Settings(
        output=tmp_path / "runs", load_from=cluster.scheduler_address, history=None
    )
    sides = [f"model=sim-{name}" for name in ("small", "zh")]
    plan = bench.ab_plan(file, *sides, 2, hosts=[simulated.url])
    judging = bench.Judging(allow=frozenset({"invalid"}))  # a busy machine reads late
    done, comparison = bench.ab(plan, judging=judging, settings=settings, report=False)
    assert comparison is not None and not comparison.refused
    found = bench.find_capacity(
        file,
        "ttft_s.p95 <= 60",
        by="users",
        budget_s=5,
        ceiling=2,
        models=["sim-small"],
        hosts=[simulated.url],
        settings=settings,
    )
    assert found.run.info.blocks
    for ended in (done, found.run):
        records = read_run(ended.path).records
        for block in ended.info.blocks:
            assert block.complete and len(block.senders) == 2
            of_block = [r for r in records if r.block == block.index]
            assert {r.worker for r in of_block} == {0, 1}
