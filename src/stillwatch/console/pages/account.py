"""An account: its cases, its ties, its enforcement status, its days. Its texts stay hidden: see `prompts`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sqlalchemy import select

from stillwatch.cases import Member, RecordNotFound, reading, tables
from stillwatch.console import Unavailable
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.case import standings
from stillwatch.console.recorded import SignUpFacts
from stillwatch.scan import Link

LINKS = 100
NEAREST = 12


@dataclass(frozen=True)
class NearestAccount:
    """An account of the same group, with the clues that both have."""

    account: str
    clues: tuple[str, ...]
    bits: float  # of those clues, for that account


def named_account(request: PageRequest) -> str:
    """Return the account that the address names. Raises: RecordNotFound."""
    key = request.query("key")
    if not key:
        return request.query("name")
    with request.store.reading() as db:
        account_row = db.execute(
            select(tables.members.c.account).where(tables.members.c.key == key).limit(1)
        ).scalar()
    if account_row is None:
        raise RecordNotFound("no case names such an account")
    return str(account_row)


def show(request: PageRequest) -> Shown:
    name = named_account(request)
    inside = reading.account(request.store, name)
    if not inside:
        raise RecordNotFound(f"no case names the account {name[:100]!a}")
    ties: list[dict[str, Any]] = []
    near: list[NearestAccount] = []
    for membership in inside:
        if membership.member.moved_to is None:
            links_of_case = request.desk.looks.links(membership.case.id)
            own_links = list(islice((link for link in links_of_case if name in (link.a, link.b)), LINKS))
            accounts = {link.a for link in links_of_case}  # the other end of most links is the campaign
            for link in own_links:
                (other,) = {link.a, link.b} - {name} or {name}
                ties.append(
                    {"case": membership.case.id, "link": link, "other": other if other in accounts else None}
                )
            near += nearest(name, links_of_case)
    shown = standings(request, [name])
    verdict, why_not = None, None
    try:
        verdict = request.deployment.verdict(name)
    except Unavailable as why:
        why_not = str(why)
    rows = [
        {
            "case": membership.case.id,
            "title": membership.case.title,
            "named": iso_us(membership.member.since_us),
            "exchanges": membership.member.exchanges,
            "verdict": membership.member.verdict,
            "actor": membership.member.actor,
            "tied": membership.member.tied,
            "moved_to": membership.member.moved_to,
        }
        for membership in inside
    ]
    standing = None if shown is None else shown.get(name)
    data = {
        "account": name, "cases": rows, "standing": standing, "standing_known": shown is not None,
        "kind_of_use": verdict.kind_of_use if verdict else None,
        "kind_evidence": verdict.kind_evidence if verdict else None,
        "p_value": verdict.p_value if verdict else None,
        "links": [{"case": t["case"], "link": t["link"]} for t in ties], "nearest": near,
    }  # fmt: skip
    view = {
        "account": name, "inside": inside, "ties": ties, "standing": standing, "known": shown is not None,
        "verdict": verdict, "why_not": why_not, "near": near,
    }  # fmt: skip
    return Shown("account.html.j2", f"Account {name[:60]}", data, rows, view)


def nearest(name: str, links: Sequence[Link], most: int = NEAREST) -> list[NearestAccount]:
    """Return the accounts of a group with most of an account's clues, by number of clues, then by bits.

    Sharing a clue is not sharing a value: two accounts can share networks with others and none with each
    other.
    """
    own_clues = {link.clue for link in links if link.a == name}
    bits_by_clue: dict[str, dict[str, float]] = {}
    for link in links:
        if link.clue in own_clues and link.a != name:
            bits_by_clue.setdefault(link.a, {})[link.clue] = link.bits
    ranked = sorted(bits_by_clue.items(), key=lambda one: (-len(one[1]), -sum(one[1].values()), one[0]))
    return [NearestAccount(a, tuple(sorted(clues)), sum(clues.values())) for a, clues in ranked[:most]]


def days(request: PageRequest) -> Shown:
    """Show an account's days beside its group's, and its events. No texts are shown."""
    name = named_account(request)
    inside = [entry for entry in reading.account(request.store, name) if entry.member.moved_to is None]
    if not inside:
        raise RecordNotFound(f"no case names the account {name[:100]!a}")
    case = inside[-1].case.id
    group = [other for other in request.store.case(case).accounts if other != name]
    recorded = request.recorded_exchanges()
    activity = recorded.activity(name, group)
    events = _events(request, name, case, inside[-1].member, recorded.facts(name))
    rows = [asdict(day) for day in activity]
    data = {"account": name, "case": case, "group": len(group), "days": rows, "events": [
        {"at": iso_us(at_us), "what": event_text} for at_us, event_text in events
    ]}  # fmt: skip
    view = {"account": name, "case": case, "group": len(group), "days": activity, "events": events}
    return Shown("days.html.j2", f"Days of {name[:60]}", data, rows, view)


def _events(
    request: PageRequest, name: str, case: str, member: Member, facts: SignUpFacts | None
) -> list[tuple[int, str]]:
    """Return an account's events, newest first."""
    events = [(member.since_us, f"named in {case}")]
    if facts is not None and facts.created_us is not None:
        details = ", ".join(word for word in (facts.org, facts.tier, facts.country) if word)
        events.append((facts.created_us, "signed up" + (f" ({details})" if details else "")))
    key = tables.key_of(name)
    for act in reading.acts(request.store, case):
        if not act.in_force:
            continue
        for group in act.sets.get("accounts") or ():
            if key in group["keys"]:
                events.append((act.at_us, f"judged {group['verdict'] or 'nothing any more'} by {act.who}"))
    standing = (standings(request, [name]) or {}).get(name)
    if standing is not None:
        events.append((standing.since_us, f"{standing.step.name.lower()}: {standing.reason}"))
    return sorted(events, reverse=True)
