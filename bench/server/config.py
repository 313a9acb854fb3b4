"""One configuration for `serve`, the demo and the tests, and how a server is built from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.clock import Clock
from bench.errors import EngineError
from bench.server.app import App
from bench.server.engine import Engine
from bench.server.eras import DEFAULT_VERSION, EmulatedVersion, era_of
from bench.server.faults import FaultPlan, parse_fault, read_plan
from bench.server.go import parse_keep_alive
from bench.server.settings import ServerSettings
from bench.server.simulated import SimulatedEngine
from bench.server.truth import TruthLog
from bench.simulation.profile import Profile, load_profile

Say = Callable[[str], None]
"""Shows one line of progress."""
ENGINES = ("simulated", "llama.cpp")
DEFAULT_PROFILE = "laptop-cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What can be said about a server. None leaves a choice to the profile or engine.

    Attributes:
        engine: "simulated" or "llama.cpp".
        profile: name of a shipped profile or path of one (simulated engine).
        models: `PATH.gguf` or `NAME=PATH.gguf` each (llama.cpp engine); none = the demo's model.
        port: 0 lets the system choose.
        num_parallel, max_loaded, max_queue, keep_alive, num_ctx: as OLLAMA_NUM_PARALLEL,
            OLLAMA_MAX_LOADED_MODELS, OLLAMA_MAX_QUEUE, OLLAMA_KEEP_ALIVE, OLLAMA_CONTEXT_LENGTH.
        ollama_version: the version whose behaviour is played.
        cache_ram: MiB of the host's memory for sequences that lost their slot, as
            LLAMA_ARG_CACHE_RAM (0.30 and later); 0 = none.
        multiuser_cache: as OLLAMA_MULTIUSER_CACHE (up to 0.24).
        threads: of the llama.cpp engine.
        seed: of jitter, of requests without a seed, and of faults.
        truth_log: file for the truth log.
        faults: as `KIND:rate=0.1,after=3`. fault_plan: path of a YAML plan.
    """

    engine: str = "simulated"
    profile: str = DEFAULT_PROFILE
    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 11434
    num_parallel: int | None = None
    max_loaded: int = 3
    max_queue: int = 512
    keep_alive: str = "5m"
    num_ctx: int | None = None
    ollama_version: str = DEFAULT_VERSION
    cache_ram: int = 8192
    multiuser_cache: bool = False
    threads: int | None = None
    seed: int = 0
    truth_log: str | None = None
    faults: tuple[str, ...] = ()
    fault_plan: str | None = None


def build_app(
    config: ServerConfig, clock: Clock, say: Say = lambda _: None, *, keep_truth: bool = False
) -> App:
    """The server a configuration describes, not listening yet.

    `say` shows one line of progress (a model may have to be fetched); `keep_truth` keeps the truth
    log's records in memory as well.

    Raises:
        EngineError: it cannot be built; says why and what to do.
    """
    era = era_of(config.ollama_version)
    engine, profile = _engine(config, clock, era, say)
    settings = ServerSettings(
        num_parallel=config.num_parallel or (profile.num_parallel if profile else 1),
        max_loaded=config.max_loaded,
        max_queue=config.max_queue,
        keep_alive_ns=_keep_alive(config.keep_alive),
        num_ctx=config.num_ctx or (profile.num_ctx if profile else 4096),
    )
    faults = [parse_fault(fault) for fault in config.faults]
    if config.fault_plan:
        faults += read_plan(Path(config.fault_plan))
    plan = FaultPlan(faults, config.seed)
    try:
        truth = TruthLog(Path(config.truth_log) if config.truth_log else None, keep=keep_truth)
    except OSError as error:
        raise EngineError(
            f"{config.truth_log} cannot be written: {error.strerror}",
            "Name another file with --truth-log.",
        ) from None
    return App(engine, era, settings, clock=clock, truth=truth, faults=plan)


def _engine(
    config: ServerConfig, clock: Clock, era: EmulatedVersion, say: Say
) -> tuple[Engine, Profile | None]:
    if config.engine == "simulated":
        if config.models:
            raise EngineError(
                f"--model {config.models[0]}: the simulated engine reads no model files",
                "Say --engine llama.cpp as well, or name models in a profile (--profile FILE).",
            )
        profile = load_profile(config.profile)
        engine = SimulatedEngine(
            profile,
            clock,
            seed=config.seed,
            llama_server=era.llama_server,
            cache_ram_mib=config.cache_ram,
            multiuser_cache=config.multiuser_cache,
        )
        return engine, profile
    if config.engine == "llama.cpp":
        from bench.server.llamacpp.engine import create_engine

        return create_engine(config.models, config.threads, say, config.cache_ram), None
    raise EngineError(f"there is no engine {config.engine!r}", f"There are: {', '.join(ENGINES)}.")


def _keep_alive(text: str) -> int:
    """As OLLAMA_KEEP_ALIVE: a duration or seconds; negative means for ever."""
    try:
        return parse_keep_alive(int(text) if text.lstrip("-").isdecimal() else text)
    except ValueError:
        raise EngineError(
            f"keep-alive {text!r} is not a duration", "Write it like 30s, 5m, 24h, or -1 for ever."
        ) from None
