"""What a scan says: campaigns, accounts, and what it could not claim.

`findings.json` holds exactly the contract that other tools depend on; `evidence.json` holds the rest of this
(links, timelines, when each account was named), for the page and for `stillwatch explain`.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any

from stillwatch.terms.holds import HoldCandidate

Tell = Callable[[str, int, int | None], None]  # takes a stage, what is done, and of how many or None


@dataclass(frozen=True)
class Harvest:
    """What has left: answered exchanges (status 200) and their output tokens."""

    exchanges: int
    output_tokens: int
    value_tokens: float = 0.0  # output tokens by what a student learns from them (docs/harvest.md)
    unique_prompts: int | None = None  # different prompts among those exchanges


@dataclass(frozen=True)
class Reason:
    """One detector's statement about a campaign, with the numbers that carry it."""

    detector: str
    text: str
    bits: float
    actual: float | None = None
    baseline: float | None = None  # the same number for the population, median
    population_p95: float | None = None
    n: int | None = None  # how many exchanges or accounts the statement rests on


@dataclass(frozen=True)
class Link:
    """One clue between an account and the campaign it was put in, or between two accounts."""

    a: str
    b: str
    clue: str
    bits: float
    text: str
    control: str  # "client" where the client chooses the attribute, "provider" where we observe it


@dataclass(frozen=True)
class Echo:
    """One answer that came back in a request of another account: what can be shown to both and checked."""

    answered: str  # the account
    answered_at: datetime  # when it asked
    quoted_by: str
    quoted_at: datetime
    passages: int  # of the answer, that the request holds


@dataclass(frozen=True)
class BenignAlternative:
    """What would make this honest, and what was found when that was checked."""

    kind: str
    text: str


@dataclass(frozen=True)
class Hour:
    start: datetime
    exchanges: int
    output_tokens: int


@dataclass(frozen=True)
class SettingTest:
    """One setting as it was tested when the alarm was raised: all that its p-value is computed from.

    p = min(1, tries * concentration_tail(count, of, share, correlation)), see `stats.groups`; the alarm's own
    is `combine` of its settings' in their order.
    """

    setting: str  # "model", "max_tokens" or "temperature_milli"
    # the commonest among the matching accounts; None if they leave the setting out
    value: str | int | None
    count: int  # matching accounts that mostly use it
    of: int  # matching accounts that were counted, an organisation once
    share: float  # of the population that mostly used it then, as the test rounds it
    tries: int  # values that could have been the commonest
    correlation: float  # that groups were granted then


@dataclass(frozen=True)
class OwnTie:
    """What ties one account by itself to a group finding, see `scan.own_tie`."""

    carrying: int  # its exchanges that carry the group's own wording
    sent: int  # its exchanges since the first of these
    markers: int  # pieces of that wording that it carries
    as_strong: int  # unnamed accounts that are tied at least as strongly
    unnamed: int  # accounts that no finding names, and that were active since the finding began

    @property
    def p_value(self) -> float | None:
        """The rank of the account's tie among unnamed accounts; None if no wording ties it."""
        if not self.carrying or not self.unnamed:
            return None
        return (1 + self.as_strong) / (1 + self.unnamed)


@dataclass(frozen=True)
class OwnReaction:
    """What refusals show of one account by itself, see `scan.holds`."""

    refused: int  # new texts of it that were refused
    repeated: int  # of these, asked later by an account of another customer in the group
    taken_over: int  # texts that others were refused and that it asked later
    p_value: float


@dataclass(frozen=True)
class SetAside:
    """An account that resembled a finding's, and was set aside by a rule before the rest was judged.

    Nobody accuses it. Of the facts those are given that the rule rests on, see `scan.set_aside`.
    """

    account: str
    rule: str  # of `scan.set_aside.RULES`
    product: str | None = None  # that its user agent named
    network: int | None = None  # equal numbers of one finding are one network; no address
    asn: int | None = None  # of that network
    accounts_there: int | None = None  # of the log, that send most from it
    first: datetime | None = None  # request
    last: datetime | None = None  # request, or the last one that named the product
    mail_domain: str | None = None
    ahead: int | None = None  # pieces of the wording that it used half a day before anybody else
    carried: int | None = None  # pieces of it that it used at all
    kind_of_use: str | None = None  # that a permission excuses
    finding: str | None = None  # that has it; None if what had it then is no finding any more


@dataclass(frozen=True)
class Campaign:
    id: str
    alarm_at: datetime
    p_value: float
    score_bits: float
    accounts: tuple[str, ...]
    harvest: Harvest
    harvest_at_alarm: Harvest
    reasons: tuple[Reason, ...]
    benign_alternatives: tuple[BenignAlternative, ...]
    suppressed_by: str | None = None
    title: str = ""  # one sentence with numbers
    named_at: dict[str, datetime] = field(default_factory=dict)  # when each account joined the finding
    since: dict[str, datetime] = field(default_factory=dict)  # each account's first exchange of the harvest
    # accounts tied by two classes of clue, one of which the client does not choose: a machine may act on them
    firm: tuple[str, ...] = ()
    own_ties: dict[str, OwnTie] = field(default_factory=dict)  # of a group's accounts; none for a lone payer
    own_reactions: dict[str, OwnReaction] = field(default_factory=dict)  # where refusals made the finding
    links: tuple[Link, ...] = ()  # strongest first
    timeline: tuple[Hour, ...] = ()
    tested: tuple[SettingTest, ...] = ()  # by the alarm; none for a lone payer, or where it was not kept
    next_milestone: str | None = None  # e.g. "17,000 exchanges (Sky-T1) at this pace on 2026-03-18"
    set_aside: tuple[SetAside, ...] = ()  # in order of account; none of them is among `accounts`
    answer_tokens: int = 0  # half of its accounts' output tokens stand in answers of so many; 0: unknown


@dataclass(frozen=True)
class PoolCover:
    """How accounts go through a known pool, see `scan.known_pools`."""

    pool: str
    items: int  # of the pool
    accounts: int
    exchanges: int  # that ask an item
    covered: int  # items asked
    repeated: int  # times that another payer asked an item again
    expected: float  # of these, if each payer chose by itself
    p_value: float  # of so few


# begins the text of a lead whose accounts divide a known set among them
ONE_QUEUE = (
    "they go through a known training set as one queue dealt over them: one operator, but also one firm that "
    "spreads its work over keys, annotators, or a class whose exercises are dealt"
)


@dataclass(frozen=True)
class Lead:
    """A group whose settings or content are too alike, and that may still be many unrelated people.

    It accuses nobody. It is where to look further: by a person, or by the gateway's holds.
    """

    id: str  # stays when the group grows
    since: datetime  # when enough evaluations agreed
    p_value: float  # of its settings, or of what payment and sign-up tie; 1 where content alone ties it
    accounts: tuple[str, ...]
    exchanges: int  # of them, with the group's wording
    hands: str  # what its content says: "many", "one" or "open"
    text: str  # why it is no finding, and what its refused texts and its echoes show, if anything
    echoes: tuple[Echo, ...] = ()  # of each pair of its accounts the first, where they are more than chance
    pools: tuple[PoolCover, ...] = ()  # known pools that a tenth of its exchanges go through
    answer_tokens: int = 0  # half of its accounts' output tokens stand in answers of so many; 0: unknown


@dataclass(frozen=True)
class AccountVerdict:
    account: str
    p_value: float | None  # its own: in a group finding of its tie, outside of findings of its busiest day
    campaign: str | None
    kind_of_use: str | None
    exchanges: int = 0
    kind_evidence: str = ""


@dataclass(frozen=True)
class ScanTotals:
    exchanges: int
    accounts: int
    first: datetime | None
    last: datetime | None
    rejected: int
    seconds: float


@dataclass(frozen=True)
class Gap:
    """An hour range in which the log holds far less than its own rhythm promises."""

    start: datetime
    end: datetime
    text: str


@dataclass(frozen=True)
class Follower:
    """An account seen to take up a known campaign's signature between two full evaluations. Provisional."""

    account: str
    campaign: str  # the campaign's id in the same result
    named_at: datetime
    first: datetime  # its first exchange that carries the signature
    exchanges: int  # that carry it so far


@dataclass(frozen=True)
class LoneHarvester:
    """An account seen to harvest alone between two full evaluations. Provisional."""

    account: str
    named_at: datetime
    exchanges: int  # within five days, when the rule spoke
    text: str
    campaign: str = ""  # the id that the next full evaluation gives it, where that agrees
    p_value: float = 1.0  # its payer's rank among heavy payers
    bits: float = 0.0
    output_tokens: int = 0  # of all its payer's answered exchanges by then


@dataclass(frozen=True)
class Coverage:
    """Which rules could judge anything in the log, see `scan.coverage`."""

    groups: bool = True  # whether the rule for groups could run, if only in part
    lone: bool = True
    lacks: tuple[str, ...] = ()  # of "texts", "model", "accounts", "accounts table": what groups needed
    why: tuple[str, ...] = ()  # what a rule could not judge, or only in part, for people


@dataclass(frozen=True)
class SeenWindow:
    """How far back a live scan sees, and what of the days that it needs it was not given.

    Counts are of exchanges whose own time lies within `needed_days`; `scan.seen_window` says what it costs.
    """

    linked_days: float  # accounts that take up one wording within so many days are linked
    needed_days: float  # these, and as many before them: what is new is told from what was there
    kept_days: float | None = None  # that lay in memory at the last evaluation; None: nothing was let go
    since: datetime | None = None  # exchanges before it were let go
    late: int = 0  # came after their hours could be evaluated again
    dropped: int = 0  # came older than memory reached, and were used for nothing; may be repeats
    unevaluated: tuple[tuple[datetime, datetime], ...] = ()  # hours that were let go before their evaluation
    uncaptured: int = 0  # that no segment holds
    unread_segments: int = 0  # that could not be read

    @property
    def short(self) -> bool:
        """Return whether memory holds fewer days than the rules need."""
        return self.kept_days is not None and self.kept_days < self.needed_days

    @property
    def whole(self) -> bool:
        """Return whether everything that the rules need was there in time."""
        lost = self.late or self.dropped or self.unevaluated or self.uncaptured or self.unread_segments
        return not (self.short or lost)


@dataclass(frozen=True)
class ScanResult:
    version: str
    scanned: ScanTotals
    campaigns: tuple[Campaign, ...]
    accounts: tuple[AccountVerdict, ...]
    rejected_examples: tuple[str, ...] = ()  # "file:line: reason", the first few
    gaps: tuple[Gap, ...] = ()
    cannot_claim: tuple[str, ...] = ()  # sentences: what this log is too short or too bare to support
    followers: tuple[Follower, ...] = ()  # of a live scan only, in order of account
    alone: tuple[LoneHarvester, ...] = ()  # the same
    leads: tuple[Lead, ...] = ()  # in order of time; they accuse nobody
    weak: tuple[HoldCandidate, ...] = ()  # groups too weak to be leads, that the gateway may hold
    shares: Mapping[str, float] = field(default_factory=dict)  # id of a lead or finding -> of latest requests
    judged: Coverage = Coverage()
    pools: tuple[PoolCover, ...] = ()  # of each known pool: its users, whoever they are
    window: SeenWindow | None = None  # of a live scan that was not given all that its rules need


class _CallablePackage(ModuleType):
    """`stillwatch.scan` is this package, and the public function of `stillwatch.api.scanning`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Scan logs: see `stillwatch.api.scanning.scan`."""
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = import_module("stillwatch.api.scanning").scan
        return function


sys.modules[__name__].__class__ = _CallablePackage
