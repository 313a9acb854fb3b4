"""The machine of a server elsewhere is not seen, and the client's is never taken for it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from bench.clock import RealClock
from bench.load import session
from bench.results.run import TargetInfo


@pytest.mark.parametrize(("same_host", "said"), [(False, "is on another"), (None, "may be on")])
def test_a_server_elsewhere_is_not_seen_and_the_client_is_not_read(same_host, said):
    info = TargetInfo("far", "http://10.0.0.1:11434", "0.32.15", "E3", same_host=same_host)
    plan = SimpleNamespace(scenario={"telemetry": "auto"})
    ready = SimpleNamespace(targets={"far": SimpleNamespace(info=info)})
    telemetry = session._telemetry(plan, ready, RealClock())
    telemetry.start()
    time.sleep(0.4)
    telemetry.close()
    told = telemetry.status()
    assert told["sources"] == [] and told["not_measurable"] == {}
    assert said in told["not_seen"]["far"]
    assert telemetry.between("far", 0, 2**62, 0) == {}
