"""Hosts of a file, reached through a real sshd on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import bench
from bench.results.directory import read_run
from bench.results.record import Phase

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32" or not Path(SSHD).is_file(),
        reason="needs sshd (Debian: openssh-server)",
    ),
    # As for `test_fleet`: Dask leaves these to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
SCENARIO = """
schema: 1
name: by-ssh
prompts: [Hello, "How are you?"]
options: {num_predict: 10}
blocks: 1
load: {closed: {users: [2], requests: 12}}
"""


@pytest.fixture
def office(tmp_path, monkeypatch):
    """A host that `ssh office` reaches; what runs there has `BENCH_OFFICE` in its environment."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(key, check=True)
    if os.getuid() == 0:  # sshd insists on it
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    state = tmp_path / "state"
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nStrictModes no\nUsePAM no\n"
        f"PermitRootLogin yes\nPasswordAuthentication no\n"
        f"SetEnv XDG_STATE_HOME={state} BENCH_OFFICE={tmp_path}\n"
    )
    (home / ".ssh" / "config").write_text(
        f"Host office\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {tmp_path}/user\n"
    )
    public = (tmp_path / "host.pub").read_text()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    monkeypatch.setenv("HOME", str(home))
    with (tmp_path / "sshd.log").open("wb") as log:
        sshd = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stdout=log, stderr=log
        )
    try:
        _wait_for(lambda: b"listening" in (tmp_path / "sshd.log").read_bytes())
        yield tmp_path
    finally:
        for process in there(tmp_path):
            process.kill()
        sshd.kill()
        sshd.wait()


def _wait_for(ready, limit_s=90):
    end = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def there(office):
    """The processes that were started by ssh."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("BENCH_OFFICE") == str(office):
                found.append(process)
        except psutil.Error:
            pass
    return found


def test_hosts_by_ssh_send_and_are_left_as_they_were(office, simulated):
    hosts = office / "hosts.txt"
    hosts.write_text(f"office {sys.executable}  # Berlin\noffice\n")
    (office / "by-ssh.yaml").write_text(SCENARIO)
    done = bench.run(
        office / "by-ssh.yaml",
        models=["sim-small"],
        hosts=[simulated.url],
        settings=bench.Settings(output=office / "runs", load_from=str(hosts)),
        report=False,
    )
    records = [r for r in read_run(done.path).records if r.phase is Phase.MEASURE]
    assert len(records) == 12
    assert {r.worker for r in records} == {0, 1}
    assert len(done.info.blocks[0].senders) == 2
    # Dask's scheduler listens on every address there.
    [warning] = [w for w in done.info.warnings if w.code == "open_scheduler"]
    assert "takes orders from whoever reaches it" in warning.message
    _wait_for(lambda: not there(office))


def test_a_run_that_is_killed_leaves_nothing_running_there(office, simulated):
    (office / "hosts.txt").write_text(f"office {sys.executable}\n")
    (office / "by-ssh.yaml").write_text(SCENARIO.replace("requests: 12", "requests: 5000"))
    command = [sys.executable, "-m", "bench", "run", "by-ssh.yaml", "-m", "sim-small", "-q"]
    command += ["--host", simulated.url, "--no-history", "--load-from", "hosts.txt"]
    run = subprocess.Popen(command, cwd=office)
    try:
        _wait_for(lambda: any(p.read_bytes() for p in office.glob("runs/*/requests.jsonl")))
        # Scheduler, nanny, worker, agent, sender: as many at least.
        assert len(there(office)) >= 5
    finally:
        run.kill()
        run.wait()
    _wait_for(lambda: not there(office))
