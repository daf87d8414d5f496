"""The cost of an attack: prices with their sources, a limited budget, and multiples of other costs.

The prices are public list prices, or round guesses where no list exists; each says which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from stillwatch.errors import InputError

AccountKind = Literal["fresh", "aged", "stolen"]
BYTES_PER_TOKEN = 4.0  # of text on the wire, without headers
SMALL_MODELS = ("mira-mini",)  # of the range's made-up family


@dataclass(frozen=True)
class AttackPrices:
    """USD. Any of them may stand in a scene's [budget]; `SOURCES` says where each default comes from."""

    usd: float = 5000.0
    account_usd: float = 5.0
    aged_account_usd: float = 30.0
    stolen_key_usd: float = 30.0
    input_usd_per_mtok: float = 3.0
    output_usd_per_mtok: float = 15.0
    small_model_share: float = 0.2
    proxy_usd_per_gb: float = 4.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
                raise InputError(f"[budget] {f.name} = {value!r}: give an amount of USD that is not negative")

    @classmethod
    def of(cls, prices: Mapping[str, float]) -> "AttackPrices":
        """Take prices from a scene's [budget].

        Raises: InputError for an unknown key, or a price below 0.
        """
        known = [f.name for f in fields(cls)]
        for name in prices:
            if name not in known:
                raise InputError(f"[budget] {name} is no price; known are {', '.join(known)}")
        return cls(**prices)

    def account(self, kind: AccountKind) -> float:
        by = {"fresh": self.account_usd, "aged": self.aged_account_usd, "stolen": self.stolen_key_usd}
        return by[kind]

    def exchange(self, model: str, input_tokens: int, output_tokens: int, *, paid: bool = True) -> float:
        """Return the cost of one exchange; with a stolen key the owner pays the tokens."""
        tokens = input_tokens + output_tokens
        proxy = tokens * BYTES_PER_TOKEN / 1e9 * self.proxy_usd_per_gb
        if not paid:
            return proxy
        share = self.small_model_share if model in SMALL_MODELS else 1.0
        api = input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok
        return api * share / 1e6 + proxy


SOURCES = {
    "usd": "a choice: some forty times what 1,000 reasoning traces cost at list price",
    "account_usd": "the least credit that opens an account with a large provider: $5 "
    "(docs.anthropic.com, rate limits, tier 1, 2025; the credit is not counted back)",
    "aged_account_usd": "a guess: no public list; sellers of aged accounts ask several times the credit",
    "stolen_key_usd": "a guess: resold access to stolen keys was offered at some $30 a month in 2024",
    "input_usd_per_mtok": "list price of a mid-sized reasoning model, Claude Sonnet 4: $3 (2025)",
    "output_usd_per_mtok": "the same: $15, reasoning tokens included",
    "small_model_share": "a family's small model costs about a fifth of the large one",
    "proxy_usd_per_gb": "residential proxies are listed at $2 to $8 a gigabyte (vendors' pages, 2025)",
}


class AttackBudget:
    """An attacker's money: spending by purpose, and whether any is left."""

    def __init__(self, prices: AttackPrices) -> None:
        self.prices = prices
        self.accounts_usd = 0.0
        self.traffic_usd = 0.0

    @property
    def spent_usd(self) -> float:
        return self.accounts_usd + self.traffic_usd

    @property
    def left_usd(self) -> float:
        return max(0.0, self.prices.usd - self.spent_usd)

    def buy(self, kind: AccountKind) -> bool:
        """Pay for an account, if the money suffices."""
        price = self.prices.account(kind)
        if price > self.left_usd:
            return False
        self.accounts_usd += price
        return True

    def pay(self, model: str, input_tokens: int, output_tokens: int, *, paid: bool = True) -> None:
        """Pay for an exchange. The last one may overdraw the budget, since providers bill afterwards."""
        self.traffic_usd += self.prices.exchange(model, input_tokens, output_tokens, paid=paid)


@dataclass(frozen=True)
class Cost:
    """The cost of a harvest. `days` from the first request to the last example."""

    accounts: float
    days: float
    usd: float

    def times(self, other: "Cost") -> "Cost":
        """This cost as a multiple of another."""
        return Cost(
            self.accounts / max(other.accounts, 1.0),
            self.days / max(other.days, 1 / 1440),  # days are not measured more finely than a minute
            self.usd / max(other.usd, 0.01),
        )

    @property
    def most(self) -> float:
        """The largest of the three, on which a claim of "N times the cost" can rest."""
        return max(self.accounts, self.days, self.usd)
