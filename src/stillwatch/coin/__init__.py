"""The coin: a keyed, committed choice of which of two answers is served; and the ledger that keeps both."""

from dataclasses import dataclass, field

from stillwatch.errors import StillwatchError


class CoinError(StillwatchError):
    """An unusable key, ledger or record."""


@dataclass(frozen=True)
class Answer:
    """One of the two answers that were drawn."""

    text: str
    output_tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True)
class LedgerRecord:
    """The fields of every record of a coin."""

    ledger: str
    number: int
    at_us: int
    account: str
    # as in the ledger: proves this record alone; index: of the leaf in the ledger's tree
    opening: str = field(default="", compare=False, repr=False, kw_only=True)
    leaf: str = field(default="", compare=False, repr=False, kw_only=True)
    index: int = field(default=-1, compare=False, repr=False, kw_only=True)

    @property
    def id(self) -> str:
        return f"{self.ledger}/{self.number}"


@dataclass(frozen=True)
class Pair(LedgerRecord):
    """Two answers to one request, in the order of the requests, which does not depend on the coin.

    `served` is the coin: 0 for the first answer, 1 for the second.
    """

    model: str | None
    messages: tuple[dict[str, str], ...]
    answers: tuple[Answer, Answer]
    served: int
    campaign: str | None = None  # the campaign to which the account was attributed then
    operation: str = "chat"

    @property
    def tie(self) -> bool:
        """Whether both answers are the same: such a coin carries no information."""
        return self.answers[0].text == self.answers[1].text


@dataclass(frozen=True)
class Throw(LedgerRecord):
    """A coin with its account, written before there is an answer, whatever follows."""

    campaign: str | None = None
    before: int = -1  # earlier coins of this account in this campaign; the ledger counts them


@dataclass(frozen=True)
class Unpaired:
    """A coin that was thrown but has no two answers; `Throw` has its account."""

    ledger: str
    number: int
    at_us: int
    why: str
