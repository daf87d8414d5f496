"""Which kind of honest use each account shows best. It knows no campaign and no other account's traffic.

Every kind is asked; the most confident answer wins, and where none reaches `LEAST` the kind is "unknown". The
confidence is a fit to a description, not a probability: nothing here is trained.
"""

from collections import Counter
from collections.abc import Callable
from importlib import import_module

import pyarrow as pa

from stillwatch.features.kinds import Kind, Record, Sign, Subject

# In order of precedence where two are equally confident: what the provider knows first.
KINDS = (
    "permitted_synthetic",
    "red_team",
    "classroom",
    "one_company",
    "load_test",
    "drift_monitor",
    "llm_judge",
    "evaluation",
    "application",
    "gateway",
    "agent",
    "coding",
    "rag",
    "batch",
    "migration",
    "chat",
)
LEAST = 0.2  # below a quarter of what a shape can reach, no name is better than a wrong one
UNKNOWN = "unknown"


def kind_of_use(features: pa.Table, accounts: pa.Table | None = None) -> list[Kind]:
    """Name the kind of use of every account in a feature table, in its order.

    `accounts` is the provider's accounts table with a column `account_code` in front; without it nothing that
    rests on the provider's knowledge is found.
    """
    rules = [(name, _rule(name)) for name in KINDS]
    records = {} if accounts is None else _records(accounts)
    found = []
    for row in features.to_pylist():
        code = row["account"]
        found.append(_best(code, Subject(row, records.get(code, Record())), rules))
    return found


def _best(code: int, subject: Subject, rules: list[tuple[str, Callable[[Subject], Sign | None]]]) -> Kind:
    best = Kind(code, UNKNOWN, 0.0, "fits no described kind of use")
    for name, rule in rules:
        sign = rule(subject)
        if sign is not None and sign.confidence >= LEAST and sign.confidence > best.confidence:
            best = Kind(code, name, round(sign.confidence, 3), sign.evidence, sign.rests_on)
    return best


def _rule(name: str) -> Callable[[Subject], Sign | None]:
    rule: Callable[[Subject], Sign | None] = import_module(f"stillwatch.features.kinds.{name}").recognise
    return rule


def _records(accounts: pa.Table) -> dict[int, Record]:
    rows = accounts.to_pylist()
    orgs = Counter(row["org"] for row in rows if row["org"])
    payments: dict[str, set[str]] = {}
    rosters: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        if row["org"]:
            payments.setdefault(row["org"], set()).add(row["payment"] or f"none of {row['account_code']}")
        if roster := _roster(row["tier"], row["email_domain"], row["payment"]):
            rosters[roster] += 1
    records = {}
    for row in rows:
        roster = _roster(row["tier"], row["email_domain"], row["payment"])
        records[row["account_code"]] = Record(
            org=row["org"] or None,
            org_accounts=orgs[row["org"]] if row["org"] else 0,
            org_payments=len(payments[row["org"]]) if row["org"] else 0,
            created_us=None if row["created"] is None else int(row["created"].timestamp() * 1_000_000),
            tier=row["tier"],
            roster_accounts=rosters[roster] if roster else 0,
            declared_use=row["declared_use"],
            permissions=tuple(row["permissions"] or ()),
        )
    return records


def _roster(tier: str | None, domain: str | None, payment: str | None) -> tuple[str, str, str] | None:
    return (tier, domain, payment) if tier and domain and payment else None
