"""The coin: which of two answers was served, by a keyed, committed choice; and the ledger that keeps both."""

from dataclasses import dataclass, field

from stillwatch.errors import StillwatchError


class CoinError(StillwatchError):
    """A key, a ledger or a record of it that cannot be used."""


@dataclass(frozen=True)
class Answer:
    """One of the two answers that were drawn."""

    text: str
    output_tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True)
class LedgerRecord:
    """What every record of a coin holds."""

    ledger: str
    number: int
    at_us: int
    account: str
    # as the ledger holds it: proves this record alone; index: of the leaf in the ledger's tree
    opening: str = field(default="", compare=False, repr=False, kw_only=True)
    leaf: str = field(default="", compare=False, repr=False, kw_only=True)
    index: int = field(default=-1, compare=False, repr=False, kw_only=True)

    @property
    def id(self) -> str:
        return f"{self.ledger}/{self.number}"


@dataclass(frozen=True)
class Pair(LedgerRecord):
    """Two answers to one request, in the order in which they were asked for: the coin knows no other.

    `served` is the coin: 0 for the first answer, 1 for the second.
    """

    model: str | None
    messages: tuple[dict[str, str], ...]
    answers: tuple[Answer, Answer]
    served: int
    campaign: str | None = None  # what the account was held to belong to, then
    operation: str = "chat"

    @property
    def tie(self) -> bool:
        """Return whether both answers say the same: such a coin tells nothing."""
        return self.answers[0].text == self.answers[1].text


@dataclass(frozen=True)
class Throw(LedgerRecord):
    """A coin as it was thrown, for whom: written before there is an answer, whatever becomes of it."""

    campaign: str | None = None
    before: int = -1  # coins of this account in this campaign earlier in the ledger; the ledger counts them


@dataclass(frozen=True)
class Unpaired:
    """A coin that was thrown and has no two answers: whose it is says `Throw`."""

    ledger: str
    number: int
    at_us: int
    why: str
