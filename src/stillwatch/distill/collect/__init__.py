"""Asking a teacher: what each question is, what came of it, and how far it has got. It knows no training."""

from dataclasses import dataclass
from typing import Any

from stillwatch.distill import Prompt


@dataclass(frozen=True)
class SampleRequest:
    """One sample to be had: everything that makes it what it is, and the key by which it is known."""

    key: str
    prompt: Prompt
    sample: int
    body: dict[str, Any]  # of the request


@dataclass(frozen=True)
class Progress:
    """How far collecting has got, for who watches it."""

    done: int
    total: int
    failed: int
    under_way: int
    requests: int
    tokens: int
    usd: float | None
    waits: str = ""  # why nothing goes out just now


@dataclass(frozen=True)
class CollectionResult:
    """The result of one call of collect. `stopped` says why it ended before everything was asked."""

    answers: int  # stored of those that the plan asks for
    wanted: int
    new: int  # of them by this call
    failed: int
    requests: int  # of this call
    left_in_doubt: int  # requests that an earlier process had left under way
    stopped: str = ""
    by_budget: bool = False
    interrupted: bool = False
    failures: tuple[tuple[int, str], ...] = ()
