"""The second factor of users with a password: codes of an authenticator (RFC 6238), recovery codes.

A code counts once, and no code of its time step or an earlier one counts afterwards. Wrong codes are counted
in the database, so that another session, address or worker is no fresh start. Recovery codes work while codes
are delayed, so knowing a password is not enough to lock its owner out. They need no key; the secrets of
authenticators are sealed (`factor_seal`).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from sqlalchemy import Connection, Row, delete, func, select, update

from stillwatch.cases.store import Store, Transaction
from stillwatch.console import ConsoleError, User, people
from stillwatch.console.factor_seal import open_seal
from stillwatch.console.migrations import half_logins, recovery_codes, second_factors
from stillwatch.console.sessions import AHEAD_US, begin_in, digest_of
from stillwatch.units import DAY_US, MINUTE_US, SECOND_US

SECRET_BYTES = 20  # RFC 4226, section 4, R6: 160 bits
DIGITS, STEP_S = 6, 30  # RFC 6238, as authenticators support them
DRIFT = 1  # steps before and after: RFC 6238, section 5.2
CODES = 10  # recovery codes
CODE_CHARACTERS, GROUP = 24, 4  # of Base32: 120 bits, so a plain digest protects them
HALF_US = 5 * MINUTE_US  # how long a code may take after the password
FREE_TRIES = 5  # wrong codes in a row; each further one doubles the wait
WAIT_US, LONGEST_WAIT_US = 15 * MINUTE_US, DAY_US
ISSUER = "Stillwatch"


@dataclass(frozen=True)
class SecondFactor:
    """A user's second factor, confirmed or in setup."""

    confirmed_us: int | None
    codes_left: int


@dataclass(frozen=True)
class CodeRefused:
    """Why no session began. `wait_s`: seconds until the next code is accepted; 0: now."""

    why: str
    wait_s: int = 0


def code_at(secret: str, step: int) -> str:
    """Return the code of a step of time (Unix seconds / 30).

    >>> code_at("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59 // 30)
    '287082'
    """
    return HOTP(base64.b32decode(secret), DIGITS, SHA1()).generate(step).decode("ascii")


def uri(secret: str, name: str, where: str) -> str:
    """Return the link for an authenticator app. where: the console's address.

    >>> uri("GEZDGNBVGY3TQOJQ", "anna", "localhost:8090")
    'otpauth://totp/Stillwatch%20localhost-8090:anna?secret=GEZDGNBVGY3TQOJQ&issuer=Stillwatch%20localhost-8090&digits=6&period=30'
    """
    issuer = f"{ISSUER} {where.replace(':', '-')}"  # a colon ends the issuer
    words = {"secret": secret, "issuer": issuer, "digits": DIGITS, "period": STEP_S}
    return f"otpauth://totp/{quote(issuer)}:{quote(name, safe='')}?{urlencode(words, quote_via=quote)}"


def of_user(store: Store, name: str) -> SecondFactor | None:
    """Return a user's second factor; None if there is none, not even in setup."""
    c = second_factors.c
    codes_left = select(func.count()).where(recovery_codes.c.name == name)
    with store.reading() as db:
        row = db.execute(select(c.confirmed_us).where(c.name == name)).first()
        codes = int(db.execute(codes_left).scalar_one())
    return None if row is None else SecondFactor(row.confirmed_us, codes)


def begun_secret(store: Store, name: str) -> str | None:
    """Return the secret (Base32) of a setup in progress; None once confirmed, when it is never shown again.

    Raises: ConsoleError if its key is gone.
    """
    with store.reading() as db:
        row = _factor_row_of(db, name)
    if row is None or row.confirmed_us is not None:
        return None
    return open_seal(store).unseal(row.secret, name)


def is_confirmed(store: Store, name: str) -> bool:
    """Return whether a user's log-in needs a code."""
    factor = of_user(store, name)
    return factor is not None and factor.confirmed_us is not None


def begin(store: Store, name: str, now_us: int) -> None:
    """Create a secret for a user. It has no effect before its first code. Raises: ConsoleError."""
    secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
    sealed = open_seal(store, make=True).seal(secret, name)
    row = {"name": name, "secret": sealed, "made_us": now_us, "last_step": 0, "failed": 0, "failed_us": 0}
    with store.writing(now_us) as tx:
        factor_row = _factor_row_of(tx.db, name)
        if factor_row is not None and factor_row.confirmed_us is not None:
            raise ConsoleError("you have a second factor; remove it before you set up another")
        delete_in(tx.db, name)
        tx.db.execute(second_factors.insert().values(**row))
        tx.audit(name, "second factor begun", name, {})


def confirm(store: Store, name: str, code: str, *, keep: str, now_us: int) -> list[str]:
    """Confirm a secret by a code; return the recovery codes, which are never shown again.

    keep: digest of the session that continues; the others end. Raises: ConsoleError for a wrong code.
    """
    new_codes = [_recovery_code() for _ in range(CODES)]
    with store.writing(now_us) as tx:
        factor_row = _factor_row_of(tx.db, name)
        if factor_row is None or factor_row.confirmed_us is not None:
            raise ConsoleError("no second factor was begun; open the page anew")
        step = _step_of(code, open_seal(store).unseal(factor_row.secret, name), factor_row.last_step, now_us)
        if step is None:
            raise ConsoleError("that is not the code of now; see that the authenticator's clock is right")
        values = {"confirmed_us": now_us, "last_step": step}
        tx.db.execute(update(second_factors).where(second_factors.c.name == name).values(**values))
        for new_code in new_codes:
            tx.db.execute(recovery_codes.insert().values(name=name, digest=_digest(new_code)))
        people.end_access(tx, name, keep=keep)
        tx.audit(name, "second factor confirmed", name, {})
    return new_codes


def remove(store: Store, name: str, code: str, now_us: int) -> None:
    """Remove a user's second factor, given a code of it. Raises: ConsoleError."""
    with store.writing(now_us) as tx:
        refused = _judge_code(store, tx, name, code, {})
        if refused is None:
            delete_in(tx.db, name)
            tx.audit(name, "second factor removed", name, {})
    if refused is not None:
        raise ConsoleError(refused.why)


def reset(store: Store, name: str, *, who: str, now_us: int) -> None:
    """Remove a user's second factor, as an administrator does for a lost one; the user's sessions end.

    Raises: ConsoleError if there is none.
    """
    with store.writing(now_us) as tx:
        if people.user(tx.db, name) is None:
            raise ConsoleError(f"there is no user {name!a}; `stillwatch console user list` shows them")
        if _factor_row_of(tx.db, name) is None:
            raise ConsoleError(f"{name} has no second factor")
        delete_in(tx.db, name)
        people.end_access(tx, name)
        tx.audit(who, "second factor reset", name, {})


# --- logging in ---


def begin_half(store: Store, name: str, now_us: int) -> str:
    """Record that a user's password was right, and return the cookie with which the code is submitted."""
    cookie = secrets.token_urlsafe(32)
    with store.writing(now_us) as tx:
        tx.db.execute(delete(half_logins).where(half_logins.c.opened_us < now_us - HALF_US))
        tx.db.execute(half_logins.insert().values(digest=digest_of(cookie), name=name, opened_us=now_us))
        tx.audit(name, "password right, code asked for", name, {})
    return cookie


def half_login_name(store: Store, cookie: str, now_us: int) -> str | None:
    """Return the user whose password was right with this cookie; None if that was too long ago."""
    with store.reading() as db:
        return _half_login(db, cookie, now_us)


def enter(
    store: Store, cookie: str, code: str, now_us: int, *, address: str, instead_of: str | None = None
) -> tuple[User, str] | CodeRefused:
    """Begin a session of a user whose password and code are right; return also the session's cookie."""
    with store.writing(now_us) as tx:
        name = _half_login(tx.db, cookie, now_us)
        user = None if name is None else people.user(tx.db, name)
        if user is None or user.disabled_us is not None:
            return CodeRefused("That log-in is too old. Log in anew.")
        refused = _judge_code(store, tx, user.name, code, {"address": address})
        if refused is not None:
            return refused
        tx.db.execute(delete(half_logins).where(half_logins.c.digest == digest_of(cookie)))
        factor = "authenticator" if _is_code(code) else "recovery code"
        return user, begin_in(tx, user, instead_of, {"second_factor": factor})


def _half_login(db: Connection, cookie: str, now_us: int) -> str | None:
    c = half_logins.c
    is_recent = c.opened_us.between(now_us - HALF_US, now_us + AHEAD_US)
    own_name = select(c.name).where(c.digest == digest_of(cookie), is_recent)
    return db.execute(own_name).scalar()


def _judge_code(
    store: Store, tx: Transaction, name: str, code: str, detail: Mapping[str, str]
) -> CodeRefused | None:
    """Use up a code of either kind. A wrong one is counted in this transaction, which must then commit."""
    factor_row = _factor_row_of(tx.db, name)
    if factor_row is None or factor_row.confirmed_us is None:
        return CodeRefused("There is no second factor here.")
    if not _is_code(code):
        c = recovery_codes.c
        used = tx.db.execute(delete(recovery_codes).where(c.name == name, c.digest == _digest(code)))
        tx.audit(name, "recovery code used" if used.rowcount else "recovery code refused", name, detail)
        return None if used.rowcount else CodeRefused("This code is not valid.")
    if (left_us := _wait_us(factor_row, tx.now_us)) > 0:
        minutes = -(-left_us // MINUTE_US)
        return CodeRefused(
            f"Too many wrong codes. Wait {minutes:,} minute{'s' * (minutes > 1)}, or use a recovery code.",
            -(-left_us // SECOND_US),
        )
    secret = open_seal(store).unseal(factor_row.secret, name)
    step = _step_of(code, secret, factor_row.last_step, tx.now_us)
    own_row = update(second_factors).where(second_factors.c.name == name)
    if step is None:
        tx.db.execute(own_row.values(failed=factor_row.failed + 1, failed_us=tx.now_us))
        tx.audit(name, "code refused", name, {**detail, "in_a_row": factor_row.failed + 1})
        return CodeRefused("That code is wrong or was used. Wait for the next one.")
    tx.db.execute(own_row.values(last_step=step, failed=0))
    return None


def _wait_us(factor_row: Row[Any], now_us: int) -> int:
    """Return how long codes are not accepted, given the wrong ones in a row.

    Failures recorded by a clock that was ahead do not extend the wait.
    """
    if factor_row.failed < FREE_TRIES or factor_row.failed_us > now_us + AHEAD_US:
        return 0
    wait_us = min(WAIT_US << min(factor_row.failed - FREE_TRIES, 10), LONGEST_WAIT_US)
    return int(factor_row.failed_us) + wait_us - now_us


def _factor_row_of(db: Connection, name: str) -> Row[Any] | None:
    return db.execute(select(second_factors).where(second_factors.c.name == name)).first()


def delete_in(db: Connection, name: str) -> None:
    """Delete all data of a user's second factor, in a transaction."""
    for table in (second_factors, recovery_codes, half_logins):
        db.execute(delete(table).where(table.c.name == name))


def _step_of(code: str, secret: str, last_step: int, now_us: int) -> int | None:
    """Return a code's time step, if it is later than the last one used."""
    now, digits, matching_step = now_us // SECOND_US // STEP_S, _bare_code(code), None
    for step in range(now - DRIFT, now + DRIFT + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), digits.encode()) and step > last_step:
            matching_step = step
    return matching_step


def _is_code(text: str) -> bool:
    code = _bare_code(text)
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def _bare_code(text: str) -> str:
    return "".join(text.split()).replace("-", "").upper()


def _digest(code: str) -> str:
    return hashlib.sha256(_bare_code(code).encode("utf-8", "surrogatepass")).hexdigest()


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(CODE_CHARACTERS * 5 // 8)).decode("ascii")
    return "-".join(text[start : start + GROUP] for start in range(0, CODE_CHARACTERS, GROUP))
