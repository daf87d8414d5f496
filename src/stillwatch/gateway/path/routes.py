"""What a request's method and target mean under the current policy: computed once, and cached.

Clients repeat a few targets. Nothing here depends on a body, a key or the caller.
"""

import msgspec

from stillwatch.exchanges.operations import OperationMatch, Operations
from stillwatch.gateway.path.forwarding import why_not_forwarded
from stillwatch.gateway.path.objects import Place, place_of
from stillwatch.gateway.path.trained_models import models_in_path
from stillwatch.gateway.path.upstream import Target
from stillwatch.terms import Terms

REMEMBERED, LONGEST = 1_024, 512  # routes, and characters of a target: clients can invent targets


class Route(msgspec.Struct, frozen=True):
    """The meaning of one method and target."""

    match: OperationMatch | None
    place: Place
    models: tuple[str, ...]  # the parts of its path that may be a model's whole name
    refusal: str | None  # why it does not go upstream
    start: bytes  # the first line of its head, for the upstream
    by_owner: bool = False
    makes: str | None = None  # the kind of the object that it creates


class Routes:
    """The routes under one version of the policy, to one upstream."""

    def __init__(self, terms: Terms, operations: Operations, upstream: Target) -> None:
        self._terms, self._operations, self._upstream = terms, operations, upstream
        self._known: dict[tuple[str, str], Route] = {}

    def find(self, method: str, target: str) -> Route:
        route = self._known.get((method, target))
        if route is None:
            route = self._read(method, target)
            if len(target) <= LONGEST:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[method, target] = route
        return route

    def _read(self, method: str, target: str) -> Route:
        match = self._operations.find(method, target)
        refusal = why_not_forwarded(self._terms, match, method, target)
        found = match, place_of(target), models_in_path(target), refusal, self.start(method, target)
        return Route(*found, match.line.by_owner, match.line.makes) if match else Route(*found)

    def start(self, method: str, target: str) -> bytes:
        """Return the first line of a head."""
        return f"{method} {self._upstream.path(target)} HTTP/1.1\r\n".encode("latin-1")
