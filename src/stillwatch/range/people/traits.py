"""Who honest accounts are: countries, networks, clients, settings, plans. All of it is made up.

Organisations share a card and an egress address, a classroom a campus network; nobody else shares anything
but a provider. It knows no text.
"""

from datetime import datetime, timedelta

import numpy as np

from stillwatch.range.identity import token
from stillwatch.range.people import KINDS, Person

# country -> access networks (asn, first two parts of their addresses)
ACCESS = {
    "US": ((7922, "173.190"), (7018, "31.66"), (701, "49.170"), (20115, "81.207")),
    "DE": ((3320, "196.180"), (3209, "117.6"), (6805, "92.224")),
    "FR": ((12322, "28.116"), (3215, "107.130")),
    "GB": ((2856, "146.12"), (5089, "82.24")),
    "JP": ((2516, "133.94"), (4713, "153.160")),
    "KR": ((4766, "152.70"), (3786, "112.216")),
    "IN": ((45609, "96.160"), (55836, "49.36")),
    "VN": ((7552, "78.182"), (45899, "113.160")),
    "BR": ((18881, "161.222"), (28573, "177.32")),
    "IT": ((3269, "23.162"), (1267, "151.16")),
    "SG": ((9506, "25.236"), (4773, "116.86")),
    "TW": ((3462, "41.4"), (9924, "60.199")),
}
WEIGHT = np.array([0.28, 0.13, 0.1, 0.06, 0.08, 0.05, 0.07, 0.05, 0.05, 0.04, 0.06, 0.03])
SERVERS = (
    (24940, "24.10"), (16509, "39.64"), (14061, "199.28"), (396982, "195.158"), (8075, "182.140"),
    (16276, "168.164"), (45102, "33.112"), (13335, "167.174"), (20473, "97.16"), (51167, "51.132"),
)  # fmt: skip
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{}.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605.1.15 Version/{}.1",
    "ChatBox/1.{}.2", "LobeChat/1.{}.1", "open-webui/0.{}.4", "TypingMind/2.{}", "Raycast/1.{}",
)  # fmt: skip
LIBRARIES = (
    "OpenAI/Python 1.{}.1", "OpenAI/JS 4.{}.0", "langchain-openai/0.{}.3", "python-requests/2.{}.0",
    "Go-http-client/2.{}", "litellm/1.{}.2", "AsyncOpenAI/Python 1.{}.0", "axios/1.{}.4", "node-fetch/3.{}",
    "okhttp/4.{}", "curl/8.{}.0",
)  # fmt: skip
MAIL = ("gmail.com", "outlook.com", "icloud.com", "proton.me", "yahoo.com", "hotmail.com", "qq.com", "gmx.de")
USES = (
    "personal use", "consumer app", "developer tools", "document processing", "research", "testing",
    "customer support automation", "internal productivity",
)  # fmt: skip
USE_OF = {
    "eval_harness": "evaluation of language models", "classroom": "education", "company": "internal "
    "productivity",
    "synthetic_permitted": "synthetic data generation (agreed)",
}  # fmt: skip


def _pick(rng: np.random.Generator, words: tuple[tuple[str, float], ...]) -> str:
    shares = np.array([share for _, share in words])
    return words[rng.choice(len(words), p=shares / shares.sum())][0]


def _address(network: str, rng: np.random.Generator) -> str:
    return f"{network}.{rng.integers(256)}.{rng.integers(1, 255)}"


def people_of(kind: str, count: int, begin: datetime, days: int, rng: np.random.Generator) -> list[Person]:
    """Make `count` accounts of one kind, in organisations where the kind has some."""
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
