"""What the events show of the accounts that a finding set aside: no other package.

It travels in each bundle, beside `recompute.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .bundle_events import HOUR_US, OpenedBundle, us

EVENT_US = 72 * HOUR_US  # in which people at an event ask all that they ask: docs/evidence.md, 4
# of an account that was set aside
FACTS = (
    "product", "network", "asn", "accounts_there", "first", "last", "mail_domain", "ahead", "carried",
    "kind_of_use", "finding",
)  # fmt: skip


def set_aside(e: OpenedBundle) -> dict[str, Any]:
    """Of each account that was set aside what its events show of the facts that its rule rests on."""
    numbered: dict[int, set[str]] = {}
    for one, k in e.set_aside:
        if k is not None and one.get("network") is not None:
            mine = e.main_networks(k)
            numbered[one["network"]] = numbered.get(one["network"], mine) & mine
    out: dict[str, Any] = {}
    for number, (one, k) in enumerate(e.set_aside):
        if k is None or not e.sent[k]:
            continue
        times = [event["t"] for event in e.sent[k]]
        if one["rule"] == "product":
            products = e.aside["products"] if e.aside is not None else {}
            named = [(event["t"], products[event["u"]]) for event in e.sent[k] if event["u"] in products]
            until = [(t, name) for t, name in named if t <= us(one["last"])]
            out[f"{number}.last"], out[f"{number}.product"] = until[-1] if until else (0, "")
        if one["rule"] == "event":
            out[f"{number}.first"], out[f"{number}.last"] = min(times), max(times)
        if one.get("network") is not None:  # its number, where all who have that number share a network
            out[f"{number}.network"] = one["network"] if numbered[one["network"]] else 0
    return out


def rules_broken(e: OpenedBundle) -> Iterator[str]:
    """Where an account was set aside by a rule that its own events and facts do not fit."""
    place: Counter[str] = Counter()
    shown = {k for _, k in e.set_aside if k is not None}
    for account in {*e.named, *shown}:
        place.update(e.main_networks(account))
    for one, k in e.set_aside:
        if k is None:
            continue
        who, times = f"set_aside.json: {one['account']!a}", [event["t"] for event in e.sent[k]]
        if one["rule"] in ("site", "event") and not any(place[n] > 1 for n in e.main_networks(k)):
            yield f"{who} shares its network with nobody here"
        if one["rule"] == "event" and times and max(times) - min(times) > EVENT_US:
            yield f"{who} was at an event, and sent requests over more than three days"
        if one["rule"] == "event" and e.accounts[k]["payment"] is not None:
            yield f"{who} was at an event, and pays"


def together(e: OpenedBundle) -> str:
    """Say how many of the accused send most from a network of three of them; "" where none does."""
    of = {k: e.main_networks(k) for k in e.named}
    place = Counter(n for mine in of.values() for n in mine)
    many = sum(any(place[n] > 2 for n in mine) for mine in of.values())
    if not many:
        return ""
    return (
        f"{many} of the {len(of)} accused accounts send most from a network that two others of them send "
        "most from: that they sit at no site, and were at no event, rests on `asn` and payment, the "
        "sender's word"
    )
