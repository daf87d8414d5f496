"""Notifications in the console: mentions in notes, overdue cases.

Users with an address also get mail. It has the case's title and a link, never a note.
"""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Unpack

from sqlalchemy import func, select, update

from stillwatch.cases import MACHINE, Case, handling
from stillwatch.cases.exports.messages import CaseMessage, message_text
from stillwatch.cases.exports.notices import event_source
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.severity import Severity
from stillwatch.cases.exports.sinks import ExportTarget, email
from stillwatch.cases.handling import Authorship
from stillwatch.cases.store import Store, Transaction
from stillwatch.cases.tables import acts, among, cases
from stillwatch.console import people
from stillwatch.console.migrations import addresses, notices, users
from stillwatch.report.amounts import plural
from stillwatch.report.visible import visible
from stillwatch.units import DAY_US, MINUTE_US

MENTION, OVERDUE = "mention", "overdue"
NAMED = re.compile(r"(?<![\w@.-])@([a-z0-9][a-z0-9._@-]{0,63})", re.IGNORECASE | re.ASCII)
MOST_NAMED = 20  # people per note
SHOWN, LISTED = 50, 20  # notices on the page; cases in one letter
FRESH_US = DAY_US  # older ones are not mailed any more
APART_US = 15 * MINUTE_US  # between two letters to one person


@dataclass(frozen=True)
class Notice:
    """A notification of one person."""

    number: int
    kind: str
    case: str
    title: str
    who: str
    at_us: int
    seen_us: int | None


def names_in(text: str) -> list[str]:
    """Return the names that a note mentions, in order, whether or not they are users.

    >>> names_in("@Anna, ask @ben.k. about a@b.example and @anna's @ben.k")
    ['anna', 'ben.k']
    """
    mentions = (match[1].lower().rstrip("._@-") for match in NAMED.finditer(text))
    return list(dict.fromkeys(mentions))[:MOST_NAMED]


def note(store: Store, case_id: str, text: str, **by: Unpack[Authorship]) -> Case:
    """Add a note to a case and notify the people mentioned. Requires `people.prepare`."""
    mentioned = [name for name in names_in(text) if name != by["who"]]

    def tell_named(tx: Transaction, act: int) -> None:
        tell_in(tx, mentioned, MENTION, case_id, by["who"], act)

    return handling.note(store, case_id, text, then=tell_named if mentioned else None, **by)


def tell_in(
    tx: Transaction, names: Collection[str], kind: str, case_id: str, who: str, act: int | None = None
) -> list[str]:
    """Notify those of some people who may log in, in a transaction; return them."""
    may = select(users.c.name, addresses.c.address)
    may = may.outerjoin(addresses, addresses.c.person == users.c.name)
    may = may.where(people.present(tx.now_us), among(tx.db, users.c.name, names))
    rows = tx.db.execute(may.order_by(users.c.name)).all()
    last = int(tx.db.execute(select(func.coalesce(func.max(notices.c.number), 0))).scalar_one())
    for number, row in enumerate(rows, last + 1):
        values = {"number": number, "person": row.name, "kind": kind, "case_id": case_id, "act": act}
        values |= {"who": who, "at_us": tx.now_us, "sent_us": None if row.address else 0}
        tx.db.execute(notices.insert().values(**values))
    return [row.name for row in rows]


def of_user(store: Store, name: str) -> list[Notice]:
    """List a user's notifications, newest first, without retracted notes."""
    n = notices.c
    query = select(n.number, n.kind, n.case_id, cases.c.title, n.who, n.at_us, n.seen_us)
    query = query.join(cases, cases.c.id == n.case_id).outerjoin(acts, acts.c.act == n.act)
    query = query.where(n.person == name, (n.act.is_(None)) | (acts.c.in_force == 1))
    with store.reading() as db:
        return [Notice(*row) for row in db.execute(query.order_by(n.number.desc()).limit(SHOWN))]


def count_unread(store: Store, name: str) -> int:
    """Count a user's unread notifications."""
    n = notices.c
    query = select(func.count()).where(n.person == name, n.seen_us.is_(None))
    with store.reading() as db:
        return int(db.execute(query).scalar_one())


def mark_read(store: Store, name: str, until: int, now_us: int) -> None:
    """Mark a user's notifications as read, up to one that they have seen."""
    n = notices.c
    unread = update(notices).where(n.person == name, n.number <= until, n.seen_us.is_(None))
    with store.writing(now_us) as tx:
        if tx.db.execute(unread.values(seen_us=now_us)).rowcount:
            tx.audit(name, "notices read", name, {"until": until})


def mail(
    outbox: Outbox, targets: Sequence[ExportTarget], store: Store, now_us: int, base_url: str = ""
) -> int:
    """Put one mail for each person with news into the outbox, not too often; return how many.

    It goes through the first mail server of the owner's list; without one nobody is mailed. Raises:
    ExportError.
    """
    server = next((target for target in targets if target.kind == email.NAME), None)
    n = notices.c
    query = select(n.number, n.person, n.kind, n.who, n.case_id, cases.c.title, addresses.c.address)
    query = query.join(users, users.c.name == n.person).join(addresses, addresses.c.person == n.person)
    query = query.join(cases, cases.c.id == n.case_id)
    query = query.where(n.sent_us.is_(None), n.at_us > now_us - FRESH_US)
    lately = notices.alias().c
    apart = lately.sent_us.between(now_us - APART_US, now_us + APART_US)  # ignores a clock that was ahead
    query = query.where(people.present(now_us), n.person.not_in(select(lately.person).where(apart)))
    query = query.order_by(n.number)
    if server is None:
        return 0
    with store.reading() as db:
        if db.execute(query.limit(1)).first() is None:
            return 0
    source = event_source(store.installation())
    with store.writing(now_us) as tx:  # others wait: nobody is notified twice, unless this process dies here
        news: dict[str, list[tuple[int, str, str]]] = {}
        to: dict[str, str] = {}
        for row in tx.db.execute(query):
            line = _line(row.kind, row.who, row.case_id, row.title, base_url)
            news.setdefault(row.person, []).append((row.number, row.case_id, line))
            to[row.person] = row.address
        for person, news_lines in news.items():
            numbers = [number for number, _, _ in news_lines]
            shaped = email.write(
                digest(f"{plural(len(news_lines), 'notice')} for you", [x for _, _, x in news_lines], source)
            )
            body = message_text({**json.loads(shaped), "to": to[person]})
            digested = hashlib.sha256(f"{person}\0{numbers}".encode("utf-8", "surrogatepass")).hexdigest()
            outbox.put(server.name, f"sw_{digested[:32]}", news_lines[0][1], body, now_us)
            # not each by its number: SQLite takes 32,766, and a program may mention somebody as often
            theirs = update(notices).where(n.person == person, n.number <= numbers[-1], n.sent_us.is_(None))
            tx.db.execute(theirs.values(sent_us=now_us))
            tx.audit(MACHINE, "notices mailed", person, {"notices": len(numbers)})
    return len(news)


def digest(head: str, lines: Sequence[str], source: str, case: str = "", base_url: str = "") -> CaseMessage:
    """Return a message about several cases, one line each. case: if there is only one."""
    body = lines[:LISTED]
    if left_out := len(lines) - len(body):
        body = [*body, f"and {left_out:,} more"]
    link = base_url.rstrip("/") + "/queue" if base_url.startswith(("https://", "http://")) else ""
    return CaseMessage(head, tuple(body), link, case, Severity.HIGH, False, source)


def _line(kind: str, who: str, case: str, title: str, base_url: str) -> str:
    sentence = f"{visible(who, 64)} mentioned you in a note" if kind == MENTION else "A case is overdue"
    link = f" {base_url.rstrip('/')}/cases/{case}" if base_url.startswith(("https://", "http://")) else ""
    return f"{sentence}: {visible(title, 200)} ({case}).{link}"
