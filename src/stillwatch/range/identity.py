"""The identities of a campaign's accounts, at three levels of tradecraft.

Level 0 shares cards, addresses and a mail domain. Level 1 has one card per account but few networks, one
client and a sign-up burst. Level 2 takes every trait from an honest account of the scene (age, country,
client, settings, neighbourhood on the network), so that nothing about one account alone gives it away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

DATA_CENTRES = {
    9009: "45.86",
    51167: "62.171",
    20473: "45.32",
    63949: "172.104",
    24940: "49.12",
    16276: "51.83",
}
CLIENTS = ("OpenAI/Python 1.{}.{}", "AsyncOpenAI/Python 1.{}.{}", "litellm/1.{}.{}", "axios/1.{}.{}")
MAIL = ("gmail.com", "outlook.com", "proton.me", "yahoo.com", "gmx.de", "163.com")
LEAST_AGE = timedelta(days=4)  # of an honest account whose traits can be copied
COUNTRIES = ("US", "DE", "JP", "SG", "FR", "GB", "KR", "BR")


@dataclass(frozen=True, slots=True)
class Donor:
    """The traits of one honest account: its metadata and the settings of one of its exchanges."""

    org: str | None
    age: timedelta  # at the scene's beginning; negative if the account came later
    tier: str
    country: str
    email_domain: str
    payment: str | None
    declared_use: str | None
    client_ip: str
    asn: int
    user_agent: str
    model: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stream: bool
    response_format: str | None
    conversations: bool


def donor_of(account: Mapping[str, Any], exchange: Mapping[str, Any], begin: datetime) -> Donor:
    """Read an honest account's traits from its row of the accounts table and one of its exchanges."""
    row = {**account, **exchange}
    row |= {"age": begin - row["created"], "conversations": row["conversation"] is not None}
    return Donor(**{name: row[name] for name in Donor.__slots__})


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """One account of a campaign: its row of the accounts table, and how it calls."""

    account: str
    created: datetime
    donor: Donor  # traits in use, taken from an honest account or made up
    addresses: tuple[tuple[str, int], ...]


def token(rng: np.random.Generator, digits: int) -> str:
    """Draw `digits` hexadecimal digits."""
    return rng.bytes((digits + 1) // 2).hex()[:digits]


def _address(network: str, rng: np.random.Generator) -> str:
    return f"{network}.{rng.integers(256)}.{rng.integers(1, 255)}"


def _domain(rng: np.random.Generator) -> str:
    return f"d{token(rng, 6)}.com" if rng.random() < 0.6 else MAIL[rng.integers(len(MAIL))]


def _fresh_identities(
    level: int, count: int, begin: datetime, start: datetime, rng: np.random.Generator
) -> list[AccountIdentity]:
    centres = list(DATA_CENTRES.items())
    nets = [centres[i] for i in rng.permutation(len(centres))[: 1 if level == 0 else 1 + rng.integers(2)]]
    clients = [c.format(rng.integers(20, 99), rng.integers(20)) for c in CLIENTS][: 1 + 3 * level]
    cards = [token(rng, 16) for _ in range(max(1, count // 12))]
    servers = [(_address(net, rng), asn) for asn, net in nets for _ in range(max(3, count // 30))]
    domain = f"{token(rng, 6)}mail.top"
    burst = start - timedelta(days=float(rng.uniform(0.5, 2.5) if level == 0 else rng.uniform(3, 12)))
    temperature = (None, 0.6, 0.7, 1.0)[rng.integers(4)]
    max_tokens = (None, 4096, 8192, 16384)[rng.integers(4)]
    stream, form = bool(rng.integers(2)), ("text", None)[rng.integers(2)]
    drawn = []
    for _ in range(count):
        asn, net = nets[rng.integers(len(nets))]
        created = burst + timedelta(hours=float(rng.uniform(0, 8 if level == 0 else 36)))
        donor = Donor(
            org=None,
            age=begin - created,
            tier="payg",
            country=COUNTRIES[rng.integers(len(COUNTRIES))],
            email_domain=domain if level == 0 else _domain(rng),
            payment=cards[rng.integers(len(cards))] if level == 0 else token(rng, 16),
            declared_use=None,
            client_ip="",
            asn=asn,
            user_agent=clients[rng.integers(len(clients))],
            model="mira-mini",
            temperature=temperature,
            top_p=None,
            max_tokens=max_tokens,
            stream=stream,
            response_format=form,
            conversations=bool(rng.random() < 0.5),
        )
        shown = (
            tuple(servers[i] for i in rng.permutation(len(servers))[:3])
            if level == 0
            else ((_address(net, rng), asn),)
        )
        drawn.append(AccountIdentity(f"acct_{token(rng, 14)}", created, donor, shown))
    return drawn


def _aged_identities(
    count: int, begin: datetime, donors: list[Donor], rng: np.random.Generator
) -> list[AccountIdentity]:
    drawn = []
    donors = [d for d in donors if d.age > LEAST_AGE]
    for _ in range(count):
        like = donors[rng.integers(len(donors))]
        traits = {name: getattr(like, name) for name in Donor.__slots__}
        traits["age"] = like.age + timedelta(hours=float(rng.uniform(-60, 60)))
        traits["payment"] = like.payment and token(rng, 16)
        traits["org"] = like.org and f"org_{token(rng, 10)}"
        if like.email_domain.startswith("d") and like.email_domain.endswith(".com"):
            traits["email_domain"] = f"d{token(rng, 6)}.com"
        network = ".".join(like.client_ip.split(".")[:2])
        shown = tuple((_address(network, rng), like.asn) for _ in range(1 + int(rng.integers(2))))
        drawn.append(AccountIdentity(f"acct_{token(rng, 14)}", begin - traits["age"], Donor(**traits), shown))
    return drawn


def identities(
    tradecraft: int,
    count: int,
    begin: datetime,
    start: datetime,
    donors: list[Donor],
    rng: np.random.Generator,
) -> list[AccountIdentity]:
    """Make `count` accounts for a campaign that starts at `start` in a scene that begins at `begin`."""
    if tradecraft == 2:
        return _aged_identities(count, begin, donors, rng)
    return _fresh_identities(tradecraft, count, begin, start, rng)
