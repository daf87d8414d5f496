"""Maps a proven identity to a user. A user is bound to an issuer and a subject, never to a name or an
address.

A new identity becomes a user under the name that the provider gives. A name already in use is never taken
over: an administrator binds the two, or they are two users. `cases.persons` decides whether two users are one
person.
"""

from dataclasses import dataclass, replace

from sqlalchemy import delete, select, update

from stillwatch.cases.persons import IdentityMark, identity_value, mark_digest, mark_key, remember
from stillwatch.cases.store import Store, Transaction
from stillwatch.console import ConsoleError, User, UserRole, people, second_factor
from stillwatch.console.migrations import identities, used_logins, users
from stillwatch.console.openid import LONGEST_SUBJECT, TRY_S, LoginAttempt, LoginRefused, ProvenIdentity
from stillwatch.console.sessions import begin_in

WHO = "identity provider"  # has a blank, so no user can have this name
NO_PASSWORD = ""  # not a hash: no password matches it


@dataclass(frozen=True)
class BoundIdentity:
    """A user's identity at the provider."""

    issuer: str
    subject: str


def enter(
    store: Store, proven: ProvenIdentity, attempt: LoginAttempt, now_us: int, instead_of: str | None = None
) -> tuple[User, str]:
    """Begin a session of the user bound to an identity, with the role that the provider gives now.

    New people are added as users. Each attempt counts once. Returns the user and the session's cookie.
    Raises: LoginRefused; if the provider gives no role any more, the user's sessions end first.
    """
    with store.writing(now_us) as tx:
        _use_up(tx, attempt)
        name = _bound_name(tx, proven)
        known_user = None if name is None else people.user(tx.db, name)
        if known_user is not None and known_user.disabled_us is not None:
            raise LoginRefused(
                "disabled", f"{known_user.name} is disabled here; an administrator can let you in again"
            )
        if known_user is None:
            user: User | None = _add_user(tx, proven)
        elif proven.role is not None:
            user = _apply_role(tx, known_user, proven.role)
        else:
            people.end_access(tx, known_user.name)
            tx.audit(WHO, "console user has no role any more", known_user.name, {})
            user = None
        if user is not None:
            own_row = update(identities).where(identities.c.name == user.name)
            tx.db.execute(own_row.values(seen_us=now_us))
            if proven.address:
                remember(tx, user.name, IdentityMark.ADDRESS, proven.address)
            return user, begin_in(tx, user, instead_of, {"issuer": proven.issuer})
    raise _no_role_refusal(proven)


def _apply_role(tx: Transaction, known_user: User, role: UserRole) -> User:
    if role is known_user.role:
        return known_user
    tx.db.execute(update(users).where(users.c.name == known_user.name).values(role=int(role)))
    tx.audit(WHO, "console user changed", known_user.name, {"role": role.name.lower()})
    return replace(known_user, role=role)


def _use_up(tx: Transaction, attempt: LoginAttempt) -> None:
    """Mark a login attempt as used. Raises: LoginRefused if it was used before."""
    used = used_logins
    if tx.db.execute(select(used.c.at_us).where(used.c.digest == attempt.digest)).first() is not None:
        raise LoginRefused("replayed", "this log-in was used already; log in anew")
    tx.db.execute(delete(used).where(used.c.at_us < tx.now_us - 2 * TRY_S * 1_000_000))
    tx.db.execute(used.insert().values(digest=attempt.digest, at_us=tx.now_us))


def _bound_name(tx: Transaction, identity: ProvenIdentity | BoundIdentity) -> str | None:
    c = identities.c
    same_identity = select(c.name).where(c.issuer == identity.issuer, c.subject == identity.subject)
    return tx.db.execute(same_identity).scalar()


def _add_user(tx: Transaction, proven: ProvenIdentity) -> User:
    if proven.role is None:
        raise _no_role_refusal(proven)
    name = proven.name
    if not people.NAME.fullmatch(name) or name in people.TAKEN:
        raise LoginRefused(
            "name",
            f"the identity provider calls you {name[:64]!a}, which is no name for a user here; an "
            f"administrator can give you one: console user add NAME --subject {proven.subject[:64]!a}",
        )
    if people.user(tx.db, name) is not None:
        raise LoginRefused(
            "name taken",
            f"there is a user {name} here already, who is not known to be you; an administrator can say so: "
            f"console user add {name} --subject {proven.subject[:64]!a}",
        )
    row = {"name": name, "role": int(proven.role), "password": NO_PASSWORD, "created_us": tx.now_us}
    tx.db.execute(users.insert().values(**row))
    _bind_in(tx, name, BoundIdentity(proven.issuer, proven.subject))
    tx.audit(WHO, "console user added", name, {"role": proven.role.name.lower()} | _record_detail(tx, proven))
    return User(name, proven.role, tx.now_us)


def bind(store: Store, name: str, role: UserRole, identity: BoundIdentity, *, who: str, now_us: int) -> User:
    """Bind a user, who may be new or disabled, to an identity; from then on they log in only there.

    Raises: ConsoleError for an invalid name, or an identity bound to another user.
    """
    people.check_name(name)
    if not 0 < len(identity.subject) <= LONGEST_SUBJECT:
        raise ConsoleError(f"the subject has {len(identity.subject)} characters; give 1 to {LONGEST_SUBJECT}")
    with store.writing(now_us) as tx:
        other = _bound_name(tx, identity)
        if other not in (None, name):
            raise ConsoleError(f"that subject is {other} here already; one person is one user")
        known_user = people.user(tx.db, name)
        if known_user is None:
            row = {"name": name, "role": int(role), "password": NO_PASSWORD, "created_us": now_us}
            tx.db.execute(users.insert().values(**row))
        else:
            values = {"role": int(role), "password": NO_PASSWORD, "disabled_us": None}
            tx.db.execute(update(users).where(users.c.name == name).values(**values))
            people.end_access(tx, name)
            second_factor.delete_in(tx.db, name)  # from now on the provider's responsibility
        _bind_in(tx, name, identity)
        record_name = "console user added" if known_user is None else "console user changed"
        tx.audit(who, record_name, name, {"role": role.name.lower()} | _record_detail(tx, identity))
    return User(name, role, now_us if known_user is None else known_user.created_us)


def bound(store: Store) -> dict[str, BoundIdentity]:
    """Return the identity of each bound user."""
    with store.reading() as db:
        rows = db.execute(select(identities)).all()
    return {row.name: BoundIdentity(row.issuer, row.subject) for row in rows}


def _bind_in(tx: Transaction, name: str, identity: BoundIdentity) -> None:
    tx.db.execute(delete(identities).where(identities.c.name == name))
    row = {"issuer": identity.issuer, "subject": identity.subject, "name": name, "bound_us": tx.now_us}
    tx.db.execute(identities.insert().values(**row))
    remember(tx, name, IdentityMark.IDENTITY, identity_value(identity.issuer, identity.subject))


def _record_detail(tx: Transaction, identity: ProvenIdentity | BoundIdentity) -> dict[str, str]:
    """Return an identity's audit detail: its mark, never the subject, since records are not deleted.

    Records of older versions hold `subject_sha256`, the subject's digest without a key.
    """
    key = mark_key(tx.db, make=True)
    if key is None:
        return {"issuer": identity.issuer}  # no audit key, so there is no record either
    value = identity_value(identity.issuer, identity.subject)
    return {"issuer": identity.issuer, "subject_mark": mark_digest(IdentityMark.IDENTITY, value, key)}


def _no_role_refusal(proven: ProvenIdentity) -> LoginRefused:
    return LoginRefused(
        "no role",
        f"you are {proven.name[:64] or proven.subject[:64]!a} at the identity provider, which gives you no "
        "role here; ask whoever keeps its groups",
    )
