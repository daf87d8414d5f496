"""The owner's rules as data, and what they say of one request. It knows no sockets, no clocks, no detectors.

Times are UTC microseconds. Everything here is immutable: a reload swaps one `Terms` for another.
"""

from dataclasses import dataclass
from enum import IntEnum


class Step(IntEnum):
    """The ladder: what the terms do about an account now, mildest first. Every step can be taken back."""

    CLEAR = 0
    WATCH = 1  # nothing changes for the account; its exchanges are looked at more closely
    VERIFY = 2  # refused until the owner has verified who it is
    THROTTLE = 3  # held to a budget of output tokens
    STRIP = 4  # log-probabilities and reasoning are taken out of its replies
    MARK = 5  # its requests carry the actor's mark upstream, where the owner's sampler can plant it
    BLOCK = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """What the terms say of one account now. An account without one is clear."""

    step: Step
    since_us: int
    reason: str = ""  # for the owner; the client sees only the terms' own message
    campaign: str | None = None
    output_tokens_per_hour: int | None = None  # the budget of THROTTLE and above; None: the terms' default
    until_us: int | None = None  # it ends by itself then
    mark: str | None = None  # opaque value for the upstream's sampler


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as far as the terms look at it."""

    account: str
    end_user: str | None
    operation: str  # "chat", "responses", "completions", "embeddings", "messages", "models", "other"
    model: str | None  # as the client wrote it
    stream: bool = False
    n: int = 1
    logprobs: bool = False  # asks for log-probabilities
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """What an account has used in the running minute, hour and day (clock-aligned, UTC)."""

    requests_minute: int = 0
    output_tokens_minute: int = 0
    output_tokens_hour: int = 0
    output_tokens_day: int = 0


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """Whether a model may be used, decided on what the name resolves to."""

    allow: bool
    rule: str  # which rule decided: "ban:deepseek", "models.unknown", "exception:red-team", "allowed"
    target: str | None  # the upstream model after aliases
    family: str | None = None
    reason: str = ""  # one sentence, fit for the client
    warn: str | None = None  # allowed, but the owner wants the client told


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one request. `rule` names what decided, for the log."""

    allow: bool
    rule: str = "allowed"
    status: int = 200
    code: str = (
        ""  # machine-readable: "model_banned", "account_blocked", "verification_required", "rate_limited"
    )
    message: str = ""
    retry_after_s: int | None = None
    strip: bool = False  # take log-probabilities and reasoning out of the reply
    mark: str | None = None
    output_tokens_left: int | None = None  # a stream is cut when it has delivered this many
    warn: str | None = None
