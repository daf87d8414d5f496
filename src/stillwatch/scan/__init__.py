"""The result of a scan: campaigns, accounts, and limits of what it can claim.

`findings.json` holds exactly the contract that other tools depend on. `evidence.json` holds the rest (links,
timelines, when each account was named), for the page and for `stillwatch explain`.
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

Tell = Callable[[str, int, int | None], None]  # stage, units done, and their total or None


@dataclass(frozen=True)
class Harvest:
    """What a campaign has taken: answered exchanges (status 200) and their output tokens."""

    exchanges: int
    output_tokens: int
    value_tokens: float = 0.0  # output tokens weighted by their value to a student (docs/harvest.md)
    unique_prompts: int | None = None  # different prompts among those exchanges


@dataclass(frozen=True)
class Reason:
    """One detector's statement about a campaign, with its numbers."""

    detector: str
    text: str
    bits: float
    actual: float | None = None
    baseline: float | None = None  # the same number for the population, median
    population_p95: float | None = None
    n: int | None = None  # how many exchanges or accounts the statement rests on


@dataclass(frozen=True)
class Link:
    """One clue between an account and its campaign, or between two accounts."""

    a: str
    b: str
    clue: str
    bits: float
    text: str
    control: str  # "client" if the client chooses the attribute, "provider" if we observe it


@dataclass(frozen=True)
class Echo:
    """An answer that came back in a request of another account: evidence that a person can check."""

    answered: str  # the account
    answered_at: datetime  # when it asked
    quoted_by: str
    quoted_at: datetime
    passages: int  # passages of the answer in the request


@dataclass(frozen=True)
class BenignAlternative:
    """A use that would make this honest, and the result of checking for it."""

    kind: str
    text: str


@dataclass(frozen=True)
class Hour:
    start: datetime
    exchanges: int
    output_tokens: int


@dataclass(frozen=True)
class SettingTest:
    """One setting as tested when the alarm was raised: all inputs of its p-value.

    p = min(1, tries * concentration_tail(count, of, share, correlation)), see `stats.groups`; the alarm's own
    p-value is `combine` of its settings' p-values in order.
    """

    setting: str  # "model", "max_tokens" or "temperature_milli"
    # the most common one among the matching accounts; None if they leave the setting out
    value: str | int | None
    count: int  # matching accounts that mostly use it
    of: int  # matching accounts that were counted, one per organisation
    share: float  # share of the population that mostly used it then, as rounded by the test
    tries: int  # values that could have been the most common
    correlation: float  # correlation within groups that the null allowed then


@dataclass(frozen=True)
class OwnTie:
    """The tie of one account, by itself, to a group finding, see `scan.own_tie`."""

    carrying: int  # its exchanges that carry the group's own wording
    sent: int  # its exchanges since the first of these
    markers: int  # fingerprints of that wording that it carries
    as_strong: int  # unnamed accounts that are tied at least as strongly
    unnamed: int  # accounts that no finding names and that were active since the finding began

    @property
    def p_value(self) -> float | None:
        """The rank of the account's tie among those of unnamed accounts; None if no wording ties it."""
        if not self.carrying or not self.unnamed:
            return None
        return (1 + self.as_strong) / (1 + self.unnamed)


@dataclass(frozen=True)
class OwnReaction:
    """The evidence from refusals about one account by itself, see `scan.holds`."""

    refused: int  # its new texts that were refused
    repeated: int  # of these, asked later by another customer's account in the group
    taken_over: int  # texts that it asked after others were refused them
    p_value: float


@dataclass(frozen=True)
class SetAside:
    """An account that resembled a finding's, and was set aside by a rule before the rest was judged.

    It is not accused. Only the facts on which the rule rests are filled in, see `scan.set_aside`.
    """

    account: str
    rule: str  # of `scan.set_aside.RULES`
    product: str | None = None  # named by its user agent
    network: int | None = None  # equal numbers within one finding are the same network; not an address
    asn: int | None = None  # of that network
    accounts_there: int | None = None  # accounts of the log that send most from it
    first: datetime | None = None  # request
    last: datetime | None = None  # request, or the last one that named the product
    mail_domain: str | None = None
    ahead: int | None = None  # fingerprints of the wording that it used half a day before any other account
    carried: int | None = None  # fingerprints of it that it used at all
    kind_of_use: str | None = None  # permitted use
    finding: str | None = None  # that includes it; None if that finding no longer exists


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
    # accounts tied by two classes of clue, at least one of them not chosen by the client: automatic actions
    # may apply
    firm: tuple[str, ...] = ()
    own_ties: dict[str, OwnTie] = field(default_factory=dict)  # of a group's accounts; empty for a lone payer
    own_reactions: dict[str, OwnReaction] = field(default_factory=dict)  # if refusals made the finding
    links: tuple[Link, ...] = ()  # strongest first
    timeline: tuple[Hour, ...] = ()
    tested: tuple[SettingTest, ...] = ()  # by the alarm; empty for a lone payer, or if not stored
    next_milestone: str | None = None  # e.g. "17,000 exchanges (Sky-T1) at this pace on 2026-03-18"
    set_aside: tuple[SetAside, ...] = ()  # by account; none of them is in `accounts`
    answer_tokens: int = 0  # half of its accounts' output tokens stand in answers of so many; 0: unknown


@dataclass(frozen=True)
class PoolCover:
    """How accounts go through a known pool of prompts, see `scan.known_pools`."""

    pool: str
    items: int  # items in the pool
    accounts: int
    exchanges: int  # exchanges that ask an item
    covered: int  # items asked
    repeated: int  # times that another payer asked an item again
    expected: float  # expected repeats if each payer chose independently
    p_value: float  # of that few repeats


# first words of the text of a lead whose accounts divide a known set among themselves
ONE_QUEUE = (
    "they go through a known training set as one queue dealt over them: one operator, but also one firm that "
    "spreads its work over keys, annotators, or a class whose exercises are dealt"
)


@dataclass(frozen=True)
class Lead:
    """A group whose settings or content are too similar for chance, but which may be many unrelated users.

    It accuses nobody. It marks where a person, or the gateway's holds, should look further.
    """

    id: str  # stable when the group grows
    since: datetime  # when enough evaluations agreed
    p_value: float  # of its settings, or of its tie by payment and sign-up; 1 if only content ties it
    accounts: tuple[str, ...]
    exchanges: int  # of its accounts, with the group's wording
    hands: str  # result of the content test: "many", "one" or "open"
    text: str  # why it is no finding, and what its refused texts and echoes show
    echoes: tuple[Echo, ...] = ()  # the first echo of each pair of its accounts, if they are more than chance
    pools: tuple[PoolCover, ...] = ()  # known pools that at least a tenth of its exchanges go through
    answer_tokens: int = 0  # half of its accounts' output tokens stand in answers of so many; 0: unknown


@dataclass(frozen=True)
class AccountVerdict:
    account: str
    p_value: float | None  # in a group finding, of its own tie; outside of findings, of its busiest day
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
    """A range of hours in which the log has far fewer exchanges than its own rhythm suggests."""

    start: datetime
    end: datetime
    text: str


@dataclass(frozen=True)
class Follower:
    """An account that takes up a known campaign's signature between two full evaluations. Provisional."""

    account: str
    campaign: str  # the campaign's id in the same result
    named_at: datetime
    first: datetime  # its first exchange that carries the signature
    exchanges: int  # exchanges that carry it so far


@dataclass(frozen=True)
class LoneHarvester:
    """An account that harvests alone, seen between two full evaluations. Provisional."""

    account: str
    named_at: datetime
    exchanges: int  # within five days, when the rule applied
    text: str
    campaign: str = ""  # the id that the next full evaluation gives it, if it agrees
    p_value: float = 1.0  # its payer's rank among heavy payers
    bits: float = 0.0
    output_tokens: int = 0  # of all its payer's answered exchanges by then


@dataclass(frozen=True)
class Coverage:
    """Which rules could be applied to the log, see `scan.coverage`."""

    groups: bool = True  # of "texts", "model", "accounts", "accounts table": what the rule for groups lacked
    lone: bool = True
    lacks: tuple[str, ...] = ()  # of "texts", "model", "accounts", "accounts table": what groups needed
    why: tuple[str, ...] = ()  # reasons why a rule could not be applied, or only in part, for people


@dataclass(frozen=True)
class SeenWindow:
    """How far back a live scan sees, and which data of the days that it needs are missing.

    Counts are of exchanges whose own time is within `needed_days`; `scan.seen_window` describes the cost.
    """

    linked_days: float  # accounts that take up the same wording within this many days are linked
    needed_days: float  # twice as many: wording is new only if the earlier half lacks it
    kept_days: float | None = None  # in memory at the last evaluation; None if nothing was released
    since: datetime | None = None  # earlier exchanges were released
    late: int = 0  # arrived after their hours could be evaluated again
    dropped: int = 0  # arrived older than memory reached, and were not used; may be duplicates
    unevaluated: tuple[tuple[datetime, datetime], ...] = ()  # hours released before their evaluation
    uncaptured: int = 0  # exchanges that no segment holds
    unread_segments: int = 0  # segments that could not be read

    @property
    def short(self) -> bool:
        """Return whether memory holds fewer days than the rules need."""
        return self.kept_days is not None and self.kept_days < self.needed_days

    @property
    def whole(self) -> bool:
        """Return whether all data that the rules need arrived in time."""
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
    cannot_claim: tuple[str, ...] = ()  # sentences on what this log is too short or incomplete to support
    followers: tuple[Follower, ...] = ()  # of a live scan only, by account
    alone: tuple[LoneHarvester, ...] = ()  # the same
    leads: tuple[Lead, ...] = ()  # by time; they accuse nobody
    weak: tuple[HoldCandidate, ...] = ()  # groups too weak to be leads, which the gateway may hold
    shares: Mapping[str, float] = field(default_factory=dict)  # id of a lead or finding -> of latest requests
    judged: Coverage = Coverage()
    pools: tuple[PoolCover, ...] = ()  # for each known pool, over all its users
    window: SeenWindow | None = None  # of a live scan that lacked data that its rules need


class _CallablePackage(ModuleType):
    """Makes `stillwatch.scan` both this package and the public function of `stillwatch.api.scanning`."""

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
