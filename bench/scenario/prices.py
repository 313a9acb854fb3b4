"""What electricity and hardware cost: `0.30 EUR/kWh`, `1.20 EUR/h`. The currency is free text.

What is none, two for the same or of two currencies is a ValueError that says what would be right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_PRICE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([^\d/]*?)\s*/\s*(kWh|h)\s*")


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money for a kWh of electricity or an hour of the machine.

    Attributes:
        per: "kWh" or "h".
    """

    amount: float
    currency: str
    per: str

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.amount:g}{f' {self.currency}' if self.currency else ''}/{self.per}"


def parse_price(text: str) -> Price:
    """Reads one price."""
    match = _PRICE.fullmatch(text)
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError("must be a price per kWh or per hour, such as 0.30 EUR/kWh or 1.20 EUR/h")
    return Price(float(match[1]), match[2], match[3])


def parse_prices(texts: Iterable[str]) -> dict[str, Price]:
    """Reads prices, by what they are for."""
    found: dict[str, Price] = {}
    for price in map(parse_price, texts):
        if price.per in found:
            raise ValueError(f"two prices per {price.per} are given: give one")
        found[price.per] = price
    if len({p.currency for p in found.values()}) > 1:
        raise ValueError("prices must be of one currency")
    return found
