"""Hooks: what gateways that people already run ask of Stillwatch, and what they tell it.

One process beside the workers, with the same terms, tables and log; to the log it is a worker of its own
number. It forwards nothing and opens no connection: it answers, and it writes down.
"""

from dataclasses import dataclass

from stillwatch.gateway.path.charge import Charge
from stillwatch.gateway.settings import HOOKS_WORKER
from stillwatch.terms import Decision, ModelVerdict

WORKER = HOOKS_WORKER  # its number in the log and among the budgets
OWNER = "hook:"  # keys of accounts that begin so open this door, and no other key does
TOKEN = b"x-stillwatch-hook"  # where such a key travels beside a client's own
TICKET = b"x-stillwatch-answer"  # where the ticket of an answer on its way travels

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class ReportedRequest:
    """One request to a model, as another gateway describes it."""

    account: str
    number: int | None = None  # of an account that was issued here
    key_id: str = ""
    org: str | None = None
    end_user: str | None = None
    operation: str = "chat"
    models: tuple[str, ...] = ()  # asked for, and every one that may answer; the first is what was asked
    hosts: tuple[str, ...] = ()  # that may answer
    stream: bool = False
    n: int = 1
    logprobs: bool = False
    body_bytes: int = 0
    blind: bool = False  # the gateway shows no body: nobody can say which model is meant
    does: str = ""  # one of `operations.DOES`; "": what the operation's name says
    most: int | None = None  # output tokens that it allows one answer, where it says
    answers: int = 1  # to all its questions
    background: bool = False  # answered at once, worked off and fetched later
    stored: str = ""  # the answer that it fetches
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class TermsJudgement:
    """What the terms say of it."""

    decision: Decision
    verdict: ModelVerdict
    charge: Charge | None = None  # what it holds until its answer has come


@dataclass(frozen=True, slots=True)
class HookReply:
    """What goes back over HTTP."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ((b"content-type", b"application/json"),)
    answer: str = ""  # the ticket of what it holds: void where nobody takes this reply
