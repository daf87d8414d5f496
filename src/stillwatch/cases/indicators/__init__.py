"""What can be shared about a campaign without showing a prompt: keyed values, and who matches them.

An indicator is a number that only a holder of its key can compare with a text. A match is not proof of guilt:
wording can be copied, and a matching account may be a bystander.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.errors import StillwatchError


class IndicatorError(StillwatchError):
    """Indicators cannot be made, imported or searched for this way."""


class IndicatorKind(StrEnum):
    """What a value is derived from.

    The first five are sketches of wording, the others of facts about accounts.
    """

    QUESTION = "question"  # the whole prompt, white space and case folded
    OPENING = "opening"  # its first six tokens, numbers and links masked
    ENDING = "ending"  # its last six
    SYSTEM = "system-text"  # the whole system text
    WORDING = "wording"  # a shingle of three tokens: several of a campaign must be in one prompt
    NETWORK = "network"  # a client's /24 or /48
    PAYMENT = "payment"  # fingerprint of the instrument, from the accounts table
    DOMAIN = "email-domain"


SKETCHED = (
    IndicatorKind.QUESTION,
    IndicatorKind.OPENING,
    IndicatorKind.ENDING,
    IndicatorKind.SYSTEM,
    IndicatorKind.WORDING,
)
IDENTIFIERS = (IndicatorKind.NETWORK, IndicatorKind.PAYMENT, IndicatorKind.DOMAIN)
# hexadecimal digits of a value
DIGITS = {IndicatorKind.WORDING: 8} | dict.fromkeys(SKETCHED[:4], 16) | dict.fromkeys(IDENTIFIERS, 64)


@dataclass(frozen=True)
class Indicator:
    """One keyed value that a campaign's accounts share."""

    kind: IndicatorKind
    value: str  # DIGITS[kind] hexadecimal digits
    key: str  # fingerprint of the key it was made under
    accounts: int = 0  # of the campaign that match
    others: int = 0  # matching accounts outside it, in the log it was made from
    exchanges: int = 0  # of the campaign's accounts
    first_us: int = 0
    last_us: int = 0


@dataclass(frozen=True)
class Partner:
    """One campaign as a partner reported it."""

    id: str  # the STIX id of the campaign
    sender: str  # the sender's own name: a claim, not a proof
    name: str
    tlp: str
    created_us: int
    modified_us: int
    indicators: tuple[tuple[str, Indicator], ...]  # those valid now, each with its STIX id
    expired: int = 0  # indicators that are no longer valid
    foreign: int = 0  # indicators of unknown kinds


@dataclass(frozen=True)
class MatchingAccount:
    """One of our own accounts that matches a partner's indicators. Kept here: a sighting names nobody."""

    account: str
    exchanges: int
    first_us: int
    last_us: int
    kinds: tuple[IndicatorKind, ...]
    before: bool = False  # matched before the sender saw the campaign: likely for a reason of its own
    rows: int = 0  # all its exchanges that were compared


@dataclass(frozen=True)
class Chance:
    """How many of the matches are expected by chance."""

    collisions: float  # exchanges expected to match by hash collisions
    before: int  # accounts that matched before the sender first saw the campaign
    before_days: float  # of the history before that
    # accounts expected since then at the earlier rate; None: no such days
    expected: float | None


@dataclass(frozen=True)
class Hits:
    """The matches of one partner's campaign in a history."""

    partner: Partner
    searched: int  # exchanges that were compared
    blind: int  # exchanges that could not be: stored only as sketches under another key
    first_searched_us: int | None
    last_searched_us: int | None
    accounts: tuple[MatchingAccount, ...]  # most exchanges first
    exchanges: int
    first_us: int | None
    last_us: int | None
    seen: tuple[tuple[str, int, int, int], ...]  # of each indicator seen: STIX id, exchanges, first, last
    chance: Chance
    unnamed: int = 0  # accounts that match in too few of their exchanges to be named
    compared: int = 0  # accounts
    fitting: int = 0  # matching accounts, if they are so many that nobody is named; else 0


@dataclass(frozen=True)
class PartnerSighting:
    """A partner's reply about one of our campaigns."""

    id: str
    of: str  # the STIX id of the campaign
    sender: str
    tlp: str
    exchanges: int  # 0: searched for and not seen
    accounts: int
    searched: int
    searched_us: tuple[int, int] | None  # from when to when, as far as stated
    first_us: int | None
    last_us: int | None
    modified_us: int
    sealed: bool  # by a holder of the key; else anybody may have written it
    key: str  # its fingerprint: the sender's name is chosen by a holder of it
