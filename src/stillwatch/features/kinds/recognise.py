"""Finds the kind of honest use that fits each account best.

Every kind is tried. Kinds that rest on the provider's knowledge win over shape, then the most confident one;
if none reaches `LEAST` the kind is "unknown". The confidence is the fit to a description, not a probability:
nothing here is trained.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from importlib import import_module

import pyarrow as pa

from stillwatch.features.kinds import AccountRecord, KindOfUse, Sign, Subject, declares_education
from stillwatch.units import us

Rule = Callable[[Subject], Sign | None]
Roster = tuple[str, str, str]  # tier, mail domain, payment

# In order of precedence among equally confident ones.
KINDS = (
    "permitted_synthetic", "red_team", "classroom", "one_company", "load_test", "drift_monitor", "llm_judge",
    "evaluation", "application", "gateway", "agent", "coding", "rag", "batch", "migration", "chat",
)  # fmt: skip
LEAST = 0.2  # below a quarter of the most that a shape can reach, no name is better than a wrong one
UNKNOWN = "unknown"


def kind_of_use(features: pa.Table, accounts: pa.Table | None = None) -> list[KindOfUse]:
    """Return the kind of use of every account in a feature table, in its order.

    `accounts` is the provider's accounts table with a column `account_code` in front; without it, kinds that
    rest on the provider's knowledge are never found.
    """
    rules = [(name, import_module(f"stillwatch.features.kinds.{name}").recognise) for name in KINDS]
    records = {} if accounts is None else _records(accounts)
    return [
        _best(row["account"], Subject(row, records.get(row["account"], AccountRecord())), rules)
        for row in features.to_pylist()
    ]


def _best(code: int, subject: Subject, rules: list[tuple[str, Rule]]) -> KindOfUse:
    signs = [(name, sign) for name, rule in rules if (sign := rule(subject)) and sign.confidence >= LEAST]
    if not signs:
        return KindOfUse(code, UNKNOWN, 0.0, "fits no described kind of use")
    name, sign = max(signs, key=lambda s: (s[1].excuses != "nothing", s[1].confidence))
    return KindOfUse(code, name, round(sign.confidence, 3), sign.evidence, sign.excuses)


def _records(accounts: pa.Table) -> dict[int, AccountRecord]:
    rows = accounts.to_pylist()
    orgs, domains, education, rosters = Counter[str](), Counter[str](), Counter[str](), Counter[Roster]()
    payments = defaultdict[str, set[str]](set)
    for row in rows:
        domain = row["email_domain"] or ""
        domains[domain] += 1
        education[domain] += declares_education(row["declared_use"])
        rosters[_roster(row)] += 1
        orgs[row["org"] or ""] += 1
        payments[row["org"] or ""].add(row["payment"] or f"none of {row['account_code']}")
    records = {}
    for row in rows:
        org, domain, roster = row["org"] or "", row["email_domain"] or "", _roster(row)
        records[row["account_code"]] = AccountRecord(
            org=org or None,
            org_accounts=orgs[org] if org else 0,
            org_payments=len(payments[org]) if org else 0,
            created_us=None if row["created"] is None else us(row["created"]),
            tier=row["tier"],
            roster_accounts=rosters[roster] if all(roster) else 0,
            domain_accounts=domains[domain] if domain else 0,
            domain_education_share=education[domain] / domains[domain] if domain else 0.0,
            declared_use=row["declared_use"],
            permissions=tuple(row["permissions"] or ()),
        )
    return records


def _roster(row: dict[str, str | None]) -> Roster:
    return row["tier"] or "", row["email_domain"] or "", row["payment"] or ""
