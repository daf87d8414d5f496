"""Traits of honest accounts: countries, networks, clients, settings, plans. All of it is made up
(traits.toml).

Organisations share a card and an egress address, a classroom a campus network; others only a provider.
"""

from datetime import datetime, timedelta

import numpy as np

from stillwatch.range.identity import token
from stillwatch.range.people import KINDS, Person
from stillwatch.range.texts import read_texts

_TEXTS = read_texts("people/traits.toml")
Network = tuple[int, str]  # asn, first two parts of its addresses
ACCESS: dict[str, tuple[Network, ...]] = _TEXTS["access"]
SERVERS: tuple[Network, ...] = _TEXTS["servers"]
BROWSERS: tuple[str, ...] = _TEXTS["browsers"]
LIBRARIES: tuple[str, ...] = _TEXTS["libraries"]
MAIL: tuple[str, ...] = _TEXTS["mail"]
USES: tuple[str, ...] = _TEXTS["uses"]
USE_OF: dict[str, str] = _TEXTS["use_of"]
# of the countries, in their order
WEIGHT = np.array([0.28, 0.13, 0.1, 0.06, 0.08, 0.05, 0.07, 0.05, 0.05, 0.04, 0.06, 0.03])


def _pick(rng: np.random.Generator, words: tuple[tuple[str, float], ...]) -> str:
    shares = np.array([share for _, share in words])
    return words[rng.choice(len(words), p=shares / shares.sum())][0]


def _address(network: str, rng: np.random.Generator) -> str:
    return f"{network}.{rng.integers(256)}.{rng.integers(1, 255)}"


def people_of(kind: str, count: int, begin: datetime, days: int, rng: np.random.Generator) -> list[Person]:
    """Make `count` accounts of one kind, in organisations if the kind has some."""
    people: list[Person] = []
    least, most = KINDS[kind].group
    while len(people) < count:
        size = min(int(rng.integers(least, most + 1)), count - len(people))
        people += _organisation(kind, size, begin, days, rng)
    return people


def _organisation(kind: str, size: int, begin: datetime, days: int, rng: np.random.Generator) -> list[Person]:
    like = KINDS[kind]
    together = like.group[1] > 1
    country = sorted(ACCESS)[rng.choice(len(ACCESS), p=WEIGHT / WEIGHT.sum())]
    org = f"org_{token(rng, 10)}" if kind == "company" or (not together and rng.random() < 0.2) else None
    domain = (
        f"{'uni-' if kind == 'classroom' else 'd'}{token(rng, 6)}{'.edu' if kind == 'classroom' else '.com'}"
    )
    card = token(rng, 16)
    asn, network = SERVERS[rng.integers(len(SERVERS))] if like.machine else _access(country, rng)
    egress = tuple((_address(network, rng), asn) for _ in range(1 + int(rng.integers(2))))
    library = LIBRARIES[rng.integers(len(LIBRARIES))].format(rng.integers(10, 60))
    return [
        _person(kind, together, country, org, domain, card, egress, library, begin, days, rng)
        for _ in range(size)
    ]


def _access(country: str, rng: np.random.Generator) -> tuple[int, str]:
    networks = ACCESS[country]
    return networks[rng.integers(len(networks))]


def _person(
    kind: str, together: bool, country: str, org: str | None, domain: str, card: str,
    egress: tuple[tuple[str, int], ...], library: str, begin: datetime, days: int, rng: np.random.Generator,
) -> Person:  # fmt: skip
    like = KINDS[kind]
    own_domain = together or (like.machine and rng.random() < 0.5)
    age_days = float(rng.lognormal(4.3, 1.2)) if rng.random() < 0.8 else -float(rng.uniform(0, 0.6 * days))
    if kind == "classroom":
        age_days = float(rng.uniform(2, 9))
    addresses = egress
    if not together and not like.machine:
        asn, network = _access(country, rng)
        addresses = tuple((_address(network, rng), asn) for _ in range(1 + int(rng.integers(2))))
    by_hand = BROWSERS[rng.integers(len(BROWSERS))].format(rng.integers(10, 140))
    agents = (library,) if like.machine or kind == "company" or rng.random() < 0.4 else (by_hand,)
    tier = _pick(rng, (("payg", 0.6), ("build", 0.27), ("free", 0.1), ("scale", 0.03)))
    tier = {"classroom": "edu", "company": "scale", "load_test": "scale", "synthetic_permitted": "scale"}.get(
        kind, tier
    )
    declared = USE_OF.get(kind) or (USES[rng.integers(len(USES))] if rng.random() < 0.35 else None)
    return Person(
        account=f"acct_{token(rng, 14)}",
        kind=kind,
        org=org,
        created=begin - timedelta(days=min(age_days, 1000.0)),
        tier=tier,
        country=country,
        email_domain=domain if own_domain else MAIL[rng.integers(len(MAIL))],
        payment=None if tier == "free" else card if together else token(rng, 16),
        declared_use=declared,
        permissions=("synthetic_data",) if kind == "synthetic_permitted" else (),
        addresses=addresses,
        user_agents=agents,
        model=_pick(rng, like.models),
        other_model=_pick(rng, like.models),
        temperature=0.0
        if kind == "eval_harness"
        else (None, None, 0.0, 0.2, 0.3, 0.6, 0.7, 1.0)[rng.integers(8)],
        top_p=None if rng.random() < 0.9 else 0.9,
        max_tokens=(None, None, 512, 1024, 2048, 4096, 8192, 16384)[rng.integers(8)],
        stream=bool(rng.random() < (0.2 if like.machine else 0.6)),
        response_format=(None, None, None, None, None, None, None, "text", "json_object")[rng.integers(9)],
        conversations=bool(rng.random() < 0.5),
    )
