"""The asynchronous twins of the functions that measure."""

from __future__ import annotations

from bench.commands.comparing import ab
from bench.commands.fidelity import fidelity
from bench.commands.run import run, run_plan
from bench.commands.running import async_twin
from bench.commands.sizing import find_capacity

run_async = async_twin(run)
run_plan_async = async_twin(run_plan)
ab_async = async_twin(ab)
find_capacity_async = async_twin(find_capacity)
fidelity_async = async_twin(fidelity)
