"""The price of a teacher's tokens. Money is in whole picodollars, so that sums are exact.

Null: the table's figures are the vendor's for plain requests; a plan's own [prices] override them.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from stillwatch.distill.plan import TeacherPrices

PUSD = 10**12  # picodollars per dollar: 0.1 cents per million tokens is still a whole number per token
MOST_PUSD = 1 << 60  # more than a million dollars; sums of them still fit SQLite's integers
DATED = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|latest|\d{4})$")


@dataclass(frozen=True)
class Price:
    """Picodollars per token, and the source."""

    input: int
    output: int
    cached_input: int
    source: str

    def cost_pusd(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """
        >>> Price(150_000, 600_000, 75_000, "").cost_pusd(1000, 100, cached_tokens=400)
        180000000
        """
        cached = min(max(cached_tokens, 0), input_tokens)
        fresh = (input_tokens - cached) * self.input
        return min(fresh + cached * self.cached_input + output_tokens * self.output, MOST_PUSD)


@lru_cache(maxsize=1)
def price_list() -> dict[str, Price]:
    """Return every model of the shipped table."""
    raw = tomllib.loads(files("stillwatch.distill").joinpath("prices.toml").read_text(encoding="utf-8"))
    found = {}
    for vendor, table in raw.items():
        if isinstance(table, dict):
            for row in table["models"]:
                source = f"{raw['source']}, as of {raw['as_of']} ({vendor}: {table['page']})"
                found[row["model"]] = _price(row["input"], row["output"], row.get("cached_input"), source)
    return found


def price_of(model: str, own_prices: TeacherPrices) -> Price | None:
    """Return the price of a model's tokens; None if neither the plan nor the table has it.

    A name is looked up as it is, then without all before its last slash, and without a date at its end.

    >>> price_of("openai/gpt-4o-mini-2024-07-18", TeacherPrices()).output
    600000
    >>> price_of("my-own", TeacherPrices()) is None
    True
    """
    if own_prices.input is not None and own_prices.output is not None:
        return _price(
            own_prices.input, own_prices.output, own_prices.cached_input, own_prices.source or "the plan"
        )
    bare_name = model.rpartition("/")[2].lower()
    table = price_list()
    return table.get(bare_name) or table.get(DATED.sub("", bare_name))


def usd(pusd: int) -> float:
    return pusd / PUSD


def _price(input_: float, output: float, cached: float | None, source: str) -> Price:
    """Convert dollars per million tokens; a fraction of a picodollar is rounded up."""
    pusd = [
        -int(-(price * PUSD / 1e6) // 1) for price in (input_, output, input_ if cached is None else cached)
    ]
    return Price(pusd[0], pusd[1], pusd[2], source)
