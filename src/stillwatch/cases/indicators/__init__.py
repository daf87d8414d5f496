"""What can be told of a campaign without showing a prompt: keyed values, and who carries them.

An indicator is a number that only a holder of its key can compare with a text. It does not say who is guilty:
wording can be copied, and who carries it may be a bystander.
"""

from dataclasses import dataclass
from enum import StrEnum

from stillwatch.errors import StillwatchError


class IndicatorError(StillwatchError):
    """Indicators cannot be made, taken in or looked for so."""


class IndicatorKind(StrEnum):
    """What a value was made of.

    The first five are sketches of wording, the others of what is known of accounts.
    """

    QUESTION = "question"  # the whole prompt, white space and case folded
    OPENING = "opening"  # its first six tokens, numbers and links masked
    ENDING = "ending"  # its last six
    SYSTEM = "system-text"  # the whole system text
    WORDING = "wording"  # a phrase of three tokens: several of a campaign must stand in one prompt
    NETWORK = "network"  # the /24 or /48 that a client came from
    PAYMENT = "payment"  # fingerprint of the instrument, as the accounts table has it
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
    key: str  # fingerprint of the key that it was made under
    accounts: int = 0  # of the campaign that carry it
    others: int = 0  # accounts outside it that do, where it was found
    exchanges: int = 0  # of the campaign's accounts
    first_us: int = 0
    last_us: int = 0


@dataclass(frozen=True)
class Partner:
    """One campaign as a partner told of it."""

    id: str  # the STIX id of the campaign
    sender: str  # as the sender calls itself: a claim, not a proof
    name: str
    tlp: str
    created_us: int
    modified_us: int
    indicators: tuple[tuple[str, Indicator], ...]  # those that hold at this time, each with its STIX id
    expired: int = 0  # indicators that do not hold any more
    foreign: int = 0  # indicators that are not of our kind


@dataclass(frozen=True)
class MatchingAccount:
    """One of our own accounts that uses a partner's indicators. It stays here: a sighting names nobody."""

    account: str
    exchanges: int
    first_us: int
    last_us: int
    kinds: tuple[IndicatorKind, ...]
    before: bool = False  # carried a mark before the sender saw the campaign: likely for a reason of its own
    rows: int = 0  # all its exchanges that were compared


@dataclass(frozen=True)
class Chance:
    """How much of what was found would be there anyway."""

    collisions: float  # exchanges expected to match because two values fell together
    before: int  # accounts that carried a mark before the sender saw the campaign at all
    before_days: float  # of the history that lie before that
    # accounts to be expected since, if they came as they did before; None: no such days
    expected: float | None


@dataclass(frozen=True)
class Hits:
    """Where one partner's campaign was seen in a history."""

    partner: Partner
    searched: int  # exchanges that were compared
    blind: int  # exchanges that could not be: only sketches under another key are kept of them
    first_searched_us: int | None
    last_searched_us: int | None
    accounts: tuple[MatchingAccount, ...]  # most exchanges first
    exchanges: int
    first_us: int | None
    last_us: int | None
    seen: tuple[tuple[str, int, int, int], ...]  # of each indicator seen: STIX id, exchanges, first, last
    chance: Chance
    unnamed: int = 0  # accounts that carry a mark in too few of their exchanges to be named
    compared: int = 0  # accounts
    fitting: int = 0  # accounts whom the marks fit, where these are so many that nobody is named: else 0


@dataclass(frozen=True)
class PartnerSighting:
    """What a partner answered about one of our campaigns."""

    id: str
    of: str  # the STIX id of the campaign
    sender: str
    tlp: str
    exchanges: int  # 0: looked for and not seen
    accounts: int
    searched: int
    searched_us: tuple[int, int] | None  # from when to when, as far as it was said
    first_us: int | None
    last_us: int | None
    modified_us: int
    sealed: bool  # by a holder of the key; else anybody may have written it
    key: str  # its fingerprint: the sender's name is what a holder of it chose
