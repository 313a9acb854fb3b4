"""Every code that a `RunWarning` can have, how grave it is and what it means. Codes are stable."""

from __future__ import annotations

from enum import StrEnum, auto


class Severity(StrEnum):
    """What a warning means for the numbers."""

    INVALID = "invalid"
    """They must not be trusted."""
    BY_DEGREE = "by degree"
    """A caution; invalid if there is much of it."""
    CAUTION = "caution"
    """Some of them mean less, or something else, than they seem to."""
    NOTE = "note"
    """They are as good as without it."""


INVALID, BY_DEGREE, CAUTION, NOTE = Severity


class WarningCode(StrEnum):
    """A code, its name in small letters; in files a plain string.

    Files of other versions may hold other codes: `WarningCode(text)` takes any text, and such a
    code is a caution without a meaning.

    Attributes:
        severity: what it means for the numbers.
        meaning: one clause.
    """

    severity: Severity
    meaning: str

    def __new__(cls, code: str, severity: Severity = CAUTION, meaning: str = "") -> WarningCode:
        """A member; with a code only, the member that has it."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.severity = severity
        member.meaning = meaning
        return member

    @classmethod
    def _missing_(cls, value: object) -> WarningCode | None:
        if not isinstance(value, str):
            return None
        if value in _ADDED:
            return _ADDED[value]
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        member.severity, member.meaning = CAUTION, ""
        return member

    # Before the run.
    CONTEXT_LIMIT = auto(), CAUTION, "num_ctx is more than the model was trained for"
    CONTEXT_ROOM = auto(), CAUTION, "prompt and answer do not fit into the context"
    # Of the run.
    RUN_FAILED = auto(), INVALID, "the run ended by an error"
    HISTORY_NOT_WRITTEN = auto(), NOTE, "the run is not in the history"
    SUMMARY_NOT_WRITTEN = (
        auto(),
        NOTE,
        "a file of results could not be written; the numbers are printed",
    )
    REPORT_NOT_WRITTEN = auto(), NOTE, "a report could not be written; the numbers are printed"
    ASKED_AGAIN = auto(), NOTE, "a control call failed at first, and was repeated"
    NOT_KNOWN = auto(), NOTE, "a control call that no number needs failed: something is unknown"
    ODD_REPLIES = auto(), NOTE, "replies ended well, but held something that Ollama does not send"
    JOURNAL_DAMAGED = auto(), INVALID, "lines of requests.jsonl are missing, doubled or unreadable"
    INCOMPLETE = auto(), CAUTION, "the run has not ended, or was interrupted"
    SIMULATED = auto(), CAUTION, "the numbers come from the simulated engine"
    ONE_BLOCK = auto(), CAUTION, "cases with one block have no sign of what differs between blocks"
    VERSION_UNKNOWN = auto(), CAUTION, "the server's version is no known release"
    MIXED_VERSIONS = auto(), CAUTION, "the run holds server versions that do not measure alike"
    TELEMETRY_UNREAD = auto(), CAUTION, "hardware that was named cannot be read"
    TRANSPORT_NOT_EXACT = auto(), CAUTION, "the requests went through the general HTTP client"
    # Of the server, seen around a block.
    LOAD_FAILED = auto(), INVALID, "the model could not be loaded"
    NOT_MEASURED = auto(), INVALID, "a block was not measured"
    NOT_CALIBRATED = auto(), CAUTION, "prompts are only roughly as long as asked for"
    WARM_UP_FAILED = auto(), CAUTION, "warm-up requests failed, though measuring went on"
    WORKER_DIED = auto(), INVALID, "a worker process ended before its part was sent"
    SCHEDULER_LOST = auto(), NOTE, "the Dask scheduler ended; the senders went on without it"
    RECORDS_FETCHED = auto(), NOTE, "records of an earlier run were fetched from a sender's machine"
    GPU_SPILL = auto(), CAUTION, "a part of the model is computed by the CPU"
    SERVED_CONTEXT = auto(), CAUTION, "the server serves another context than was asked for"
    OTHER_MODELS = auto(), CAUTION, "other models were in memory"
    MODEL_CHANGED = auto(), INVALID, "the model was evicted, replaced or moved within a block"
    RELOADED = auto(), INVALID, "the model was loaded again within a block"
    FEWER_SLOTS = auto(), CAUTION, "the server works on fewer requests at once than it was set to"
    OTHER_LOAD = auto(), BY_DEGREE, "requests waited for somebody else's"
    OTHER_MODEL = auto(), BY_DEGREE, "replies name another model than the one that was asked"
    SERVER_CHANGED = auto(), INVALID, "the server or its model changed in the course of the run"
    STARVED = auto(), CAUTION, "a model of a mix got no turn while another one was in use"
    CLOUD_MODEL = auto(), INVALID, "the model is answered by a cloud service"
    # Of the server's machine, by its telemetry.
    COST_UNKNOWN = auto(), CAUTION, "a price was given, and the cost is not known"
    THROTTLED = auto(), CAUTION, "a GPU ran slower because it was too hot or short of power"
    SWAPPING = auto(), CAUTION, "the machine read memory back from swap"
    CPU_FALLBACK = auto(), CAUTION, "the model is on the CPU although the machine has a GPU"
    POWER_DISAGREES = auto(), CAUTION, "two readings of a device's energy contradict each other"
    ABOVE_ROOF = auto(), CAUTION, "decoding would read more memory per second than there is"
    # Of the machines that send.
    OPEN_SCHEDULER = auto(), CAUTION, "anyone in the network can give the senders' machines orders"
    SENDER_CLOCKS = auto(), CAUTION, "the senders' clocks made intervals wider, or left numbers out"
    # Of the requests.
    FAILED_REQUESTS = auto(), BY_DEGREE, "requests failed"
    SURVIVORS = auto(), CAUTION, "so many failed that latencies describe only the lucky ones"
    ARRIVALS_DROPPED = auto(), BY_DEGREE, "arrivals were left out: too many requests were in flight"
    OVERLOAD = auto(), CAUTION, "the server does not keep up with the rate: the backlog grew"
    SHORT_BLOCK = auto(), CAUTION, "a block is too short for a percentile of an open loop"
    LITTLES_LAW = auto(), CAUTION, "concurrency, rate and latency do not fit together"
    UNSTEADY = auto(), CAUTION, "the speed changed over the case"
    EARLY_STOPS = auto(), CAUTION, "answers ended before num_predict"
    THINKING_ONLY = auto(), CAUTION, "thinking used up num_predict, and no answer came"
    CHUNK_NOT_TOKEN = auto(), NOTE, "a chunk is not a token"
    IMPLAUSIBLE = auto(), BY_DEGREE, "numbers of the server that cannot be true were left out"
    CLOCKS_DISAGREE = auto(), BY_DEGREE, "the server's clock and the client's give different speeds"
    UNACCOUNTED_TIME = auto(), CAUTION, "time of lone requests is in no part that the server names"
    TIME_OUTSIDE_SERVER = auto(), CAUTION, "requests took much longer than the server says"
    STREAM_HELD_BACK = (
        auto(),
        CAUTION,
        "streams came faster than they were made: held back, or read late",
    )
    STREAM_IN_BURSTS = auto(), CAUTION, "streams came several tokens at a time"
    IMPLAUSIBLE_RATE = auto(), CAUTION, "speeds that no machine reaches were left out"
    PROMPT_TRUNCATED = auto(), CAUTION, "prompts were cut to fit the context"
    PROMPT_SIZE = auto(), CAUTION, "prompts are not as long as was asked for"
    CACHE_SUSPECTED = auto(), CAUTION, "prompts may have come from the server's cache"
    # Of the client.
    CLIENT_BENT = auto(), BY_DEGREE, "the client moved a number by more than its interval"
    CLIENT_STALLED = auto(), INVALID, "the client stood still, and that bent what was measured"
    CLIENT_LAG = auto(), CAUTION, "the client was late in its own work"
    CLIENT_CPU = auto(), CAUTION, "one process of the client used a core almost whole"
    GC_PAUSE = auto(), CAUTION, "the client stopped to collect garbage"
    MORE_WORKERS = auto(), NOTE, "the load is more than one process of the client should send"
    LATE_SENDS = auto(), BY_DEGREE, "requests were sent late"
    USERS_IDLED = auto(), CAUTION, "the client took a moment to ask again: rates may be higher"
    COALESCED = auto(), CAUTION, "chunks shared a read, so their gaps are not exact"
    USER_STAMPS = auto(), CAUTION, "reads without a kernel time stamp"


_ADDED: dict[str, WarningCode] = {}


def add_code(code: str, severity: Severity, meaning: str) -> WarningCode:
    """A code that is not of this package's own.

    Raises:
        ValueError: it exists already.
    """
    member = WarningCode(code)
    if member in all_codes():
        raise ValueError(f"the warning {code} exists already")
    member.severity, member.meaning = severity, meaning
    _ADDED[code] = member
    return member


def all_codes() -> list[WarningCode]:
    """Every code with a meaning: those above, then the added ones."""
    return [*WarningCode, *_ADDED.values()]
