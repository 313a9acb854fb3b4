"""Every code that a `RunWarning` can have, and what it means. Codes are stable."""

from __future__ import annotations

WARNING_CODES: dict[str, str] = {
    # Before the run.
    "context_limit": "num_ctx is more than the model was trained for",
    "context_room": "prompt and answer do not fit into the context",
    # Of the run.
    "run_failed": "the run ended by an error",
    "history_not_written": "the run could not be entered into the history",
    "incomplete": "the run has not ended, or was interrupted",
    "simulated": "the numbers come from the simulated engine",
    "one_block": "cases with one block have no sign of what differs between blocks",
    "version_unknown": "the server's version is no known release",
    "mixed_versions": "the run holds server versions that do not measure alike",
    "transport_not_exact": "the requests went through the general HTTP client",
    # Of the server, seen around a block.
    "load_failed": "the model could not be loaded",
    "not_measured": "a block was not measured",
    "not_calibrated": "prompts are only roughly as long as asked for",
    "worker_died": "a worker process ended before its part was sent",
    "gpu_spill": "a part of the model is computed by the CPU",
    "served_context": "the server serves another context than was asked for",
    "other_models": "other models were in memory",
    "model_changed": "the model was evicted, replaced or moved within a block",
    "reloaded": "the model was loaded again within a block",
    "fewer_slots": "the server works on fewer requests at once than it was set to",
    "cloud_model": "the model is answered by a cloud service",
    # Of the requests.
    "failed_requests": "requests failed",
    "survivors": "so many failed that latencies describe only the lucky ones",
    "arrivals_dropped": "arrivals were not sent, because too many requests were in flight",
    "littles_law": "concurrency, rate and latency do not fit together",
    "unsteady": "the speed changed over the case",
    "early_stops": "answers ended before num_predict",
    "chunk_not_token": "a chunk is not a token",
    "implausible_rate": "speeds that no machine reaches were left out",
    "prompt_truncated": "prompts were cut to fit the context",
    "prompt_size": "prompts are not as long as was asked for",
    "cache_suspected": "prompts may have come from the server's cache",
    # Of the client.
    "client_bent": "the client moved a number by more than its interval",
    "client_lag": "the client was late in its own work",
    "client_cpu": "one process of the client used a core almost whole",
    "gc_pause": "the client stopped to collect garbage",
    "more_workers": "the load is more than one process of the client should send",
    "late_sends": "requests were sent late",
    "coalesced": "chunks shared a read, so their gaps are not exact",
    "user_stamps": "reads without a kernel time stamp",
}
"""Code -> what it means, in one clause."""
