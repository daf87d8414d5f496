"""Campaigns: what is asked, when, by which accounts, in which words.

A shape is one file in this package (or beside a scene) with `requests(plan, corpora, rng, new_model_day)`: it
turns a plan and a stock of prompts into `PlannedRequest`s, with accounts numbered from 0. `shapes.py` finds
them by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stillwatch.range.stock import Corpora


@dataclass(frozen=True)
class CampaignPlan:
    """One campaign to be composed. Days count from the scene's first midnight."""

    name: str
    style: str  # the shape's name; `shape` in a scene file
    accounts: int
    exchanges: int
    start: float
    days: float
    pipelines: tuple[str, ...]
    tradecraft: int
    model: str = "mira-think"
    language: str = "en"
    wording: int = 0  # index of the language's template, or of the rubric
    repeats: int = 8  # repeat_sampling: answers wanted per question
    bans: tuple[float, ...] = ()  # failover: shares of the campaign after which a pool is banned
    cover: float = 0.0  # share of the accounts' traffic in the campaign's days that is honest conversation
    visible_tokens: float = 450.0  # median of the answer's visible part
    reasoning_tokens: float = 4000.0  # median, on models that reason
    stolen: float = 0.0  # share of the accounts that belong to honest people, whose keys were stolen
    sticky: float = 0.0  # share of the items that are assigned by topic, each topic to one account
    retries: float = 0.0  # share of failed requests that are repeated at another account within minutes
    place: str = "message"  # where the question is in a request: one of `placing.PLACES`
    cleaned: float = 0.0  # share of its answers that another of its accounts sends back to be cleaned


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One exchange before it has an identity: `account` is an index within the campaign."""

    account: int
    day: float
    prompt: str
    system: str | None = None
    turn: int = 1
    talk: int | None = None  # requests with the same number are turns of one conversation
    covert: bool = True
    refused: bool = False
    model: str | None = None  # by default the plan's own
    top_logprobs: int = 0
    max_tokens: int | None = None
    status: int | None = None  # None: as the service happens to answer
    dropped: bool = False  # the client disconnected in the middle of the stream
    tools: int = 0
    answer: str | None = None  # the response, if the campaign uses it again


Rng = np.random.Generator
Planned = list[PlannedRequest]
Requests = Callable[[CampaignPlan, Corpora, Rng, float], Planned]


@dataclass(frozen=True)
class CampaignShape:
    """A way to run a campaign, as described in its file."""

    name: str
    requests: Requests
    about: str  # what is published, where, and what is made up
    defaults: dict[str, Any] = field(default_factory=dict)  # of a plan, for keys that a scene omits


def accounts_of(plan: CampaignPlan) -> int:
    """Return how many accounts a plan uses, including replacements for banned ones."""
    return plan.accounts * (1 + len(plan.bans))
