"""Prints what a search for indicators found, and how much of it would be there anyway. It is no verb."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from stillwatch.cases.indicators import Hits, Partner
from stillwatch.cli.folder import iso_time, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.report.amounts import plural, short

SHOWN = 20  # carriers in the table; --json has all


def show_partners(partners: tuple[Partner, ...], sealed: bool, as_json: bool) -> None:
    """Print what a partner's file holds."""
    if as_json:
        plain = [
            {**asdict(replace(one, indicators=())), "sealed": sealed, "indicators": _kinds(one)}
            for one in partners
        ]
        print_json(plain)
        return
    rows = [
        (
            one.name,
            one.sender if sealed else f"{one.sender} (a claim)",
            one.tlp,
            ", ".join(f"{many} {kind}" for kind, many in _kinds(one).items()),
            one.expired + one.foreign,
        )
        for one in partners
    ]
    table(("campaign", "sender", "TLP", "marks that hold", "others"), rows, "nothing")


def _kinds(one: Partner) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, indicator in one.indicators:
        found[indicator.kind] = found.get(indicator.kind, 0) + 1
    return found


def show_hits(hits: list[Hits], mine: Sequence[str], as_json: bool) -> None:
    """Print who carries a campaign's marks; accounts that are in the case already (`mine`) come last."""
    known = set(mine)
    if as_json:
        print_json([_plain(one, known) for one in hits])
        return
    for one in hits:
        print(_sentence(one, known))
        rows = [
            (
                carrier.account,
                "in the case" if carrier.account in known else "carried it before" if carrier.before else "",
                f"{carrier.exchanges:,} of {carrier.rows:,}",
                iso_time(carrier.first_us),
                iso_time(carrier.last_us),
                ", ".join(carrier.kinds),
            )
            for carrier in sorted(one.carriers, key=lambda c: (c.account in known, -c.exchanges, c.account))
        ]
        if rows:
            table(("account", "", "exchanges", "first", "last", "carries"), rows[:SHOWN], "")
        if len(rows) > SHOWN:
            print(f"and {plural(len(rows) - SHOWN, 'account')} more: --json has all")
        for line in _honestly(one):
            print(line)


def _sentence(one: Hits, known: set[str]) -> str:
    others = sum(carrier.account not in known for carrier in one.carriers)
    what = one.partner.name or one.partner.id
    whose = what if known else f"{what} of {one.partner.sender}"
    who = f"{plural(others, 'account')}{' beside its own' if known else ''}"
    return one_line(
        f"{whose}: {who}; {one.exchanges:,} of {plural(one.searched, 'exchange')} carry one of its "
        f"{plural(len(one.partner.indicators), 'mark')}."
    )


def _honestly(one: Hits) -> list[str]:
    """What a person must know before believing it."""
    chance = one.chance
    lines = [f"By collision of hashes alone: {short(chance.collisions)} exchanges expected."]
    if chance.expected is None:
        lines.append(
            "No day of this history lies before the campaign's first exchange: no base rate can be told."
        )
    else:
        lines.append(
            f"Before the campaign's first exchange {plural(chance.before, 'account')} carried a mark in "
            f"{chance.before_days:.0f} days; at that rate {chance.expected:.1f} would since."
        )
    if one.unnamed:
        many = plural(one.unnamed, "account")
        lines.append(f"{many} not named: a mark stands in one exchange, or in a few among very many.")
    if one.blind:
        lines.append(
            f"{plural(one.blind, 'exchange')} not compared: only sketches under another key are there."
        )
    lines.append("Wording can be copied: who carries a mark is not thereby one of them.")
    return lines


def _plain(one: Hits, known: set[str]) -> dict[str, Any]:
    carriers = [
        {
            "account": carrier.account,
            "in_case": carrier.account in known,
            "exchanges": carrier.exchanges,
            "of": carrier.rows,
            "first": iso_time(carrier.first_us),
            "last": iso_time(carrier.last_us),
            "kinds": list(carrier.kinds),
            "before": carrier.before,
        }
        for carrier in one.carriers
    ]
    return {
        "campaign": one.partner.id,
        "sender": one.partner.sender,
        "tlp": one.partner.tlp,
        "marks": len(one.partner.indicators),
        "searched": one.searched,
        "blind": one.blind,
        "exchanges": one.exchanges,
        "first": iso_time(one.first_us),
        "last": iso_time(one.last_us),
        "carriers": carriers,
        "unnamed": one.unnamed,
        "seen": [
            {"mark": id, "exchanges": many, "first": iso_time(first), "last": iso_time(last)}
            for id, many, first, last in one.seen
        ],
        "chance": asdict(one.chance),
    }
