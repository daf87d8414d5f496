"""Which operations go upstream at all, and how the owner allows the others. It knows no models."""

from stillwatch.exchanges.operations import REFUSED, OperationMatch
from stillwatch.gateway.path.server import Request
from stillwatch.terms import Terms


def why_not_forwarded(terms: Terms, match: OperationMatch | None, request: Request) -> str | None:
    """Why an operation does not go upstream, or None. The owner's own lines go, whatever they do."""
    if match is None and (terms.capture.unknown_paths == "pass" or request.method in ("GET", "HEAD")):
        return None
    if match is not None and (match.line.by_owner or match.does not in REFUSED):
        return None
    if match is not None and match.does == "mints" and terms.identity.keys == "upstream":
        return None
    why = _WHY[match.does if match else "unknown"]
    path = request.target.partition("?")[0][:200]
    line = f'[[operation]] with method = "{request.method}", path = "{path}" and does = "…"'
    return f"{why} The owner can allow it in the terms: {line}."


_WHY = {
    "unknown": "The gateway does not know what this request does, so that nobody could count what it brings.",
    "opens": "A model would write where the gateway cannot see it: sessions are not opened through it.",
    "mints": "Keys that work without this gateway are not given out through it.",
    "administers": "What rules the organisation or the server does not go through this gateway.",
}
