"""Model names as Ollama reads them."""

from __future__ import annotations


def full_name(name: str) -> str:
    """The name with its tag: `llama3.2` is `llama3.2:latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def same_model(a: str, b: str) -> bool:
    """Do two names mean the same model? Ollama does not tell upper from lower case."""
    return full_name(a).casefold() == full_name(b).casefold()


def is_cloud_name(name: str) -> bool:
    """Would Ollama send this model's requests to ollama.com?

    True for `name:cloud` and for tags ending in `-cloud` (since v0.18.0).
    """
    tag = full_name(name).rpartition(":")[2].casefold()
    return tag == "cloud" or tag.endswith("-cloud")
