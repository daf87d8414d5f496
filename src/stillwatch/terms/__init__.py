"""The owner's policy as data, and the types for its verdict on one request.

Times are UTC microseconds. Everything here is immutable: a reload replaces one `Terms` with another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network

from stillwatch.errors import StillwatchError
from stillwatch.exchanges.operations import Operation

MIB = 1 << 20


class TermsError(StillwatchError):
    """The policy cannot be used. `problems`: each `file:line: where: what is wrong; what would be right`."""

    def __init__(self, problems: list[str]) -> None:
        more = f"; and {len(problems) - 3} more" if problems[3:] else ""
        super().__init__("; ".join(problems[:3]) + more)
        self.problems = problems


class Step(IntEnum):
    """The actions of the policy on an account, mildest first. Every one is reversible."""

    CLEAR = 0
    WATCH = 1  # no change for the account; its exchanges are analysed more closely
    VERIFY = 2  # refused until the owner has verified its identity
    THROTTLE = 3  # limited to a budget of output tokens
    STRIP = 4  # log-probabilities and reasoning are removed from its replies
    MARK = 5  # its requests carry the actor's mark upstream, where the owner's sampler can plant it
    BLOCK = 6


@dataclass(frozen=True, slots=True)
class EnforcementStatus:
    """What the policy says of one account now. An account without one is not restricted."""

    step: Step
    since_us: int
    reason: str = ""  # for the owner; the client sees only the policy's own message
    campaign: str | None = None
    output_tokens_per_hour: int | None = None  # the budget of THROTTLE and above; None: the policy's default
    until_us: int | None = None  # ends automatically then
    mark: str | None = None  # opaque value for the upstream's sampler


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One request, as far as the policy needs to know it."""

    account: str
    end_user: str | None
    # "chat", "responses", "messages", ...: exchanges/operations.txt; "other" where it has no name
    operation: str
    model: str | None  # as the client wrote it
    stream: bool = False
    n: int = 1
    logprobs: bool = False  # asks for log-probabilities
    body_bytes: int = 0
    org: str | None = None  # of the account, if known from the key: limits and exceptions may name it
    batch_tokens: int | None = 0  # what a batch that it starts may produce; None: unknown
    set_most: int | None = None  # output tokens a day of the set of models that it counts towards
    does: str = ""  # one of `operations.DOES`, "unknown"; "": what the operation's name says


@dataclass(frozen=True, slots=True)
class FleetUsage:
    """What an account uses at this gateway that not all other gateways of the fleet count yet."""

    gateways: int
    requests_minute: int = 0
    output_tokens_minute: int = 0
    output_tokens_hour: int = 0
    output_tokens_day: int = 0
    tokens_held: int = 0
    set_tokens_day: int = 0
    set_tokens_held: int = 0


@dataclass(frozen=True, slots=True)
class AccountUsage:
    """What an account has used in the running minute, hour and day (clock-aligned, UTC).

    A day runs from midnight, or slides, as the policy says.
    """

    requests_minute: int = 0
    output_tokens_minute: int = 0
    output_tokens_hour: int = 0
    output_tokens_day: int = 0
    batch_tokens_day: int = 0  # that the batches started today may produce
    held_minutes_day: int = 0  # minutes of today in which a hold refused it
    held_this_minute: bool = False  # the running minute is one of them
    tokens_held: int = 0  # reserved for unfinished answers
    set_tokens_day: int = 0  # of the set of models that the request counts towards
    set_tokens_held: int = 0
    unknown_elsewhere: FleetUsage | None = None  # part of the above; None: there is only one gateway
    settles_s: int = 10  # time within which unfinished answers will be complete
    # of a sliding day, tokens by block, oldest first: see `terms.window`
    day_blocks: tuple[int, ...] = ()
    batch_blocks: tuple[int, ...] = ()
    set_blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A randomised hold that an account is under now: see `Holds`."""

    candidate: str
    until_us: int


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """Whether a model may be used, decided by what its name resolves to."""

    allow: bool
    rule: str  # which rule decided: "ban:deepseek", "models.unknown", "exception:red-team", "allowed"
    target: str | None  # the upstream model after aliases
    family: str | None = None
    reason: str = ""  # one sentence, fit for the client
    warn: str | None = None  # allowed, but the owner wants the client to be warned
    until_us: int | None = None  # when an exception ends; after that the verdict must be requested again


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one request. `rule` names what decided, for the log."""

    allow: bool
    rule: str = "allowed"
    status: int = 200
    # machine-readable: "model_banned", "account_blocked", "verification_required", "rate_limited"
    code: str = ""
    message: str = ""
    retry_after_s: int | None = None
    strip: bool = False  # remove log-probabilities and reasoning from the reply
    mark: str | None = None
    output_tokens_left: int | None = None  # a stream is cut after this many
    warn: str | None = None


@dataclass(frozen=True)
class IdentitySettings:
    """How accounts are identified."""

    keys: str = "issued"  # or "upstream": the client's own key is passed on and its digest is the account
    end_user_header: str | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # whose x-forwarded-for is believed


@dataclass(frozen=True)
class Capture:
    """What is recorded, and what happens if recording fails."""

    on_failure: str = "serve"  # and record the gap; or "refuse"
    ask_usage: bool = False  # add a usage option to streams that do not request usage
    max_body_bytes: int = 32 * MIB
    unknown_paths: str = "refuse"  # or "pass": paths that match no line of the table of operations
    links: str = "pass"  # links to content; "pictures": only to media; or "refuse"


@dataclass(frozen=True)
class Address:
    """What one address may use of a worker at once. A trusted proxy may have any number of connections."""

    connections: int = 1_000  # served at once; further requests wait, then get 429
    body_bytes: int = 128 * MIB  # total size of long bodies; beyond, 503 once little is left for others


@dataclass(frozen=True)
class Retention:
    """How long records are kept."""

    text_days: int = 0  # prompts and answers themselves; 0: never written
    sketch_days: int = 30
    sketch_answers: bool = False  # keep shingles of answers, to recognise one that is sent back


@dataclass(frozen=True)
class Coin:
    """Canaries: whose exchanges get two answers, of which a keyed coin serves one. Default: nobody's."""

    share: float = 0.0  # of all exchanges
    chosen_share: float = 1.0  # of exchanges of the accounts named by the next four fields
    accounts: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()  # ids, or "*": every account in any campaign
    watched: bool = False  # every account with a status of WATCH or more
    sealed: bool = True  # texts in the ledger can be opened with the reading key only
    output_tokens_per_day: int | None = None  # of both answers, per worker; then no more canaries that day

    @property
    def on(self) -> bool:
        chosen = self.accounts or self.orgs or self.campaigns or self.watched
        return self.share > 0 or bool(chosen and self.chosen_share > 0)

    def share_of(self, account: str, org: str | None, standing: EnforcementStatus | None) -> float:
        """Return the share of an account's exchanges that gets two answers."""
        campaign = standing.campaign if standing else None
        chosen = (
            account in self.accounts
            or (org is not None and org in self.orgs)
            or (campaign is not None and (campaign in self.campaigns or "*" in self.campaigns))
            or (self.watched and standing is not None and standing.step >= Step.WATCH)
        )
        return max(self.share, self.chosen_share) if chosen else self.share


@dataclass(frozen=True)
class ModelSet:
    """Models that are counted together, separately from all others."""

    models: tuple[str, ...]  # names after aliases
    output_tokens_per_day: int | None = None  # of each account
    accounts: Mapping[str, int | None] = field(default_factory=dict)  # accounts with another limit


@dataclass(frozen=True)
class AccountLimits:
    """What one account may use. None: no limit."""

    requests_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    output_tokens_per_hour: int | None = None
    output_tokens_per_day: int | None = None
    batch_output_tokens_per_day: int | None = None  # that batches may produce; None: the day's limit
    max_n: int | None = None  # answers to one request
    logprobs: bool = True  # whether log-probabilities may be requested
    accounts: Mapping[str, Mapping[str, int | bool | None]] = field(default_factory=dict)  # what differs
    orgs: Mapping[str, Mapping[str, int | bool | None]] = field(default_factory=dict)
    answer_tokens: int = 32_768  # reserved for an answer of an unknown model without a length limit
    models: tuple[ModelSet, ...] = ()  # a model in none of them counts towards the last one
    address: Address = Address()
    day: str = "calendar"  # from midnight to midnight, UTC; or "sliding": see `terms.window`

    @property
    def slides(self) -> bool:
        return self.day == "sliding"


@dataclass(frozen=True)
class Rung:
    """The action that follows a finding that meets all of these. The strictest one that fits applies."""

    step: Step
    act: bool  # taken without a person; otherwise only proposed
    name: str  # "ladder.rule 2", for the log
    p_value_at_most: float = 1.0
    age_at_least_s: int = 0  # since the alarm
    exchanges_at_least: int = 0  # of the harvest
    output_tokens_at_least: int = 0
    lone: bool | None = None  # True: only single accounts; False: only groups; None: both


@dataclass(frozen=True)
class Messages:
    """Texts for the client. None of them says why: that would help the next attempt."""

    block: str = "This account is blocked under the owner's terms. Contact the owner of the service."
    verify: str = "This account must be verified first. Contact the owner of the service."
    throttle: str = "This account has used up its budget for this hour."
    strip: str = "Log-probabilities and reasoning are withheld from this account."  # "": say nothing


@dataclass(frozen=True)
class Ladder:
    """How findings lead to enforcement statuses."""

    rungs: tuple[Rung, ...] = (Rung(Step.WATCH, act=True, name="ladder.watch"),)
    act_on_group_findings: bool = False  # otherwise every action on a group finding waits for a person
    dry_run: bool = False  # nothing is done without a person, whatever the rules say
    delay_s: int = 0  # between the alarm and an action that the account can notice
    jitter_s: int = 0
    max_accounts: int = 50  # an action on more accounts is only proposed
    throttle_output_tokens_per_hour: int = 20_000  # the budget if a status names none
    messages: Messages = Messages()


@dataclass(frozen=True)
class Holds:
    """Randomised holds: short refusals that show whether other accounts take over the refused work."""

    mode: str = "off"  # "dry_run": record who would be held; "on": hold them
    days: int = 7  # of one candidate, then never again
    days_at_most: int = 28  # for a candidate with so few requests that its days were inconclusive
    block_minutes: int = 5  # one hold's length
    one_block_in: int = 16  # of an account's blocks one is drawn: an hour and a half a day
    one_block_in_once_moved: int = 4  # the same, once refusals have shown that work moves
    refused_minutes_per_day: int = 6  # per account; its further requests of that day are served
    refused_share_at_most: float = 0.004  # of all requests, by all running holds
    accounts_at_least: int = 2  # accounts that take over the work are detected, and may join them
    accounts_at_most: int = 200
    candidates_at_once: int = 40  # half for candidates by refusals, half for all others
    p_value_at_most: float = 1.0  # of the lead or finding that is the candidate
    exempt_accounts: tuple[str, ...] = ()
    exempt_orgs: tuple[str, ...] = ()  # "*": every account that has an organisation
    message: str = "This account is paused for a few minutes. Try again after the time in Retry-After."


@dataclass(frozen=True)
class Models:
    """Model names, as clients write them and as the upstream takes them."""

    unknown: str = "allow"  # or "deny": what to do with a name that the lineage table does not know
    default: str | None = None  # sent upstream if a request names none
    aliases: Mapping[str, str] = field(default_factory=dict)  # name -> upstream name
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> what may answer instead
    allow: tuple[str, ...] = ()  # if not empty, no other model may be used
    hide_banned: bool = True  # in /v1/models


@dataclass(frozen=True)
class Ban:
    """One banned family, and how far the ban reaches."""

    family: str
    hosted_by_others: bool = True
    finetune: bool = True
    quantized: bool = True
    merged: bool = True
    distilled: str = "warn"  # other families' weights trained on its answers: "allow", "warn" or "deny"
    hosts: tuple[str, ...] = ()  # "api.example.com", "*.example.com": banned whatever they serve
    models: tuple[str, ...] = ()  # names that the lineage table does not know
    prevent: bool = True  # if false: allowed, with a warning and a line in the log
    message: str = "{reason}"


@dataclass(frozen=True)
class ModelException:
    """An account or organisation may use what is banned, unknown or not on the list, until a given day."""

    approved_by: str
    reason: str
    expires_us: int
    account: str | None = None  # "*": everybody. Exactly one of account and org is given
    org: str | None = None
    models: tuple[str, ...] = ()
    family: str | None = None

    @property
    def who(self) -> str:
        return self.account or self.org or ""


@dataclass(frozen=True)
class Permission:
    """An account or organisation may do what resembles a campaign. It is measured, but opens no case."""

    kind: str  # "synthetic-data", "red_team", "resell", ...
    approved_by: str
    expires_us: int
    account: str | None = None
    org: str | None = None


@dataclass(frozen=True)
class TermsTest:
    """One request and what the policy must decide on it."""

    ask: RequestFacts
    expect: str
    line: int
    standing: EnforcementStatus | None = None
    spent: AccountUsage = AccountUsage()
    served: str | None = None  # the reply's model: the test is then of the reply
    resolves_to: str | None = None
    rule: str | None = None
    held: bool = False  # the account is under a randomised hold
    at_us: int | None = None  # time of the request; None: when the tests are run


@dataclass(frozen=True)
class Terms:
    """The whole policy of an owner."""

    version: int
    owner: str = ""
    identity: IdentitySettings = IdentitySettings()
    capture: Capture = Capture()
    retention: Retention = Retention()
    coin: Coin = Coin()
    limits: AccountLimits = AccountLimits()
    ladder: Ladder = Ladder()
    holds: Holds = Holds()
    models: Models = Models()
    bans: tuple[Ban, ...] = ()
    exceptions: tuple[ModelException, ...] = ()
    permissions: tuple[Permission, ...] = ()
    operations: tuple[Operation, ...] = ()  # the owner's own, which take precedence over the table's
    tests: tuple[TermsTest, ...] = ()
