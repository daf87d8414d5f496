"""The budget of a run: reserved before a request goes out, settled when its outcome is known, never
overdrawn.

A request's cost is bounded by its size: no token is shorter than a byte, and no answer longer than its limit.
If a teacher bills more than that, its bill is accepted, and every later request reserves as much more.
"""

from dataclasses import dataclass

from stillwatch.distill.ledger import RunCost
from stillwatch.distill.plan import Budget
from stillwatch.distill.prices import MOST_PUSD, PUSD, Price


@dataclass(frozen=True)
class Reservation:
    """The reservation of one request."""

    bound: int  # tokens, as bounded by its size
    tokens: int
    pusd: int


class RunBudget:
    """Amounts left, reserved and spent."""

    def __init__(self, budget: Budget, price: Price | None, spent: RunCost, excess_tokens: int) -> None:
        self._most_tokens = budget.tokens
        self._most_requests = budget.requests
        self._most_pusd = None if budget.usd is None else int(budget.usd * PUSD)
        self._price = price
        self._excess = excess_tokens
        self.requests, self.tokens, self.pusd = spent.requests, spent.tokens, spent.all_pusd
        self._aside_tokens = self._aside_pusd = 0
        self.under_way = 0

    def wants(self, into: int, out: int) -> Reservation:
        """Return what a request of this size would reserve."""
        tokens = into + out + self._excess
        if self._price is None:
            return Reservation(into + out, tokens, 0)
        dearer_input = max(self._price.input, self._price.cached_input)
        dearer = max(dearer_input, self._price.output)
        pusd = into * dearer_input + out * self._price.output + self._excess * dearer
        return Reservation(into + out, tokens, min(pusd, MOST_PUSD))

    def lacks(self, wanted: Reservation) -> str | None:
        """Return which limit is too low for a request, in words; None if none is."""
        if self._most_requests is not None and self.requests + 1 > self._most_requests:
            return f"{self.requests:,} of {self._most_requests:,} requests are used"
        if self._most_tokens is not None:
            remaining = self._most_tokens - self.tokens - self._aside_tokens
            if wanted.tokens > remaining:
                return (
                    f"the next request may take {wanted.tokens:,} tokens and {max(0, remaining):,} of "
                    f"{self._most_tokens:,} are left"
                )
        if self._most_pusd is not None:
            remaining = self._most_pusd - self.pusd - self._aside_pusd
            if wanted.pusd > remaining:
                return (
                    f"the next request may cost ${wanted.pusd / PUSD:.6f} and "
                    f"${max(0, remaining) / PUSD:.6f} of ${self._most_pusd / PUSD:.2f} is left"
                )
        return None

    def set_aside(self, wanted: Reservation) -> None:
        """Reserve; call only if nothing lacks, and settle it in the end."""
        self.requests += 1
        self._aside_tokens += wanted.tokens
        self._aside_pusd += wanted.pusd
        self.under_way += 1

    def settle(self, had: Reservation, tokens: int, pusd: int) -> None:
        """Book the actual cost of a request. A doubtful one counts as the whole reservation."""
        self.under_way -= 1
        self._aside_tokens -= had.tokens
        self._aside_pusd -= had.pusd
        self.tokens += tokens
        self.pusd += pusd
        self._excess = max(self._excess, tokens - had.bound)

    def give_back(self, had: Reservation) -> None:
        """Release what was reserved for a request that was never sent."""
        self.requests -= 1
        self.settle(had, 0, 0)
