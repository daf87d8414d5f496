"""Which operations go upstream at all, and how the owner allows the others. It knows no models."""

from stillwatch.exchanges.operations import NAMES_A_MODEL, REFUSED, OperationMatch
from stillwatch.gateway.path.request import BadRequest, Facts
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
    return _allowed_by(_WHY[match.does if match else "unknown"], request, "…")


def refuse_unseen(match: OperationMatch | None, facts: Facts, request: Request) -> None:
    """Raises: BadRequest for questions, or answers, that nobody would count or capture."""
    if match is not None and match.line.by_owner:
        return
    if facts.hook and facts.does in NAMES_A_MODEL:
        raise BadRequest(403, "answer_elsewhere", _allowed_by(_HOOK.format(facts.hook), request, facts.does))
    if facts.batch is not None and facts.batch.untold:
        raise BadRequest(403, "batch_unknown", _allowed_by(_UNSEEN, request, "begins"))


def _allowed_by(why: str, request: Request, does: str) -> str:
    path = request.target.partition("?")[0][:200]
    line = f'[[operation]] with method = "{request.method}", path = "{path}" and does = "{does}"'
    return f"{why} The owner can allow it in the terms: {line}."


_HOOK = "`{}` would have the answer sent past this gateway; fetch it through the gateway instead."
_UNSEEN = (
    "The questions of this batch are neither in the request nor in a file that came through this gateway."
)


_WHY = {
    "unknown": "The gateway does not know what this request does, so that nobody could count what it brings.",
    "opens": "A model would write where the gateway cannot see it: sessions are not opened through it.",
    "mints": "Keys and addresses that work without this gateway are not given out through it.",
    "administers": "What rules the organisation or the server does not go through this gateway.",
}
