"""What goes in and out of the admin port: the words of its OpenAPI description. It does nothing with them.

Times go out as ISO text in UTC and come in as durations: a duration cannot be in the wrong zone.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stillwatch.gateway.control.actions import Action, Change
from stillwatch.gateway.control.affected import MOST_NAMED, Reach
from stillwatch.gateway.control.ladder import Proposal
from stillwatch.gateway.control.state import NAME_PATTERN, ClientKey, ControlEvent
from stillwatch.terms import EnforcementStatus, Step

LARGEST = 2**53 - 1  # what every JSON reader keeps exactly
TEN_YEARS_S = 315_360_000
MOST_IN_ONE = 10_000  # accounts named in one request; larger ones go by proposals
StepName = Literal["clear", "watch", "verify", "throttle", "strip", "mark", "block"]

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=NAME_PATTERN)]
Sentence = Annotated[str, Field(min_length=1, max_length=500, pattern=NAME_PATTERN)]


def whole(value: object) -> object:
    """Let 3.0 be the integer that it is in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(whole)]
Span = Annotated[int, Field(ge=1, le=TEN_YEARS_S), BeforeValidator(whole)]
Overlap = Annotated[int, Field(ge=0, le=TEN_YEARS_S), BeforeValidator(whole)]


class In(BaseModel):
    """Something that comes in: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Write(In):
    """What every change may carry."""

    by: Annotated[Name, Field(description="Who asks for it; it goes into the log.")] = "admin"
    if_revision: Annotated[
        Count | None, Field(description="Refuse with 409 where something changed since this revision.")
    ] = None


class Trouble(BaseModel):
    code: Literal[
        "bad_host", "bad_request", "unauthorised", "not_found", "wrong_method", "conflict", "too_large",
        "invalid", "failed", "unavailable", "not_in_force",
    ]  # fmt: skip
    message: str


class Problem(BaseModel):
    """The one shape of every error."""

    error: Trouble


Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list. `next` is the cursor of the page after it."""

    items: list[Item]
    next: str | int | None
    revision: int


def iso(at_us: int | None) -> str | None:
    """Give a time as text."""
    return None if at_us is None else always_iso(at_us)


def always_iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- keys ---


class KeyIssue(Write):
    account: Name
    org: Name | None = None
    expires_in_s: Span | None = None


class KeyRotate(Write):
    overlap_s: Overlap = 86_400
    expires_in_s: Span | None = None


class KeyShown(BaseModel):
    key_id: str
    account: str
    org: str | None
    issued: str
    expires: str | None
    revoked: str | None
    replaces: str | None

    @classmethod
    def of(cls, key: ClientKey) -> "KeyShown":
        return cls(
            key_id=key.key_id,
            account=key.account,
            org=key.org,
            issued=always_iso(key.issued_us),
            expires=iso(key.expires_us),
            revoked=iso(key.revoked_us),
            replaces=key.replaces,
        )


class KeyIssued(KeyShown):
    key: Annotated[str, Field(description="Shown here and never again.")]
    in_force: Annotated[bool, Field(description="Every worker takes it already.")]


# --- standings ---


class StandingShown(BaseModel):
    account: str
    step: StepName
    since: str
    reason: str
    campaign: str | None
    output_tokens_per_hour: int | None
    until: str | None

    @classmethod
    def of(cls, account: str, standing: EnforcementStatus) -> "StandingShown":
        return cls(
            account=account,
            step=name_of(standing.step),
            since=always_iso(standing.since_us),
            reason=standing.reason,
            campaign=standing.campaign,
            output_tokens_per_hour=standing.output_tokens_per_hour,
            until=iso(standing.until_us),
        )


class StandingSet(Write):
    accounts: Annotated[list[Name], Field(min_length=1, max_length=MOST_IN_ONE)]
    step: StepName
    why: Sentence
    campaign: Name | None = None
    for_s: Annotated[Span | None, Field(description="It ends by itself after so many seconds.")] = None
    output_tokens_per_hour: Count | None = None
    dry_run: Annotated[bool, Field(description="Only say whom it would hit.")] = False


class KnownShown(BaseModel):
    """An account, by what is known of it. Null: nothing says. Amounts are of the last seven days."""

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


class EndUserShown(BaseModel):
    """A person below an account that is hit."""

    account: str
    end_user: str
    exchanges: int


class ReachShown(BaseModel):
    """Whom a step hits. Lists are cut at 100 names; the counts are whole."""

    accounts: int
    account_names: list[str]
    unchanged: int
    unknown: list[str]
    keys: int
    end_users: int | None
    same_org_untouched: int
    same_org_names: list[str]
    same_end_user_untouched: int | None
    same_network_untouched: int | None
    hit: list[KnownShown]
    users: list[EndUserShown]
    near: list[KnownShown]
    notes: list[str]

    @classmethod
    def of(cls, reach: Reach) -> "ReachShown":
        return cls(
            accounts=len(reach.accounts),
            account_names=list(reach.accounts[:MOST_NAMED]),
            unchanged=len(reach.unchanged),
            unknown=list(reach.unknown[:MOST_NAMED]),
            keys=reach.keys,
            end_users=reach.end_users,
            same_org_untouched=len(reach.same_org),
            same_org_names=list(reach.same_org[:MOST_NAMED]),
            same_end_user_untouched=reach.same_end_user,
            same_network_untouched=reach.same_network,
            hit=[KnownShown.model_validate(asdict(known)) for known in reach.hit],
            users=[EndUserShown.model_validate(asdict(user)) for user in reach.users],
            near=[KnownShown.model_validate(asdict(known)) for known in reach.near],
            notes=list(reach.notes),
        )


class Done(BaseModel):
    """What came of a change. `action` is what `undo` takes back; null where nothing was changed."""

    dry_run: bool
    action: int | None
    reach: ReachShown | None
    revision: int


class Undo(Write):
    why: Sentence


class ActionShown(BaseModel):
    action: int
    at: str
    who: str
    why: str
    undoes: int | None
    accounts: int
    in_force: bool

    @classmethod
    def of(cls, action: Action) -> "ActionShown":
        return cls(
            action=action.action,
            at=always_iso(action.at_us),
            who=action.who,
            why=action.why,
            undoes=action.undoes,
            accounts=action.accounts,
            in_force=action.in_force,
        )


class ChangeShown(StandingShown):
    change: int
    action: int
    at: str
    who: str
    why: str
    undone: bool
    over: bool

    @classmethod
    def from_change(cls, change: Change) -> "ChangeShown":
        return cls(
            **StandingShown.of(change.account, change.standing).model_dump(),
            change=change.change,
            action=change.action,
            at=always_iso(change.at_us),
            who=change.who,
            why=change.why,
            undone=change.undone,
            over=change.over,
        )


# --- proposals ---


class ProposalShown(BaseModel):
    proposal: int
    at: str
    campaign: str
    step: StepName
    rule: str
    why: str
    accounts: int
    account_names: list[str]
    due: Annotated[str | None, Field(description="Done by itself then; null: it waits for a person.")]
    state: Literal["open", "applied", "dismissed", "superseded"]
    decided: str | None
    decided_by: str | None
    action: int | None

    @classmethod
    def of(cls, found: Proposal) -> "ProposalShown":
        return cls(
            proposal=found.proposal,
            at=always_iso(found.at_us),
            campaign=found.wanted.campaign,
            step=name_of(found.wanted.step),
            rule=found.wanted.rule,
            why=found.wanted.why,
            accounts=len(found.wanted.accounts),
            account_names=list(found.wanted.accounts[:MOST_NAMED]),
            due=iso(found.wanted.due_us),
            state=found.state,
            decided=iso(found.decided_us),
            decided_by=found.decided_by,
            action=found.action,
        )


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


class TermsEntry(BaseModel):
    number: int
    version: int
    sha256: str
    at: str
    outcome: str
    why: str


class TermsCandidate(In):
    text: Annotated[str, Field(max_length=1 << 20)]


class TermsTried(BaseModel):
    line: int
    what: str
    expect: str
    got: str
    passed: bool


class TermsChange(BaseModel):
    direction: str
    where: str
    text: str


class TermsChecked(BaseModel):
    """What a candidate would do. `changes` compares it with the terms in force."""

    usable: bool
    version: int | None
    problems: list[str]
    warnings: list[str]
    tests: list[TermsTried]
    changes: list[TermsChange]


# --- findings, gaps, events ---


class CampaignShown(BaseModel):
    id: Annotated[str, Field(description="Made of its accounts: it changes when the campaign grows.")]
    first_id: Annotated[str, Field(description="What it was first called; standings name it so.")]
    title: str
    alarm_at: str
    p_value: float
    score_bits: float
    accounts: int
    account_names: list[str]
    exchanges: int
    output_tokens: int
    exchanges_at_alarm: int
    output_tokens_at_alarm: int
    reasons: list[str]
    benign_alternatives: list[str]
    suppressed_by: str | None
    next_milestone: str | None


class AccountFound(BaseModel):
    account: str
    p_value: float | None  # its own, never its campaign's
    campaign: str | None
    kind_of_use: str | None
    exchanges: int
    standing: StepName


class GapShown(BaseModel):
    number: int
    worker: int
    begun: str
    ended: str
    exchanges: int
    reason: str


class EventShown(BaseModel):
    event: int
    at: str
    who: str
    what: str
    subject: str
    detail: dict[str, object]

    @classmethod
    def of(cls, event: ControlEvent) -> "EventShown":
        return cls(
            event=event.event,
            at=always_iso(event.at_us),
            who=event.who,
            what=event.what,
            subject=event.subject,
            detail=event.detail,
        )


class PartShown(BaseModel):
    name: str
    status: Literal["ok", "degraded", "failing"]
    text: str


class HealthShown(BaseModel):
    status: Literal["ok", "degraded", "failing"]
    at: str
    parts: list[PartShown]


class Alive(BaseModel):
    alive: Literal[True] = True


class Ready(BaseModel):
    ready: bool
    why: str | None


def name_of(step: Step) -> StepName:
    """Give a step's name as it is written in JSON."""
    return step.name.lower()  # type: ignore[return-value]  # the names are the literal's, tested
