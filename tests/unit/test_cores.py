"""How many processors may be used: files as the kernel's documents describe them, no root."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from bench import cores
from bench.cores import allowed_cpus, usable_cpus

# /proc/self/cgroup, the limits' files below /sys/fs/cgroup, processors of 64.
GROUPS = {
    "no control groups": ("", {}, 64),
    "no limit": ("0::/", {"cpu.max": "max 100000"}, 64),
    "docker run --cpus 2": ("0::/", {"cpu.max": "200000 100000"}, 2),
    "half a processor": ("0::/", {"cpu.max": "50000 100000"}, 1),
    "rounded down": ("0::/", {"cpu.max": "390000 100000"}, 3),
    "more than there are": ("0::/", {"cpu.max": "9900000 100000"}, 64),
    "systemd CPUQuota of a service": (
        "0::/system.slice/bench.service",
        {"system.slice/bench.service/cpu.max": "400000 100000"},
        4,
    ),
    "limit of an outer group": (
        "0::/a.slice/b.scope",
        {"a.slice/cpu.max": "300000 100000", "a.slice/b.scope/cpu.max": "max 100000"},
        3,
    ),
    "limit of an inner group": (
        "0::/a.slice/b.scope",
        {"a.slice/cpu.max": "800000 100000", "a.slice/b.scope/cpu.max": "100000 50000"},
        2,
    ),
    "a group outside of the namespace": ("0::/../../other", {"cpu.max": "200000 100000"}, 2),
    "version 1": (
        "3:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab",
        {"cpu,cpuacct/cpu.cfs_quota_us": "150000", "cpu,cpuacct/cpu.cfs_period_us": "50000"},
        3,
    ),
    "version 1, other order of names": (
        "2:cpuacct,cpu:/g",
        {"cpu/g/cpu.cfs_quota_us": "200000", "cpu/g/cpu.cfs_period_us": "100000"},
        2,
    ),
    "version 1 without a limit": (
        "2:cpu,cpuacct:/",
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        64,
    ),
    "both versions": (
        "1:cpu:/x\n0::/y",
        {"cpu/x/cpu.cfs_quota_us": "500000", "cpu/x/cpu.cfs_period_us": "100000"},
        5,
    ),
    "quota without a period": ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "200000"}, 64),
    "a period of 0": ("0::/", {"cpu.max": "200000 0"}, 64),
    "not what it should be": ("0::/\nodd", {"cpu.max": "many of them"}, 64),
}


@pytest.mark.parametrize(("groups", "files", "usable"), GROUPS.values(), ids=GROUPS)
def test_quota_of_a_container(tmp_path, monkeypatch, groups, files, usable):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{groups}\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert usable_cpus(tmp_path) == usable


def test_affinity_bounds_it_where_no_quota_does(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert usable_cpus(tmp_path) == 2


def test_affinity_by_psutil_where_the_system_call_is_missing(monkeypatch):
    monkeypatch.delattr(cores.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 1, 2], raising=False)
    assert allowed_cpus() == 3
    monkeypatch.delattr(psutil.Process, "cpu_affinity")
    assert allowed_cpus() == os.cpu_count()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux sets it by this call")
def test_a_process_bound_to_one_processor_sends_with_one_process():
    """However large the load, as `taskset` and a container's cpuset leave it one processor."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from bench.load.needs import workers_for;"
        "import bench; load = 'load={open: {rate: 90000, requests: 9}}';"
        "print(workers_for(bench.make_plan('smoke', models=['m'], overrides=[load])))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
