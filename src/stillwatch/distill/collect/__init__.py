"""Asking a teacher: requests, their outcomes, and progress."""

from dataclasses import dataclass
from typing import Any

from stillwatch.distill import Prompt


@dataclass(frozen=True)
class SampleRequest:
    """One wanted sample: everything that determines it, and its key."""

    key: str
    prompt: Prompt
    sample: int
    body: dict[str, Any]  # of the request


@dataclass(frozen=True)
class Progress:
    """The progress of collecting."""

    done: int
    total: int
    failed: int
    under_way: int
    requests: int
    tokens: int
    usd: float | None
    waits: str = ""  # why no request is sent at the moment


@dataclass(frozen=True)
class CollectionResult:
    """The result of one call of collect. `stopped` says why it ended before everything was asked."""

    answers: int  # stored, of those that the plan asks for
    wanted: int
    new: int  # of them by this call
    failed: int
    requests: int  # of this call
    left_in_doubt: int  # requests left without an outcome by an earlier process
    stopped: str = ""
    by_budget: bool = False
    interrupted: bool = False
    failures: tuple[tuple[int, str], ...] = ()
