"""API tokens: what a program presents instead of a session. A token is shown once; only its digest is stored.

A token may do less than its user, never more: read, or read and work on cases. It cannot approve, act on
accounts, see prompts or manage users. The user is looked up at each use, so a lost role takes effect at once.
"""

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError

from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError, User, people
from stillwatch.console.migrations import tokens, users
from stillwatch.console.page_forms import iso_us
from stillwatch.console.sessions import TOUCH_US, digest_of
from stillwatch.units import DAY_US

PREFIX = "stw_"  # lets secret scanners find a published one
CHARACTERS = len(PREFIX) + 43
DAYS, MOST_DAYS = 90, 366
MOST = 20  # valid tokens of one user
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class TokenScope(StrEnum):
    """What a token may do."""

    READ = "read"  # every page that a reader sees
    TRIAGE = "triage"  # also note, assign, judge, close: what an analyst does with cases


@dataclass(frozen=True)
class ApiToken:
    """A token as its user sees it after creation."""

    name: str
    scope: TokenScope
    made_us: int
    expires_us: int
    used_us: int | None
    revoked_us: int | None

    def state(self, now_us: int) -> str:
        """Return whether it is valid."""
        return (
            "revoked" if self.revoked_us is not None else "expired" if self.expires_us <= now_us else "works"
        )


def make(store: Store, user: str, name: str, scope: TokenScope, days: int, *, who: str, now_us: int) -> str:
    """Create a token and return it: it is never shown again. Raises: ConsoleError."""
    if not NAME.fullmatch(name):
        raise ConsoleError(f"{name!a} is no name for a token; use a-z, 0-9, dots, dashes, 40 at most")
    if not 1 <= days <= MOST_DAYS:
        raise ConsoleError(f"a token lasts 1 to {MOST_DAYS} days, not {days:,}")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = {"digest": digest_of(secret), "person": user, "name": name, "scope": str(scope), "made_us": now_us}
    row |= {"expires_us": now_us + days * DAY_US}
    c = tokens.c
    with store.writing(now_us) as tx:
        owner = people.user(tx.db, user)
        if owner is None or owner.disabled_us is not None:
            raise ConsoleError(f"{user!a} may not log in; `stillwatch console user list` shows who may")
        works = (c.person == user) & c.revoked_us.is_(None) & (c.expires_us > now_us)
        if tx.db.execute(select(c.name).where(works, c.name == name)).first() is not None:
            raise ConsoleError(f"{user} has a token {name} that works; revoke it, or give another name")
        if tx.db.execute(select(func.count()).where(works)).scalar_one() >= MOST:
            raise ConsoleError(f"{user} has {MOST} tokens that work; revoke one first")
        tx.db.execute(tokens.insert().values(**row))
        tx.audit(who, "token made", user, {"api_token": name, "scope": str(scope), "days": days})
    return secret


def of_user(store: Store, user: str) -> list[ApiToken]:
    """List a user's tokens, newest first, including expired ones."""
    c = tokens.c
    names = (c.name, c.scope, c.made_us, c.expires_us, c.used_us, c.revoked_us)
    with store.reading() as db:
        rows = db.execute(select(*names).where(c.person == user).order_by(c.made_us.desc(), c.name)).all()
    return [ApiToken(row.name, TokenScope(row.scope), *row[2:]) for row in rows]


def token_row(token: ApiToken, now_us: int) -> dict[str, str | None]:
    """Return a token as a row."""
    return {
        "name": token.name,
        "scope": str(token.scope),
        "state": token.state(now_us),
        "made": iso_us(token.made_us),
        "expires": iso_us(token.expires_us),
        "last_used": iso_us(token.used_us),
    }


def revoke(store: Store, user: str, name: str, *, who: str, now_us: int) -> None:
    """Revoke a token now. Raises: ConsoleError if the user has no valid one of that name."""
    c = tokens.c
    with store.writing(now_us) as tx:
        live_token = update(tokens).where(c.person == user, c.name == name, c.revoked_us.is_(None))
        if not tx.db.execute(live_token.values(revoked_us=now_us)).rowcount:
            raise ConsoleError(f"{user[:64]!a} has no token {name[:64]!a} that could be revoked")
        tx.audit(who, "token revoked", user, {"api_token": name[:64]})


def find(store: Store, secret: str, now_us: int) -> tuple[User, ApiToken] | None:
    """Return a token and its user, if it is valid and the user may log in."""
    c = tokens.c
    if len(secret) != CHARACTERS:
        return None
    query = select(users, c.name.label("token"), c.scope, c.made_us, c.expires_us, c.used_us).join(
        users, users.c.name == c.person
    )
    digest = digest_of(secret)
    with store.reading() as db:
        row = db.execute(
            query.where(c.digest == digest, c.revoked_us.is_(None), people.present(now_us))
        ).first()
    if row is None or row.expires_us <= now_us:
        return None
    if row.used_us is None or now_us - row.used_us > TOUCH_US:
        _touch(store, digest, now_us)
    token = ApiToken(row.token, TokenScope(row.scope), row.made_us, row.expires_us, now_us, None)
    return people.user_of(row), token


def _touch(store: Store, digest: str, now_us: int) -> None:
    try:
        with store.engine.connect().execution_options(writes=True) as db, db.begin():
            db.execute(update(tokens).where(tokens.c.digest == digest).values(used_us=now_us))
    except DBAPIError:
        return  # a full disk or a long write: requests still work, but the last use is not recorded
