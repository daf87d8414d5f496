"""Honest people made from scratch: the kinds of use, and an account's traits and requests.

They use real arrivals and real texts where there are some; accounts, volumes and wordings around the texts
are made up.
"""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np


@dataclass(frozen=True)
class UseKind:
    """One kind of use: its frequency, volume and account traits."""

    share: float  # of accounts in the usual mixture
    volume: float  # median exchanges of an account in a fortnight
    spread: float  # sigma of the logarithm of that
    machine: bool  # sent by a server, with the hours of a ServeGen client, not by a person in sittings
    visible_tokens: float  # median of an answer's visible part
    models: tuple[tuple[str, float], ...]
    group: tuple[int, int] = (1, 1)  # least and most accounts of one organisation


_FAST = (("mira-mini", 0.5), ("mira-large", 0.4), ("mira-think", 0.1))
_TALK = (("mira-mini", 0.33), ("mira-large", 0.35), ("mira-think", 0.32))
_DEEP = (("mira-think", 0.6), ("mira-large", 0.25), ("mira-mini", 0.15))

# Shares and volumes follow the shipped sample's kinds, in round figures.
KINDS: dict[str, UseKind] = {
    "chat": UseKind(0.26, 5, 0.8, False, 220, _TALK),
    "longform": UseKind(0.15, 16, 0.9, False, 1200, (("mira-think", 0.5), ("mira-large", 0.5))),
    "small_dev": UseKind(0.10, 18, 0.9, False, 360, _TALK),
    "public_template": UseKind(0.08, 30, 0.9, True, 120, _FAST),
    "company": UseKind(0.12, 14, 0.8, False, 180, _TALK, (10, 24)),
    "classroom": UseKind(0.09, 9, 0.5, False, 260, _TALK, (20, 36)),
    "viral_prompt": UseKind(0.07, 3, 0.5, False, 600, _TALK),
    "new_template": UseKind(0.02, 24, 0.8, True, 120, _FAST),
    "rag": UseKind(0.025, 90, 0.7, True, 150, _DEEP),
    "app_backend": UseKind(0.015, 240, 0.7, True, 150, _FAST),
    "pipeline": UseKind(0.025, 240, 0.7, True, 200, _FAST),
    "eval_harness": UseKind(0.012, 320, 0.5, True, 420, _TALK),
    "batch_classification": UseKind(0.008, 700, 0.4, True, 4, _FAST),
    "agent": UseKind(0.013, 150, 0.6, True, 90, _FAST),
    "drift_monitor": UseKind(0.004, 168, 0.1, True, 40, (("mira-large", 1.0),)),
    "load_test": UseKind(0.0015, 2500, 0.3, True, 60, (("mira-think", 1.0),)),
    "synthetic_permitted": UseKind(0.0015, 900, 0.3, True, 900, (("mira-think", 1.0),)),
    "migrated": UseKind(0.003, 900, 0.4, True, 60, (("mira-mini", 1.0),)),
}


@dataclass(frozen=True)
class Person:
    """One honest account, and how it calls."""

    account: str
    kind: str
    org: str | None
    created: datetime
    tier: str
    country: str
    email_domain: str
    payment: str | None
    declared_use: str | None
    permissions: tuple[str, ...]
    addresses: tuple[tuple[str, int], ...]
    user_agents: tuple[str, ...]
    model: str
    other_model: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stream: bool
    response_format: str | None
    conversations: bool


@dataclass
class Sent:
    """One account's requests, in order of time. Days count from the scene's first midnight."""

    days: np.ndarray
    prompts: list[str]
    systems: list[str | None] | None = None
    turns: np.ndarray | None = None
    talks: np.ndarray | None = None  # requests with the same number are turns of one conversation
    end_users: list[str | None] | None = None
    tools: int = 0
    models: list[str] | None = None  # of each request, if not the account's own
    more: dict[str, float] = field(default_factory=dict)
