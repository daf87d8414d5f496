"""Hooks: requests for decisions, and reports, from gateways that people already run.

One process beside the workers, with the same policy, tables and log; in the log it has a worker number of its
own. It forwards nothing and opens no connections: it only answers and records.
"""

from dataclasses import dataclass

from stillwatch.gateway.path.charge import Charge
from stillwatch.gateway.settings import HOOKS_WORKER
from stillwatch.terms import Decision, ModelVerdict

WORKER = HOOKS_WORKER  # its worker number in the log and among the budgets
OWNER = "hook:"  # only keys of accounts with this prefix give access to the hooks
TOKEN = b"x-stillwatch-hook"  # header of such a key, beside a client's own key
TICKET = b"x-stillwatch-answer"  # header of a pending answer's ticket

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class ReportedRequest:
    """One request to a model, as another gateway describes it."""

    account: str
    number: int | None = None  # of an account registered here
    key_id: str = ""
    org: str | None = None
    end_user: str | None = None
    operation: str = "chat"
    models: tuple[str, ...] = ()  # requested, then any others that may answer
    hosts: tuple[str, ...] = ()  # that may answer
    stream: bool = False
    n: int = 1
    logprobs: bool = False
    body_bytes: int = 0
    blind: bool = False  # the gateway shows no body, so the model is unknown
    does: str = ""  # one of `operations.DOES`; "": from the operation's name
    most: int | None = None  # the request's limit of output tokens per answer, if any
    answers: int = 1  # to all its questions
    background: bool = False  # accepted at once, processed and fetched later
    stored: str = ""  # the answer that it fetches
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class TermsJudgement:
    """The policy's judgement of a request."""

    decision: Decision
    verdict: ModelVerdict
    charge: Charge | None = None  # what it holds until its answer arrives


@dataclass(frozen=True, slots=True)
class HookReply:
    """The HTTP reply to a hook's request."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ((b"content-type", b"application/json"),)
    answer: str = ""  # the ticket of what it holds: void if the reply cannot be delivered
