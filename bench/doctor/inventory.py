"""What a server has: its models, what they can do, and which are in memory."""

from __future__ import annotations

from dataclasses import dataclass

from bench.address import Address
from bench.errors import ModelError
from bench.load.target import residency
from bench.ollama.control import Control
from bench.ollama.names import is_cloud_name
from bench.ollama.replies import InstalledModel, ShownModel
from bench.results.run import Residency


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One installed model.

    Attributes:
        context_limit: tokens it was trained for; None = not said.
        cloud: its requests are answered by a service on the internet.
    """

    installed: InstalledModel
    context_limit: int | None
    capabilities: tuple[str, ...]
    cloud: bool
    residency: Residency


async def list_models(address: Address) -> list[ListedModel]:
    """Every installed model of a server, by name."""
    async with Control.of(address) as control:
        await control.version()
        loaded = await control.ps() or ()
        listed = []
        for installed in sorted(await control.tags(), key=lambda m: m.name):
            shown = await _shown(control, installed.name)
            listed.append(
                ListedModel(
                    installed=installed,
                    context_limit=shown.context_limit,
                    capabilities=shown.capabilities or installed.capabilities,
                    cloud=installed.remote or shown.remote or is_cloud_name(installed.name),
                    residency=residency(loaded, installed.name),
                )
            )
        return listed


async def _shown(control: Control, name: str) -> ShownModel:
    try:
        return await control.show(name)
    except ModelError:  # a broken or just removed model must not hide the others
        return ShownModel()
