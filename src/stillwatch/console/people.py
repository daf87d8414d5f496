"""Users: names, roles, passwords as scrypt.

An unknown name takes as long as a wrong password, and gets the same response.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from stillwatch.cases import MACHINE
from stillwatch.cases.audit.erasure import scrub
from stillwatch.cases.migrations import migrate
from stillwatch.cases.persons import (
    APPEAL_US,
    LONGEST_ADDRESS,
    IdentityMark,
    identity_value,
    names_sharing,
    remember,
    renew,
    unkeyed_marks,
)
from stillwatch.cases.persons import forget as forget_marks
from stillwatch.cases.store import Store, Transaction
from stillwatch.cases.tables import identity_marks
from stillwatch.console import ConsoleError, User, UserRole
from stillwatch.console.migrations import (
    MIGRATIONS,
    PART,
    addresses,
    asks,
    dismissals,
    half_logins,
    identities,
    recovery_codes,
    second_factors,
    sessions,
    tokens,
    users,
)
from stillwatch.console.password_rules import LONGEST, check_password, random_password
from stillwatch.units import DAY_US

N, R, P = 1 << 15, 8, 3  # 32 MiB, three passes: OWASP, Password Storage Cheat Sheet, scrypt
SALT_BYTES, HASH_BYTES = 16, 32
AWAY_US = 14 * DAY_US  # without a log-in at the provider
BROWSER_CHARACTERS = 32 + 1 + 64
# actors that are no person, and words that filters accept: a user of that name would be mistaken for them
TAKEN = frozenset({MACHINE, "owner", "nobody", "terms", "gateway", "none", "me"})
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
# each check uses 32 MiB: many at once must not exhaust the machine's memory
_AT_ONCE = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class FirstWayIn:
    """The one user of a new database. The password is not stored in plain text."""

    name: str
    password: str


def prepare(store: Store) -> None:
    """Migrate the console's tables to the newest version."""
    migrate(store.engine, PART, MIGRATIONS)


def scrypt(password: str, n: int = N) -> str:
    """Hash a password with a new salt: `scrypt$N$r$p$salt$hash`."""
    salt = secrets.token_bytes(SALT_BYTES)
    return "$".join(
        ("scrypt", str(n), str(R), str(P), _text(salt), _text(_password_hash(password, salt, n, R, P)))
    )


def _password_hash(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    with _AT_ONCE:
        return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_NOBODY = f"scrypt${N}${R}${P}${_text(bytes(SALT_BYTES))}${_text(bytes(HASH_BYTES))}"


def _password_fits(password: str, stored_hash: str) -> bool:
    _, n, r, p, salt, hashed = stored_hash.split("$")
    actual = _password_hash(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(actual, base64.b64decode(hashed))


def check(store: Store, name: str, password: str) -> User | None:
    """Return the user whose password this is, or None; both take equally long."""
    with store.reading() as db:
        row = db.execute(select(users).where(users.c.name == name)).first()
    stored = row.password if row is not None and row.password else _NOBODY  # no password: logs in elsewhere
    fits = _password_fits(password[:LONGEST], stored) and len(password) <= LONGEST
    if row is None or not row.password or not fits or row.disabled_us is not None:
        return None
    return user_of(row)


def browser_cookie(store: Store, name: str, number: str = "") -> str:
    """Return a cookie that identifies a browser in which this user has logged in: it grants no access.

    It expires with the password. Empty if there is no such user, or none with a password.
    """
    with store.reading() as db:
        stored = db.execute(select(users.c.password).where(users.c.name == name)).scalar()
    if not stored:
        return ""
    number = number or secrets.token_hex(16)
    return f"{number}.{hmac.digest(stored.encode(), f'browser {number} {name}'.encode(), 'sha256').hex()}"


def known_browser(store: Store, name: str, cookie: str) -> str:
    """Return the number of a browser in which this user has logged in; empty for an unknown one."""
    number = cookie.partition(".")[0]
    expected = browser_cookie(store, name, number) if len(cookie) == BROWSER_CHARACTERS else ""
    return number if expected and hmac.compare_digest(expected.encode(), cookie.encode()) else ""


def user(db: Connection, name: str) -> User | None:
    row = db.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else user_of(row)


def present(now_us: int) -> ColumnElement[bool]:
    """Return the SQL condition that a user may log in, as far as is known here.

    A provider does not report who has left: a user without a log-in there for a while counts as gone.
    """
    i = identities.c
    last = func.coalesce(i.seen_us, i.bound_us)
    away_people = select(i.name).where(i.name == users.c.name, last < now_us - AWAY_US)
    return users.c.disabled_us.is_(None) & ~away_people.exists()


def present_names(db: Connection, now_us: int) -> set[str]:
    """Return the users who may log in."""
    return set(db.execute(select(users.c.name).where(present(now_us))).scalars())


def everybody(store: Store) -> list[User]:
    """List all users, including disabled ones, by name."""
    with store.reading() as db:
        return [user_of(row) for row in db.execute(select(users).order_by(users.c.name))]


def check_name(name: str) -> None:
    """Refuse an invalid user name. Raises: ConsoleError."""
    if not NAME.fullmatch(name):
        raise ConsoleError(
            f"{name!a} is no name for a user; use a-z, 0-9, dots, dashes, underscores, at signs, 64 at most"
        )
    if name in TAKEN:
        raise ConsoleError(f"{name!a} is how the record calls somebody else; give a person's name")


def address(store: Store, name: str) -> str:
    """Return a user's mail address; empty if they want no mail."""
    with store.reading() as db:
        return db.execute(select(addresses.c.address).where(addresses.c.person == name)).scalar() or ""


def set_address(store: Store, name: str, text: str, now_us: int) -> None:
    """Set a user's mail address; empty: none. Raises: ConsoleError."""
    if text and not (len(text) <= LONGEST_ADDRESS and ADDRESS.fullmatch(text)):
        raise ConsoleError(f"{text[:80]!a} is no address for mail; give one as anna@example.com")
    with store.writing(now_us) as tx:
        tx.db.execute(delete(addresses).where(addresses.c.person == name))
        if text:
            tx.db.execute(addresses.insert().values(person=name, address=text))
            remember(tx, name, IdentityMark.ADDRESS, text)
        tx.audit(name, "mail address changed", name, {"set": bool(text)})


def has_password(store: Store, name: str) -> bool:
    """Return whether a user logs in with a password."""
    with store.reading() as db:
        return bool(db.execute(select(users.c.password).where(users.c.name == name)).scalar())


def change_password(
    store: Store,
    name: str,
    current: str,
    password: str,
    *,
    keep: str,
    now_us: int,
    words: Collection[str] = (),
) -> None:
    """Change the password of a user who has proved the old one. keep: digest of the session that continues.

    words: the owner's, which add nothing to a password. Raises: ConsoleError.
    """
    check_password(password, name, words)
    if check(store, name, current) is None:
        store.look(name, "password not changed", name, {}, now_us)
        raise ConsoleError("that is not the password you have")
    if password == current:
        raise ConsoleError("that is the password you have; give another")
    hashed = scrypt(password)
    with store.writing(now_us) as tx:
        tx.db.execute(update(users).where(users.c.name == name).values(password=hashed))
        end_access(tx, name, keep=keep)
        tx.audit(name, "password changed", name, {})


def add(
    store: Store,
    name: str,
    role: UserRole,
    password: str,
    *,
    who: str,
    now_us: int,
    words: Collection[str] = (),
) -> User:
    """Add a user, or change the role and password of an existing one, which ends their sessions.

    A user who logged in at an identity provider no longer can: each user has one way in. words: the owner's,
    which add nothing to a password.

    Raises: ConsoleError for an unsuitable name or password.
    """
    check_name(name)
    check_password(password, name, words)
    hashed = scrypt(password)
    with store.writing(now_us) as tx:
        known_user = user(tx.db, name)
        if known_user is None:
            row = {"name": name, "role": int(role), "password": hashed, "created_us": now_us}
            tx.db.execute(users.insert().values(**row))
        else:
            tx.db.execute(
                update(users).where(users.c.name == name).values(
                    role=int(role), password=hashed, disabled_us=None
                )
            )  # fmt: skip
            end_access(tx, name)
            tx.db.execute(identities.delete().where(identities.c.name == name))
        record_name = "console user added" if known_user is None else "console user changed"
        tx.audit(who, record_name, name, {"role": role.name.lower()})
    return User(name, role, now_us if known_user is None else known_user.created_us)


def disable(store: Store, name: str, *, who: str, now_us: int) -> None:
    """End a user's access and sessions. Raises: ConsoleError if there is no such user."""
    with store.writing(now_us) as tx:
        if user(tx.db, name) is None:
            raise ConsoleError(f"there is no user {name!a}; `stillwatch console user list` shows them")
        tx.db.execute(update(users).where(users.c.name == name).values(disabled_us=now_us))
        end_access(tx, name)
        tx.audit(who, "console user disabled", name, {})


def forget(store: Store, name: str, *, who: str, why: str, now_us: int) -> int:
    """Delete the data of a user who has left, except the name, which the record needs.

    Returns how many identity marks were deleted. Raises: ConsoleError, CaseError if the user may still log
    in, or their acts may still have to be reviewed by somebody else.
    """
    if not why.strip():
        raise ConsoleError("why is missing: the next reader has nothing else")
    with store.writing(now_us) as tx:
        known_user = user(tx.db, name)
        if known_user is None:
            raise ConsoleError(f"there is no user {name!a}; `stillwatch console user list` shows them")
        if known_user.disabled_us is None:
            raise ConsoleError(f"{name!a} may log in; disable them first: stillwatch console user disable")
        names = names_sharing(tx.db, name)
        for steps in (asks, dismissals):
            c = steps.c
            is_recent = (c.state == "waiting") | (func.coalesce(c.decided_us, c.at_us) > now_us - APPEAL_US)
            part = select(c.at_us).where(c.who.in_(names) | c.decided_by.in_(names), is_recent)
            if tx.db.execute(part.limit(1)).first() is not None:
                raise ConsoleError(
                    f"{name!a} decided on a step or asked for it within {APPEAL_US // DAY_US} days, or one "
                    "of theirs waits: customers may still appeal, and somebody else decides that"
                )
        marks = forget_marks(tx, name)
        end_access(tx, name)
        tx.db.execute(delete(identities).where(identities.c.name == name))
        tx.db.execute(delete(addresses).where(addresses.c.person == name))
        for factors in (second_factors, recovery_codes):
            tx.db.execute(delete(factors).where(factors.c.name == name))
        tx.db.execute(update(users).where(users.c.name == name).values(password=""))
        tx.audit(who, "console user forgotten", name, {"why": why, "marks": marks})
    for table in (identity_marks, identities, addresses, second_factors, recovery_codes, users):
        scrub(store.engine, table.name)
    return marks


def key_marks(store: Store, now_us: int) -> None:
    """Key the identity marks of an older version, as far as the values are known; the others wait."""
    with store.reading() as db:
        if not unkeyed_marks(db):
            return
    with store.writing(now_us) as tx:
        renewed = sum(
            renew(tx, IdentityMark.IDENTITY, identity_value(bound_row.issuer, bound_row.subject))
            for bound_row in tx.db.execute(select(identities)).all()
        )
        known_addresses = set(tx.db.execute(select(addresses.c.address)).scalars())
        known_addresses |= {name for name in tx.db.execute(select(users.c.name)).scalars() if "@" in name}
        renewed += sum(renew(tx, IdentityMark.ADDRESS, address) for address in sorted(known_addresses))
        if renewed:
            still_unkeyed = unkeyed_marks(tx.db)
            tx.audit(MACHINE, "identity marks keyed", "console", {"marks": renewed, "left": still_unkeyed})
    if renewed:
        scrub(store.engine, identity_marks.name)


def end_access(tx: Transaction, name: str, keep: str = "") -> None:
    """End a user's sessions, pending log-ins, and API tokens: a thief may have made any of them.

    keep: digest of the session that continues.
    """
    tx.db.execute(delete(sessions).where(sessions.c.name == name, sessions.c.digest != keep))
    tx.db.execute(delete(half_logins).where(half_logins.c.name == name))
    live = (tokens.c.person == name) & tokens.c.revoked_us.is_(None)
    tx.db.execute(update(tokens).where(live).values(revoked_us=tx.now_us))


def first_way_in(store: Store, *, who: str, now_us: int) -> FirstWayIn | None:
    """Create one approver with a random password if nobody may log in yet; else return None."""
    with store.reading() as db:
        if db.execute(select(users.c.name).where(users.c.disabled_us.is_(None)).limit(1)).first() is not None:
            return None
    first_user = FirstWayIn("first", random_password("first"))
    add(store, first_user.name, UserRole.APPROVER, first_user.password, who=who, now_us=now_us)
    return first_user


def user_of(row: object) -> User:
    name, role, created, disabled = (getattr(row, n) for n in ("name", "role", "created_us", "disabled_us"))
    return User(name, UserRole(role), created, disabled)
