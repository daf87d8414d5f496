"""What a campaign's accounts share, in plain text, for programs without keyed indicators.

A network or the number of an autonomous system identifies somebody, so it leaves only if a person requests it
by name. The rule is that of keyed indicators: enough of the campaign's accounts have it, and few others do.
Null: none; nothing here is a test. Blind to: addresses that change, and networks that everybody uses.
Fooled by: a campaign that sends from an honest customer's network.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address, ip_network

import pyarrow as pa

from stillwatch.cases.indicators import IndicatorError
from stillwatch.cases.indicators.gather import LEAST_ACCOUNTS, MOST, PURITY
from stillwatch.cases.indicators.marks import LogHistory
from stillwatch.exchanges.rejects import Rejects

PREFIX_BITS = {4: 24, 6: 48}  # as `exchanges.log.network` cuts addresses


class PlainKind(StrEnum):
    """What can be shared in plain text."""

    NETWORK = "network"  # a client's /24 or /48
    SYSTEM = "asn"  # the number of the autonomous system
    DOMAIN = "email-domain"  # from the accounts table
    ACCOUNT = "account"  # names of the campaign's accounts


@dataclass(frozen=True)
class PlainIndicator:
    """One value that a campaign's accounts share, in plain text."""

    kind: PlainKind
    value: str
    accounts: int  # of the campaign that have it
    others: int  # accounts outside it that have it
    exchanges: int  # of the campaign's accounts
    first_us: int
    last_us: int


@dataclass
class _PlainUse:
    mine: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    rows: int = 0
    first_us: int = 0
    last_us: int = 0


def cidr(address: str) -> str | None:
    """Return the network of an address in CIDR notation; None if it is not an address.

    >>> cidr("192.0.2.17"), cidr("::ffff:192.0.2.17"), cidr("2001:db8:1:2::9"), cidr("unknown")
    ('192.0.2.0/24', '192.0.2.0/24', '2001:db8:1::/48', None)
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip_network(f"{ip}/{PREFIX_BITS[ip.version]}", strict=False))


def gather_plain(
    history: LogHistory,
    members: Collection[str],
    kinds: Collection[PlainKind],
    rejects: Rejects,
) -> tuple[PlainIndicator, ...]:
    """Return what the accounts share, in plain text, most shared first within each kind.

    Raises: IndicatorError if they share nothing of the requested kinds.
    """
    own_accounts = set(members)
    uses: dict[PlainKind, dict[str, _PlainUse]] = {kind: {} for kind in kinds}
    domains = _domains(history.accounts) if PlainKind.DOMAIN in kinds else {}
    for batch in history.batches(rejects, None):
        for kind, use in uses.items():
            _count_uses(use, batch, kind, own_accounts, domains)
    chosen: list[PlainIndicator] = []
    for kind, use in uses.items():
        least_accounts = 1 if kind is PlainKind.ACCOUNT else min(LEAST_ACCOUNTS, len(own_accounts))
        shared = [
            PlainIndicator(kind, value, len(u.mine), len(u.others), u.rows, u.first_us, u.last_us)
            for value, u in use.items()
            if len(u.mine) >= least_accounts and len(u.mine) >= PURITY * (len(u.mine) + len(u.others))
        ]
        most_values = len(shared) if kind is PlainKind.ACCOUNT else MOST
        chosen += sorted(shared, key=lambda one: (-one.accounts, one.others, one.value))[:most_values]
    if kinds and not chosen:
        raise IndicatorError(
            f"of {', '.join(kinds)} the campaign's accounts share nothing in plain that {LEAST_ACCOUNTS} of "
            "them have and few others; leave --plain out"
        )
    return tuple(chosen)


def _domains(accounts: pa.Table | None) -> dict[str, str]:
    if accounts is None:
        raise IndicatorError("--plain email-domain needs --accounts: domains stand in the accounts table")
    pairs = zip(accounts["account"].to_pylist(), accounts["email_domain"].to_pylist(), strict=True)
    return {account: name.strip().rstrip(".").lower() for account, name in pairs if name}


def _count_uses(
    uses: dict[str, _PlainUse],
    batch: pa.RecordBatch,
    kind: PlainKind,
    own_accounts: set[str],
    domains: dict[str, str],
) -> None:
    column = {PlainKind.NETWORK: "client_ip", PlainKind.SYSTEM: "asn"}.get(kind, "account")
    rows = pa.table(
        {"value": batch[column], "account": batch["account"], "at": batch["time"].cast(pa.int64())}
    )
    sums = [("at", "count"), ("at", "min"), ("at", "max")]
    for row in rows.group_by(["value", "account"]).aggregate(sums).to_pylist():
        if row["value"] is None:
            continue
        if kind is PlainKind.DOMAIN:
            value = domains.get(row["account"])
        elif kind is PlainKind.ACCOUNT:
            value = row["account"] if row["account"] in own_accounts else None
        else:
            value = cidr(row["value"]) if kind is PlainKind.NETWORK else str(row["value"])
        if not value:
            continue
        use = uses.setdefault(value, _PlainUse())
        if row["account"] not in own_accounts:
            use.others.add(row["account"])
            continue
        use.mine.add(row["account"])
        use.first_us = min(use.first_us, row["at_min"]) if use.rows else row["at_min"]
        use.last_us = max(use.last_us, row["at_max"])
        use.rows += row["at_count"]
