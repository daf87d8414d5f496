"""The formats of the admin port's requests and answers, as its OpenAPI description shows them.

Answers are read from the gateway's own objects: by the same name, or by the path in `From`. Times are sent as
ISO text in UTC and received as durations: a duration cannot be in the wrong zone.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from fastapi import Path, Query
from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from stillwatch.gateway.control.affected import MOST_NAMED
from stillwatch.gateway.control.state import NAME_PATTERN
from stillwatch.terms import Step
from stillwatch.units import iso, us

LARGEST = 2**53 - 1  # the largest that every JSON reader represents exactly
TEN_YEARS_S = 315_360_000
MOST_IN_ONE = 10_000  # accounts named in one request; larger actions use proposals
StepName = Literal["clear", "watch", "verify", "throttle", "strip", "mark", "block"]

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NAME_PATTERN)]
Sentence = Annotated[str, Field(min_length=1, max_length=500, pattern=NAME_PATTERN)]


def whole(value: object) -> object:
    """Accept 3.0 as the integer that it is in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(whole)]
Span = Annotated[int, Field(ge=1, le=TEN_YEARS_S), BeforeValidator(whole)]
Overlap = Annotated[int, Field(ge=0, le=TEN_YEARS_S), BeforeValidator(whole)]


# --- of a path or its query ---

Number = Annotated[int, Path(ge=1, le=LARGEST)]
Limit = Annotated[int, Query(ge=1, le=1_000)]
Before = Annotated[int | None, Query(ge=1, le=LARGEST)]
NameAsked = Annotated[Name | None, Query()]


class In(BaseModel):
    """A request: no unknown fields, no conversion."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Write(In):
    """Fields that every change may have."""

    by: Annotated[Name, Field(description="Who asks for it; it goes into the log.")] = "admin"
    if_revision: Annotated[
        Count | None, Field(description="Refuse with 409 where something changed since this revision.")
    ] = None


class AdminAnswer(BaseModel):
    """An answer, read from an object of the gateway."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, source: object) -> Self:
        """Read every field from an object's attributes."""
        return cls.model_validate(source)


def From(path: str) -> FieldInfo:
    """Return the source of a field in the object, with dots between attributes."""
    field: FieldInfo = Field(validation_alias=AliasPath(*path.split(".")))
    return field


class Trouble(BaseModel):
    code: Literal[
        "bad_host", "bad_request", "unauthorised", "not_found", "wrong_method", "conflict", "too_large",
        "invalid", "failed", "unavailable", "not_in_force",
    ]  # fmt: skip
    message: str


class Problem(BaseModel):
    """The format of every error."""

    error: Trouble


Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list. `next` is the cursor of the page after it."""

    items: list[Item]
    next: str | int | None
    revision: int

    @classmethod
    def of(cls, items: list[Item], limit: int, cursor: str, revision: int) -> "Page[Item]":
        """Return a page. If it is full, its last item's field `cursor` leads to the next."""
        last = getattr(items[-1], cursor) if len(items) == limit else None
        return Page(items=items, next=last, revision=revision)


def time_text(at_us: int) -> str:
    """Format a time."""
    return iso(at_us, "milliseconds")


def time_text_or_none(at_us: int | None) -> str | None:
    return None if at_us is None else time_text(at_us)


def name_of(step: Step) -> StepName:
    """Return a step's name as written in JSON."""
    return step.name.lower()  # type: ignore[return-value]  # the names are the literal's, tested


def texts(reasons: Sequence[Any]) -> list[str]:
    """Return the text of each reason."""
    return [problem.text for problem in reasons]


def first_names(names: Sequence[str]) -> list[str]:
    """Cut a list of names to the length that can be shown."""
    return list(names[:MOST_NAMED])


Time = Annotated[str, BeforeValidator(time_text)]  # from UTC microseconds
AnyTime = Annotated[str | None, BeforeValidator(time_text_or_none)]
ShownStep = Annotated[StepName, BeforeValidator(name_of)]
Names = Annotated[list[str], BeforeValidator(first_names)]
HowMany = Annotated[int, BeforeValidator(len)]
Texts = Annotated[list[str], BeforeValidator(texts)]
# from a datetime
Moment = Annotated[str, BeforeValidator(lambda at: time_text(us(at)))]


# --- keys ---


class KeyIssue(Write):
    account: Name
    org: Name | None = None
    expires_in_s: Span | None = None


class KeyRotate(Write):
    overlap_s: Overlap = 86_400
    expires_in_s: Span | None = None


class KeyShown(AdminAnswer):
    key_id: str
    account: str
    org: str | None
    issued: Annotated[Time, From("issued_us")]
    expires: Annotated[AnyTime, From("expires_us")]
    revoked: Annotated[AnyTime, From("revoked_us")]
    replaces: str | None


class KeyIssued(KeyShown):
    key: Annotated[str, Field(description="Shown here and never again.")]
    in_force: Annotated[bool, Field(description="Every worker takes it already.")]


# --- standings ---


class StandingShown(AdminAnswer):
    account: str
    step: Annotated[ShownStep, From("standing.step")]
    since: Annotated[Time, From("standing.since_us")]
    reason: Annotated[str, From("standing.reason")]
    campaign: Annotated[str | None, From("standing.campaign")]
    output_tokens_per_hour: Annotated[int | None, From("standing.output_tokens_per_hour")]
    until: Annotated[AnyTime, From("standing.until_us")]


class StandingSet(Write):
    accounts: Annotated[list[Name], Field(min_length=1, max_length=MOST_IN_ONE)]
    step: StepName
    why: Sentence
    campaign: Name | None = None
    for_s: Annotated[Span | None, Field(description="It ends by itself after so many seconds.")] = None
    output_tokens_per_hour: Count | None = None
    dry_run: Annotated[bool, Field(description="Only say whom it would hit.")] = False


class KnownShown(AdminAnswer):
    """An account with the available facts. Null: unknown. Amounts are of the last seven days."""

    account: str
    org: str | None
    step: StepName
    kind_of_use: str | None
    campaign: str | None
    exchanges: int | None
    output_tokens: int | None
    end_users: int | None
    shares: Annotated[
        list[Literal["organisation", "end user", "address"]],
        Field(description="What it shares with an account that is hit. Such a one is not touched itself."),
    ]


class EndUserShown(AdminAnswer):
    """A person below an affected account."""

    account: str
    end_user: str
    exchanges: int


class ReachShown(AdminAnswer):
    """Whom a step affects. Lists are cut at 100 names; the counts are complete."""

    accounts: HowMany
    account_names: Annotated[Names, From("accounts")]
    unchanged: HowMany
    unknown: Names
    keys: int
    end_users: int | None
    same_org_untouched: Annotated[HowMany, From("same_org")]
    same_org_names: Annotated[Names, From("same_org")]
    same_end_user_untouched: Annotated[int | None, From("same_end_user")]
    same_network_untouched: Annotated[int | None, From("same_network")]
    hit: list[KnownShown]
    users: list[EndUserShown]
    near: list[KnownShown]
    notes: list[str]


class Done(BaseModel):
    """The result of a change. `action` can be undone by `undo`; null if nothing was changed."""

    dry_run: bool
    action: int | None
    reach: ReachShown | None
    revision: int


class Undo(Write):
    why: Sentence


class ActionShown(AdminAnswer):
    action: int
    at: Annotated[Time, From("at_us")]
    who: str
    why: str
    undoes: int | None
    accounts: int
    in_force: bool


class ChangeShown(StandingShown):
    change: int
    action: int
    at: Annotated[Time, From("at_us")]
    who: str
    why: str
    undone: bool
    over: bool


# --- proposals ---


class ProposalShown(AdminAnswer):
    proposal: int
    at: Annotated[Time, From("at_us")]
    campaign: Annotated[str, From("wanted.campaign")]
    step: Annotated[ShownStep, From("wanted.step")]
    rule: Annotated[str, From("wanted.rule")]
    why: Annotated[str, From("wanted.why")]
    accounts: Annotated[HowMany, From("wanted.accounts")]
    account_names: Annotated[Names, From("wanted.accounts")]
    due: Annotated[
        AnyTime, From("wanted.due_us"), Field(description="Done by itself then; null: it waits for a person.")
    ]
    state: Literal["open", "applied", "dismissed", "superseded"]
    decided: Annotated[AnyTime, From("decided_us")]
    decided_by: str | None
    action: int | None


class Approve(Write):
    why: Sentence | None = None
    for_s: Span | None = None
    dry_run: bool = False


class Dismiss(Write):
    why: Sentence


# --- terms ---


class TermsShown(BaseModel):
    version: int
    sha256: str
    text: Annotated[str | None, Field(description="As on disk when it came into force.")]
    error: Annotated[str | None, Field(description="Why what is on disk now is not in force.")]


class TermsEntry(AdminAnswer):
    number: int
    version: int
    sha256: str
    at: str
    outcome: str
    why: str


class TermsCandidate(In):
    text: Annotated[str, Field(max_length=1 << 20)]


class TermsTried(AdminAnswer):
    line: int
    what: str
    expect: str
    got: str
    passed: bool


class TermsChange(AdminAnswer):
    direction: str
    where: str
    text: str


class TermsChecked(BaseModel):
    """The effect of a candidate. `changes` compares it with the policy in force."""

    usable: bool
    version: int | None
    problems: list[str]
    warnings: list[str]
    tests: list[TermsTried]
    changes: list[TermsChange]


# --- findings, gaps, events ---


class CampaignShown(AdminAnswer):
    id: Annotated[str, Field(description="Made of its accounts: it changes when the campaign grows.")]
    first_id: Annotated[str, Field(description="What it was first called; standings name it so.")]
    title: str
    alarm_at: Moment
    p_value: float
    score_bits: float
    accounts: HowMany
    account_names: Annotated[Names, From("accounts")]
    exchanges: Annotated[int, From("harvest.exchanges")]
    output_tokens: Annotated[int, From("harvest.output_tokens")]
    exchanges_at_alarm: Annotated[int, From("harvest_at_alarm.exchanges")]
    output_tokens_at_alarm: Annotated[int, From("harvest_at_alarm.output_tokens")]
    reasons: Texts
    benign_alternatives: Texts
    suppressed_by: str | None
    next_milestone: str | None


class AccountFound(AdminAnswer):
    account: str
    p_value: float | None  # its own, never its campaign's
    campaign: str | None
    kind_of_use: str | None
    exchanges: int
    standing: ShownStep


class GapShown(AdminAnswer):
    number: int
    worker: int
    begun: Annotated[Time, From("from_us")]
    ended: Annotated[Time, From("until_us")]
    exchanges: int
    reason: str


class EventShown(AdminAnswer):
    event: int
    at: Annotated[Time, From("at_us")]
    who: str
    what: str
    subject: str
    detail: dict[str, object]


class PartShown(AdminAnswer):
    name: str
    status: Literal["ok", "degraded", "failing"]
    text: str


class HealthShown(AdminAnswer):
    status: Literal["ok", "degraded", "failing"]
    at: Annotated[Time, From("at_us")]
    parts: list[PartShown]


class Alive(BaseModel):
    alive: Literal[True] = True


class Ready(BaseModel):
    ready: bool
    why: str | None
