"""GPU and memory in the head: the server's, never the client's in its place."""

from dataclasses import replace

from runs import CHAT, build

from bench.report.machine import machine_facts

TELEMETRY = {"sources": [{"name": "x", "reads": ["gpu0_power_w", "gpu0_share", "cpu0_energy_j"]}]}


def test_gpu_and_memory_are_those_of_the_server() -> None:
    info = build(replace(CHAT, requests=2, blocks=1))[0].info
    assert machine_facts([info, info]) == [
        ("Client", "AMD Ryzen 9 7950X"),
        ("GPU", "NVIDIA GeForce RTX 3060, 12.0 GiB"),
        ("Memory", "62.5 GiB"),
    ]
    far = replace(info, targets=tuple(replace(t, same_host=False) for t in info.targets))
    assert dict(machine_facts([far]))["GPU"] == "not seen (another machine)"
    assert dict(machine_facts([far]))["Memory"] == "not seen (another machine)"
    seen = replace(far, environment={**far.environment, "telemetry": TELEMETRY})
    assert dict(machine_facts([seen]))["GPU"] == "GPU0"
    made_up = replace(info, targets=tuple(replace(t, simulated=True) for t in info.targets))
    assert dict(machine_facts([made_up]))["GPU"] == ""
    bare = replace(info, environment={"gpus": []})
    assert machine_facts([bare]) == [("Client", ""), ("GPU", "none seen"), ("Memory", "")]
