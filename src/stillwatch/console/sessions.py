"""Sessions, stored on the server. The cookie is random and only its digest is stored.

A session's CSRF token is derived from the cookie, which scripts cannot read. The database reveals neither.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from stillwatch.cases.store import Store, Transaction
from stillwatch.console import User
from stillwatch.console.migrations import sessions, users
from stillwatch.console.people import user_of

IDLE_US = 3_600_000_000  # an hour without a request
LONGEST_US = 12 * 3_600_000_000
AHEAD_US = 300_000_000  # a session from further in the future was opened before the clock was set back
TOUCH_US = 60_000_000  # a session is written at most once a minute


@dataclass(frozen=True)
class LoginSession:
    user: User
    csrf: str


@dataclass(frozen=True)
class OpenSession:
    """A valid session."""

    opened_us: int
    seen_us: int
    is_this: bool  # of the requesting browser


def csrf_of(cookie: str) -> str:
    """Return the CSRF token for forms of this cookie's holder."""
    return hmac.digest(cookie.encode(), b"stillwatch console form", "sha256").hex()


def same(a: str, b: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))


def digest_of(cookie: str) -> str:
    """Return the stored digest of a session's cookie."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def begin(store: Store, user: User, now_us: int, instead_of: str | None = None) -> str:
    """Begin a session and return its new cookie; the browser's old session ends."""
    with store.writing(now_us) as tx:
        return begin_in(tx, user, instead_of)


def begin_in(
    tx: Transaction, user: User, instead_of: str | None = None, detail: Mapping[str, str] | None = None
) -> str:
    """Begin a session in a transaction. detail: what to record besides the role."""
    cookie = secrets.token_urlsafe(32)
    tx.db.execute(sessions.delete().where(sessions.c.opened_us < tx.now_us - LONGEST_US))
    if instead_of:
        tx.db.execute(sessions.delete().where(sessions.c.digest == digest_of(instead_of)))
    row = {"digest": digest_of(cookie), "name": user.name, "opened_us": tx.now_us, "seen_us": tx.now_us}
    tx.db.execute(sessions.insert().values(**row))
    tx.audit(user.name, "logged in", user.name, {"role": user.role.name.lower(), **(detail or {})})
    return cookie


def find(store: Store, cookie: str, now_us: int) -> LoginSession | None:
    """Return the session of a cookie while it is valid; the role is read each time."""
    digest = digest_of(cookie)
    with store.reading() as db:
        query = select(sessions.c.opened_us, sessions.c.seen_us, users)
        query = query.join(users, users.c.name == sessions.c.name).where(sessions.c.digest == digest)
        row = db.execute(query).first()
    if row is None or row.disabled_us is not None:
        return None
    if now_us - row.seen_us > IDLE_US or now_us - row.opened_us > LONGEST_US:
        return None
    if max(row.seen_us, row.opened_us) > now_us + AHEAD_US:
        return None
    if now_us - row.seen_us > TOUCH_US:
        _touch(store, digest, now_us)
    return LoginSession(user_of(row), csrf_of(cookie))


def _touch(store: Store, digest: str, now_us: int) -> None:
    try:
        with store.engine.connect().execution_options(writes=True) as db, db.begin():
            db.execute(update(sessions).where(sessions.c.digest == digest).values(seen_us=now_us))
    except DBAPIError:
        return  # a full disk or a long write: the session ends early, but requests still work


def of_user(store: Store, name: str, cookie: str, now_us: int) -> list[OpenSession]:
    """List a user's valid sessions, the last used first. cookie: of the requesting one."""
    c = sessions.c
    lasting = select(c.opened_us, c.seen_us, c.digest).where(
        c.name == name, c.seen_us >= now_us - IDLE_US, c.opened_us >= now_us - LONGEST_US
    )
    with store.reading() as db:
        rows = db.execute(lasting.order_by(c.seen_us.desc(), c.opened_us.desc())).all()
    own_digest = digest_of(cookie)
    return [OpenSession(row.opened_us, row.seen_us, row.digest == own_digest) for row in rows]


def end_others(store: Store, name: str, cookie: str, now_us: int) -> None:
    """End all sessions of a user except the requesting one."""
    with store.writing(now_us) as tx:
        own_digest = digest_of(cookie)
        tx.db.execute(sessions.delete().where(sessions.c.name == name, sessions.c.digest != own_digest))
        tx.audit(name, "other sessions ended", name, {})


def end(store: Store, cookie: str, now_us: int) -> None:
    """End a session, if it is one."""
    digest = digest_of(cookie)
    with store.writing(now_us) as tx:
        name = tx.db.execute(select(sessions.c.name).where(sessions.c.digest == digest)).scalar()
        if name is not None:
            tx.db.execute(sessions.delete().where(sessions.c.digest == digest))
            tx.audit(name, "logged out", name, {})
