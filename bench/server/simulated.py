"""The simulated engine: loads the models of a profile, whose numbers are all invented."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bench.clock import NS, Clock
from bench.server.cards import simulated_card
from bench.server.engine import LoadOptions, Memory, ModelCard
from bench.server.simulated_runner import SimulatedRunner
from bench.simulation.prefix_cache import CacheRules, Choice, PrefixCache
from bench.simulation.profile import ModelProfile, Profile
from bench.simulation.service import ServiceModel
from bench.simulation.text import prepare

_OVERHEAD_BYTES = 200_000_000
"""Memory a runner takes beside weights and KV cache."""


class SimulatedEngine:
    """The engine that invents its numbers.

    `llama_server` plays the engine of 0.30 and later (see `prefix_cache`), with `cache_ram_mib` of
    the host's memory for sequences that lost their slot; `multiuser_cache` is
    OLLAMA_MULTIUSER_CACHE of the engine before.
    """

    name = "simulated"
    mark = "simulated"
    simulated = True

    def __init__(
        self,
        profile: Profile,
        clock: Clock,
        *,
        seed: int = 0,
        llama_server: bool = True,
        cache_ram_mib: int = 8192,
        multiuser_cache: bool = False,
    ) -> None:
        self.profile = profile
        self.device = f"profile {profile.name}: {profile.description}"
        self.llama_server = llama_server
        self._cache_ram_mib = cache_ram_mib
        self._go_choice: Choice = "fork" if multiuser_cache else "longest"
        self._clock = clock
        self._seed = seed
        self._loads = 0
        self._cards = tuple(map(simulated_card, profile.models))
        self._models = {model.digest: model for model in profile.models}
        for model in profile.models:
            prepare(model)
        self._runners: set[SimulatedRunner] = set()
        self._seen: set[str] = set()

    def cards(self) -> Sequence[ModelCard]:
        """The profile's models."""
        return self._cards

    def fits(self, card: ModelCard, options: LoadOptions) -> bool:
        """Whether the GPU has room; without a GPU there always is."""
        need = self._need(self._models[card.digest], options)
        return not self.profile.device.vram_gb or (
            need + self._used() <= self.profile.device.vram_gb * NS
        )

    async def load(self, card: ModelCard, options: LoadOptions) -> SimulatedRunner:
        """Takes the profile's load time: the cold one the first time."""
        model = self._models[card.digest]
        duration = model.warm_load_s if card.digest in self._seen else model.cold_load_s
        await self._clock.sleep_until(self._clock.now_ns() + round(duration * NS))
        self._seen.add(card.digest)
        need = self._need(model, options)
        share = self.profile.gpu_share(need, self._used())
        self._loads += 1
        device = self.profile.device
        slowdown = share + (1 - share) * device.spill_slowdown if device.vram_gb else 1.0
        rules = CacheRules(
            choice="similar" if self.llama_server else self._go_choice,
            host_mib=self._cache_ram_mib,
            bytes_per_token=model.kv_bytes_per_token,
            checkpoints=model.hybrid,
        )
        speed = model.service(slots=options.parallel, batch_tokens=options.batch, slowdown=slowdown)
        draw = random.Random(f"{self._seed}/{self._loads}")
        service = ServiceModel(speed, seed=draw.getrandbits(32))
        cache, memory = PrefixCache(options.parallel, rules), Memory(need, round(need * share))
        runner = SimulatedRunner(
            model, options, memory, service, cache, draw, self._clock.now_ns, self._runners.discard
        )
        self._runners.add(runner)
        return runner

    async def aclose(self) -> None:
        """Stop every runner."""
        for runner in list(self._runners):
            await runner.unload()

    def _used(self) -> int:
        return sum(runner.memory.size_vram for runner in self._runners)

    @staticmethod
    def _need(model: ModelProfile, options: LoadOptions) -> int:
        kv = model.kv_bytes_per_token * options.num_ctx * options.parallel
        return round(model.size_gb * NS) + kv + _OVERHEAD_BYTES
