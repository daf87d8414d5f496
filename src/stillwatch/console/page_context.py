"""The input of a page: the user, the request, the store and the deployment."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError, Deployment, Recording, User, UserRole, people, second_factor
from stillwatch.console.case_facts import Looks
from stillwatch.console.page_forms import Shown
from stillwatch.console.recorded import Recorded
from stillwatch.console.settings import ConsoleSettings
from stillwatch.console.sql import Snapshots
from stillwatch.console.throttle import RecordLimit, Throttle
from stillwatch.console.tokens import ApiToken
from stillwatch.console.trail_checks import TrailChecks

LONGEST_TEXT = 20_000  # characters of a note or a reason
LONGEST_NAME = 100_000
LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class ConsoleContext:
    """What all pages work with."""

    store: Store
    deployment: Deployment
    settings: ConsoleSettings
    snapshots: Snapshots
    looks: Looks
    checks: TrailChecks
    throttle: Throttle
    refusals: RecordLimit
    now_us: Callable[[], int]


@dataclass(frozen=True)
class PageRequest:
    """One request of a logged-in user."""

    http: Request
    desk: ConsoleContext
    user: User
    csrf: str
    now_us: int
    token: ApiToken | None = None  # with which a program acts for the user

    @property
    def store(self) -> Store:
        store = self.desk.store
        return store if self.token is None else store.with_mark({"api_token": self.token.name})

    @property
    def deployment(self) -> Deployment:
        return self.desk.deployment

    def recorded_exchanges(self) -> Recorded:
        """Return the exchanges and the accounts table on record here; empty if there are none."""
        deployment = self.deployment
        if not isinstance(deployment, Recording):
            return Recorded()
        return Recorded(deployment.captured_files(), deployment.accounts_table())

    def may(self, role: UserRole) -> bool:
        return self.user.role >= role

    def must_have_factor(self) -> bool:
        """Return whether the owner requires a second factor of this user, who has none yet."""
        store, me = self.store, self.user
        return (
            me.role.name.lower() in self.desk.settings.second_factor
            and people.has_password(store, me.name)
            and not second_factor.is_confirmed(store, me.name)
        )

    def url(self, path: str, **query: Any) -> str:
        """Return the address of a page, below the console's mount point."""
        return address(self.http, path, **query)

    def part(self, name: str) -> str:
        return str(self.http.path_params[name])

    def number_in_path(self, name: str) -> int:
        return int(self.http.path_params[name])

    def query(self, name: str) -> str:
        """Return one query parameter; empty if it is missing."""
        return self.http.query_params.get(name, "")[:LONGEST_NAME]

    def query_number(self, name: str, most: int = LARGEST) -> int:
        """Return a query parameter as a whole number; 0 if it is missing. Raises: ConsoleError."""
        return number(self.query(name), name, 0, most)

    def form(self, name: str, longest: int = LONGEST_TEXT) -> str:
        """Return one field of the form, stripped. Raises: ConsoleError if it is too long."""
        text = (self.all_of(name) or [""])[-1].strip()
        if len(text) > longest:
            raise ConsoleError(f"{name} has {len(text):,} characters; give at most {longest:,}")
        return text

    def form_number(self, name: str, default: int | None = None) -> int | None:
        text = self.form(name, 40)
        return default if not text else number(text, name, 0, LARGEST)

    def all_of(self, name: str) -> list[str]:
        """Return every value of a field."""
        fields: dict[str, list[str]] = self.http.scope["state"]["form"]
        return fields.get(name, [])

    def accounts(self) -> list[str]:
        """Return the accounts of the form, as `in_form` wrote them."""
        return sorted({from_form(text) for text in self.all_of("account") if len(text) <= LONGEST_NAME})

    def stated(self) -> dict[str, Any]:
        """Return who changes a case, why, when, and the revision that they saw."""
        return {
            "who": self.user.name,
            "why": self.why(),
            "now_us": self.now_us,
            "if_revision": self.revision(),
        }

    def revision(self) -> int | None:
        """The revision of the case that the form was made from."""
        return self.form_number("revision")

    def why(self) -> str:
        """Return the reason. Raises: ConsoleError if there is none."""
        text = self.form("why")
        if not text:
            raise ConsoleError("say why: it is what the next reader of the record has")
        return text


View = Callable[[PageRequest], Shown | Response]


def address(request: Request, path: str, **query: Any) -> str:
    """Return an address below the mount point, with the query parameters that are not empty."""
    parameters = {key: str(value) for key, value in query.items() if value not in (None, "")}
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return root + path + (f"?{urlencode(parameters, errors='surrogatepass')}" if parameters else "")


def in_form(name: str) -> str:
    r"""Encode a name so that a form keeps it intact: browsers alter line ends, NUL and lone surrogates.

    >>> in_form("a\nb\ud800")
    '"a\\nb\\ud800"'
    """
    return json.dumps(name, ensure_ascii=True)


def from_form(text: str) -> str:
    """Read the output of `in_form`; anything else is a plain name."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return values if isinstance(values, str) else text


def number(text: str, name: str, default: int, most: int) -> int:
    """Read a whole number from 0 to `most`. Raises: ConsoleError."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise ConsoleError(f"{name} is {text[:40]!a}; give a whole number from 0 to {most:,}")
    return int(text)
