"""Counts what the events show about the accounts that a finding set aside. Standard library only.

This file travels in each bundle, beside `recompute.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .bundle_events import HOUR_US, OpenedBundle, us

EVENT_US = 72 * HOUR_US  # the time within which people at an event send all their requests: docs/evidence.md
# facts about an account that was set aside
FACTS = (
    "product", "network", "asn", "accounts_there", "first", "last", "mail_domain", "ahead", "carried",
    "kind_of_use", "finding",
)  # fmt: skip


def set_aside(e: OpenedBundle) -> dict[str, Any]:
    """Count, for each account set aside, what its events show about the facts behind its rule."""
    numbered: dict[int, set[str]] = {}
    for account, k in e.set_aside:
        if k is not None and account.get("network") is not None:
            networks = e.main_networks(k)
            numbered[account["network"]] = numbered.get(account["network"], networks) & networks
    out: dict[str, Any] = {}
    for number, (account, k) in enumerate(e.set_aside):
        if k is None or not e.sent[k]:
            continue
        times = [event["t"] for event in e.sent[k]]
        if account["rule"] == "product":
            products = e.aside["products"] if e.aside is not None else {}
            uses = [(event["t"], products[event["u"]]) for event in e.sent[k] if event["u"] in products]
            until = [(t, name) for t, name in uses if t <= us(account["last"])]
            out[f"{number}.last"], out[f"{number}.product"] = until[-1] if until else (0, "")
        if account["rule"] == "event":
            out[f"{number}.first"], out[f"{number}.last"] = min(times), max(times)
        if account.get("network") is not None:  # its number, if it stands for one network
            out[f"{number}.network"] = account["network"] if numbered[account["network"]] else 0
    return out


def rules_broken(e: OpenedBundle) -> Iterator[str]:
    """Yield accounts whose events and facts do not fit the rule by which they were set aside."""
    place: Counter[str] = Counter()
    numbers_listed = {k for _, k in e.set_aside if k is not None}
    for account in {*e.named, *numbers_listed}:
        place.update(e.main_networks(account))
    for name, k in e.set_aside:
        if k is None:
            continue
        who, times = f"set_aside.json: {name['account']!a}", [event["t"] for event in e.sent[k]]
        if name["rule"] in ("site", "event") and not any(place[n] > 1 for n in e.main_networks(k)):
            yield f"{who} shares its network with nobody here"
        if name["rule"] == "event" and times and max(times) - min(times) > EVENT_US:
            yield f"{who} was at an event, and sent requests over more than three days"
        if name["rule"] == "event" and e.accounts[k]["payment"] is not None:
            yield f"{who} was at an event, and pays"


def together(e: OpenedBundle) -> str:
    """Report how many of the accused send most from a network that three of them use; "" if none does."""
    of = {k: e.main_networks(k) for k in e.named}
    place = Counter(n for networks in of.values() for n in networks)
    count = sum(any(place[n] > 2 for n in networks) for networks in of.values())
    if not count:
        return ""
    return (
        f"{count} of the {len(of)} accused accounts send most from a network that two others of them send "
        "most from: that they sit at no site, and were at no event, rests on `asn` and payment, the "
        "sender's word"
    )
