"""Which names are one person, for every rule that requires another person: approvals, second names, appeals.

A name is a user of the console or of the machine. Names linked by an administrator are one person, as are
names ever bound to one identity at a provider. Names with the same mail address, or that differ only by a
domain, are presumed to be one person until an administrator says otherwise. A new name or address separates
nobody: marks stay until a user who has left is forgotten (`forget`).

A mark is an HMAC under a key that is stored in the database, sealed by the audit key, so the tables alone do
not allow testing addresses. Older marks have no key; each gets it once its value is seen again (`renew`).
"""

import hashlib
import hmac
import json
import secrets
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, delete, func, select

from stillwatch.cases import MACHINE, CaseError, CaseState
from stillwatch.cases.store import Store, Transaction
from stillwatch.cases.tables import acts, cases, identity_keys, identity_marks, person_links
from stillwatch.units import DAY_US

LONGEST_NAME = 200
LONGEST_ADDRESS = 254  # RFC 5321
MOST_NAMES = 50  # linked or unlinked at once: each pair is a row
SEALER = "stillwatch_sealer"  # the engine's connection option that holds a `SecretSealer`
KEYED, KEY_BYTES = "hmac:", 32
APPEAL_US = 183 * DAY_US  # customers may complain for six months (Digital Services Act, Art. 20)
DOTLESS = frozenset({"gmail.com", "googlemail.com"})  # one mailbox, with or without dots


class SecretSealer(Protocol):
    """Seals secrets of the database under a key that is not in it: `audit.trail.Audit` is one."""

    def seal_secret(self, db: Connection, secret: bytes) -> str: ...

    def unseal_secret(self, db: Connection, sealed: str) -> bytes: ...


class IdentityMark(StrEnum):
    """Evidence that two names are one person."""

    ADDRESS = "address"  # of mail
    IDENTITY = "identity"  # issuer and subject at a provider


@dataclass(frozen=True)
class PersonLink:
    """An administrator's statement about two names."""

    at_us: int
    names: frozenset[str]
    is_one: bool


class Persons:
    """The names that count as one person."""

    def __init__(
        self,
        links: Sequence[PersonLink],
        marks: Iterable[tuple[str, IdentityMark, str]],
        key: bytes | None = None,
    ) -> None:
        """links: in their order. marks: name, kind, digest. key: the marks' own; None: there is none."""
        self._keys = {key, None}  # older marks have none
        self._links: dict[frozenset[str], list[PersonLink]] = defaultdict(list)
        self._near: dict[str, set[str]] = defaultdict(set)  # names presumed to be one person, with evidence
        self._marks: dict[str, set[tuple[IdentityMark, str]]] = defaultdict(set)
        for link in links:
            self._links[link.names].append(link)
            _join(self._near, link.names)
        owners: dict[tuple[IdentityMark, str], set[str]] = defaultdict(set)
        for name, kind, digest in marks:
            self._marks[name].add((kind, digest))
            owners[kind, digest].add(name)
        for (kind, _), names in owners.items():
            if kind is IdentityMark.IDENTITY:
                _join(self._near, names)

    @classmethod
    def read(cls, db: Connection) -> "Persons":
        """Read the stored links and marks."""
        k, m = person_links.c, identity_marks.c
        links = db.execute(select(k.at_us, k.name, k.other, k.is_one).order_by(k.link))
        marks = db.execute(select(m.name, m.kind, m.digest))
        return cls(
            [PersonLink(row.at_us, frozenset((row.name, row.other)), bool(row.is_one)) for row in links],
            [(row.name, IdentityMark(row.kind), row.digest) for row in marks],
            mark_key(db),
        )

    def why_one(self, name: str, other: str, since_us: int) -> str | None:
        """Return why two names count as one person for acts at a time; None if they are two.

        A link or a shared identity that existed at any time since counts: separating names now does not
        affect earlier acts. Mere presumptions are corrected for the past, too.
        """
        if name == other:
            return "one name"
        own_names, others = self._linked_names(name, since_us), self._linked_names(other, since_us)
        if other in own_names:
            return "an administrator linked them, or the identity provider knows them as one"
        return next((why for a in own_names for b in others if (why := self._why_presumed(a, b))), None)

    def names_of(self, name: str, names: Iterable[str], since_us: int) -> list[str]:
        """Return those of some names that are this person."""
        return [other for other in names if self.why_one(name, other, since_us)]

    def _linked_names(self, name: str, since_us: int) -> list[str]:
        names, new = {name}, [name]
        while new:
            current = new.pop()
            others = [
                o
                for o in self._near.get(current, ())
                if o not in names and self._were_one(current, o, since_us)
            ]
            names.update(others)
            new += others
        return sorted(names)

    def _were_one(self, name: str, other: str, since_us: int) -> bool:
        """Return whether two names were one person, by a link or an identity, at any time since."""
        is_one = IdentityMark.IDENTITY in {kind for kind, _ in self._shared_marks(name, other)}
        for link in self._links.get(frozenset((name, other)), ()):
            is_one = link.is_one if link.at_us <= since_us else is_one or link.is_one
        return is_one

    def _why_presumed(self, name: str, other: str) -> str | None:
        if name == other:
            return "one name"
        words = self._links.get(frozenset((name, other)), ())
        if words and not words[-1].is_one:
            return None
        if IdentityMark.ADDRESS in {kind for kind, _ in self._shared_marks(name, other)}:
            return "they have one mail address"
        return "their names differ in nothing but a domain" if bare_name(name) == bare_name(other) else None

    def _shared_marks(self, name: str, other: str) -> set[tuple[IdentityMark, str]]:
        return self._marks_of(name) & self._marks_of(other)

    def _marks_of(self, name: str) -> set[tuple[IdentityMark, str]]:
        kind = IdentityMark.ADDRESS
        own_marks = {(kind, mark_digest(kind, name, key)) for key in self._keys} if "@" in name else set()
        return self._marks.get(name, set()) | own_marks


def _join(near: dict[str, set[str]], names: Iterable[str]) -> None:
    for a, b in combinations(sorted(names), 2):
        near[a].add(b)
        near[b].add(a)


def bare_name(name: str) -> str:
    r"""Return a name without parts that only say where it comes from.

    >>> bare_name("Anna@corp.example"), bare_name("CORP\\anna"), bare_name("anna+test")
    ('anna', 'anna', 'anna')
    """
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    bare = folded.rpartition("\\")[2].partition("@")[0].partition("+")[0]
    return bare or folded


def bare_address(address: str) -> str:
    """Return a mail address in the form of its mailbox.

    >>> bare_address("Anna+x@Corp.example."), bare_address("a.nna@googlemail.com")
    ('anna@corp.example', 'anna@gmail.com')
    """
    local, _, domain = unicodedata.normalize("NFKC", address).casefold().strip().rpartition("@")
    local, domain = local.partition("+")[0] or local, domain.rstrip(".")
    return f"{local.replace('.', '')}@gmail.com" if domain in DOTLESS else f"{local}@{domain}"


def identity_value(issuer: str, subject: str) -> str:
    """Return an identity at a provider as one text."""
    return f"{issuer}\0{subject}"


def mark_digest(kind: IdentityMark, value: str, key: bytes | None = None) -> str:
    """Return a mark's stored digest; without a key, in the older form."""
    text = bare_address(value) if kind is IdentityMark.ADDRESS else value
    data = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
    if key is None:
        return hashlib.sha256(data).hexdigest()
    return KEYED + hmac.digest(key, data, "sha256").hex()


def mark_key(db: Connection, *, make: bool = False) -> bytes | None:
    """Return the key of a database's marks; None if there is none and none is created.

    make: create it if there is none and an audit key can seal it. Raises: AuditError for another audit key.
    """
    sealer: SecretSealer | None = db.get_execution_options().get(SEALER)
    sealed = db.execute(select(identity_keys.c.sealed)).scalar()
    if sealed is not None and sealer is None:
        raise CaseError("the key of identity marks is sealed by the audit key, which was not given")
    if sealer is None or (sealed is None and not make):
        return None
    if sealed is not None:
        return sealer.unseal_secret(db, sealed)
    new_key = secrets.token_bytes(KEY_BYTES)
    db.execute(identity_keys.insert().values(sealed=sealer.seal_secret(db, new_key)))
    return new_key


def remember(tx: Transaction, name: str, kind: IdentityMark, value: str) -> None:
    """Store a mark of a name. If it makes names one person, this is recorded."""
    renew(tx, kind, value)
    m = identity_marks.c
    digest = mark_digest(kind, value, mark_key(tx.db, make=True))
    owners = select(m.name).where(m.kind == str(kind), m.digest == digest)
    others = set(tx.db.execute(owners).scalars())
    if name in others:
        return
    tx.db.execute(
        identity_marks.insert().values(name=name, kind=str(kind), digest=digest, since_us=tx.now_us)
    )
    if others:
        tx.audit(MACHINE, "names count as one person", name, {"with": sorted(others), "share": str(kind)})


def renew(tx: Transaction, kind: IdentityMark, value: str) -> int:
    """Add the key to all marks of a value that have none yet; return how many."""
    key, m = mark_key(tx.db, make=True), identity_marks.c
    if key is None:
        return 0
    plain = (m.kind == str(kind)) & (m.digest == mark_digest(kind, value))
    rows = [dict(row) for row in tx.db.execute(select(identity_marks).where(plain)).mappings()]
    if rows:
        digest = mark_digest(kind, value, key)
        _delete_marks(tx.db, plain)
        marked = set(tx.db.execute(select(m.name).where(m.kind == str(kind), m.digest == digest)).scalars())
        for row in rows:
            if row["name"] not in marked:
                tx.db.execute(identity_marks.insert().values(row | {"digest": digest}))
    return len(rows)


def unkeyed_marks(db: Connection) -> int:
    """Count the older marks whose value has not been seen since."""
    plain = ~identity_marks.c.digest.startswith(KEYED)
    return int(db.execute(select(func.count()).select_from(identity_marks).where(plain)).scalar_one())


def names_sharing(db: Connection, name: str) -> list[str]:
    """Return a name and those that share a mark with it."""
    m, own_mark = identity_marks.c, identity_marks.alias().c
    is_shared = (m.kind == own_mark.kind) & (m.digest == own_mark.digest) & (own_mark.name == name)
    return sorted({name, *db.execute(select(m.name).where(is_shared)).scalars()})


def forget(tx: Transaction, name: str) -> int:
    """Delete a name's marks, once no rule needs them any more; return how many.

    Raises: CaseError while that person's acts, under any name that shares a mark, can still be appealed, or
    are in an open case.
    """
    for other_name in names_sharing(tx.db, name):
        _check_past(tx.db, other_name, tx.now_us)
    return _delete_marks(tx.db, identity_marks.c.name == name)


def _check_past(db: Connection, name: str, now_us: int) -> None:
    """Refuse while another person may still have to judge this one's part in a case. Raises: CaseError."""
    a, c = acts.c, cases.c
    did = (a.who == name) | a.sets.contains(json.dumps({"approver": name})[1:-1], autoescape=True)
    last = db.execute(select(func.max(a.at_us)).where(did)).scalar()
    if last is not None and last > now_us - APPEAL_US:
        raise CaseError(
            f"{name!a} had a part in a case within {APPEAL_US // DAY_US} days: customers may appeal, and "
            "whoever decides must not be the same person"
        )
    cases_open = select(c.id).where(c.id.in_(select(a.case_id).where(did)))
    cases_open = cases_open.where(
        (c.state != str(CaseState.CLOSED)) | c.appeal.is_not(None), c.merged_into.is_(None)
    )
    if open_case := db.execute(cases_open.limit(1)).scalar():
        raise CaseError(f"{name!a} had a part in {open_case}, which is open; close it first")


def _delete_marks(db: Connection, condition: ColumnElement[bool]) -> int:
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrites the rows with zeroes
    return db.execute(delete(identity_marks).where(condition)).rowcount


def link(
    store: Store, names: Sequence[str], is_one: bool, *, who: str, why: str, now_us: int
) -> list[frozenset[str]]:
    """Declare that names are one person, or that each is another; return the pairs.

    Separating applies to acts from then on, and must be done by somebody else. Raises: CaseError.
    """
    chosen = sorted(set(names))
    if not 2 <= len(chosen) <= MOST_NAMES:
        raise CaseError(f"{len(chosen)} different names; give 2 to {MOST_NAMES}")
    for name in chosen:
        if not name.strip() or len(name) > LONGEST_NAME or name == MACHINE:
            raise CaseError(f"{name[:40]!a} is no person's name; give one of 1 to {LONGEST_NAME} characters")
    if not why.strip():
        raise CaseError("why is missing: the next reader has nothing else")
    pairs = [frozenset(pair) for pair in combinations(chosen, 2)]
    with store.writing(now_us) as tx:
        if not is_one and (own_names := Persons.read(tx.db).names_of(who, chosen, now_us)):
            raise CaseError(f"{own_names[0]!a} is you, {who!a}: another administrator says who you are not")
        last = int(tx.db.execute(select(func.coalesce(func.max(person_links.c.link), 0))).scalar_one())
        for number, (name, other) in enumerate(map(sorted, pairs), last + 1):
            row = {"link": number, "at_us": now_us, "name": name, "other": other, "is_one": int(is_one)}
            tx.db.execute(person_links.insert().values(**row, who=who, why=why))
        _check_parted(Persons.read(tx.db), [] if is_one else pairs, now_us)
        record_name = "names linked as one person" if is_one else "names parted as different people"
        tx.audit(who, record_name, chosen[0], {"names": chosen, "why": why})
    return pairs


def _check_parted(persons: Persons, pairs: Iterable[frozenset[str]], now_us: int) -> None:
    """Refuse to separate names that another name connects. Raises: CaseError."""
    for name, other in map(sorted, pairs):
        if why := persons.why_one(name, other, now_us):
            raise CaseError(
                f"{name!a} and {other!a} are one person still, by way of other names ({why}); name those too"
            )
