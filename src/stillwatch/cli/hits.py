"""Prints the result of a search for indicators, and how many matches are expected by chance."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from stillwatch.cases.indicators import Hits, Partner
from stillwatch.cli.folder import iso_time, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.report.amounts import plural, short

SHOWN = 20  # matching accounts in the table; --json has all


def show_partners(partners: tuple[Partner, ...], sealed: bool, as_json: bool) -> None:
    """Print the content of a partner's file."""
    if as_json:
        plain = [
            {
                **asdict(replace(partner, indicators=())),
                "sealed": sealed,
                "indicators": _indicator_counts(partner),
            }
            for partner in partners
        ]
        print_json(plain)
        return
    rows = [
        (
            partner.name,
            partner.sender if sealed else f"{partner.sender} (a claim)",
            partner.tlp,
            ", ".join(f"{count} {kind}" for kind, count in _indicator_counts(partner).items()),
            partner.expired + partner.foreign,
        )
        for partner in partners
    ]
    table(("campaign", "sender", "TLP", "marks that hold", "others"), rows, "nothing")


def _indicator_counts(partner: Partner) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, indicator in partner.indicators:
        counts[indicator.kind] = counts.get(indicator.kind, 0) + 1
    return counts


def show_hits(hits: list[Hits], own_accounts: Sequence[str], as_json: bool) -> None:
    """Print the accounts that match a campaign's indicators; accounts already in the case come last."""
    own = set(own_accounts)
    if as_json:
        print_json([_hits_as_json(partner_hits, own) for partner_hits in hits])
        return
    for partner_hits in hits:
        print(_hits_sentence(partner_hits, own))
        rows = [
            (
                match.account,
                "in the case" if match.account in own else "carried it before" if match.before else "",
                f"{match.exchanges:,} of {match.rows:,}",
                iso_time(match.first_us),
                iso_time(match.last_us),
                ", ".join(match.kinds),
            )
            for match in sorted(
                partner_hits.accounts, key=lambda m: (m.account in own, -m.exchanges, m.account)
            )
        ]
        if rows:
            table(("account", "", "exchanges", "first", "last", "carries"), rows[:SHOWN], "")
        if len(rows) > SHOWN:
            print(f"and {plural(len(rows) - SHOWN, 'account')} more: --json has all")
        for line in _limits_of_hits(partner_hits):
            print(line)


def _hits_sentence(hits: Hits, own_names: set[str]) -> str:
    others = sum(match.account not in own_names for match in hits.accounts)
    partner_name = hits.partner.name or hits.partner.id
    whose = partner_name if own_names else f"{partner_name} of {hits.partner.sender}"
    who = f"{plural(others, 'account')} of {hits.compared:,}{' beside its own' if own_names else ''}"
    return one_line(
        f"{whose}: {who}; {hits.exchanges:,} of {plural(hits.searched, 'exchange')} carry one of its "
        f"{plural(len(hits.partner.indicators), 'mark')}."
    )


def _limits_of_hits(hits: Hits) -> list[str]:
    """Return the limits of a search that a person must know before relying on it."""
    chance = hits.chance
    if hits.fitting:
        return [
            f"Nobody is named: its marks fit {hits.fitting:,} of {hits.compared:,} accounts here, which no "
            "campaign is. Ask the sender for marks that only its accounts carry."
        ]
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
    if hits.unnamed:
        accounts_text = plural(hits.unnamed, "account")
        lines.append(
            f"{accounts_text} not named: a mark stands in one exchange, or in a few among very many."
        )
    if hits.blind:
        lines.append(
            f"{plural(hits.blind, 'exchange')} not compared: only sketches under another key are there."
        )
    lines.append("Wording can be copied: who carries a mark is not thereby one of them.")
    return lines


def _hits_as_json(hits: Hits, own_names: set[str]) -> dict[str, Any]:
    matching_accounts = [
        {
            "account": match.account,
            "in_case": match.account in own_names,
            "exchanges": match.exchanges,
            "of": match.rows,
            "first": iso_time(match.first_us),
            "last": iso_time(match.last_us),
            "kinds": list(match.kinds),
            "before": match.before,
        }
        for match in hits.accounts
    ]
    return {
        "campaign": hits.partner.id,
        "sender": hits.partner.sender,
        "tlp": hits.partner.tlp,
        "marks": len(hits.partner.indicators),
        "searched": hits.searched,
        "blind": hits.blind,
        "exchanges": hits.exchanges,
        "first": iso_time(hits.first_us),
        "last": iso_time(hits.last_us),
        "carriers": matching_accounts,
        "unnamed": hits.unnamed,
        "compared": hits.compared,
        "fitting": hits.fitting,
        "seen": [
            {"mark": id, "exchanges": count, "first": iso_time(first), "last": iso_time(last)}
            for id, count, first, last in hits.seen
        ],
        "chance": asdict(hits.chance),
    }
