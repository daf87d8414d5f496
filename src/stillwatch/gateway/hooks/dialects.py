"""The formats in which gateways request a decision and receive it.

A path names the dialect, with options after semicolons: `/decide/envoy;account=x-user-id`. Options are in the
gateway's own configuration, so no client can set them: `account=HEADER` (the gateway vouches for that header;
without it the account is that of the client's key), `org=HEADER`, `model=HEADER`, `address=HEADER`,
`capture=yes` (allowed requests are recorded, as far as they were shown), `answers=yes` (the gateway reports
when an answer arrives or ends), `held=SECONDS` (the longest time that an answer may be pending).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode, decode_mended
from stillwatch.gateway.hooks import TICKET, Header, HookReply, ReportedRequest, TermsJudgement
from stillwatch.gateway.hooks.door import header
from stillwatch.gateway.path.amounts import MOST_N, MOST_TOKENS
from stillwatch.gateway.path.answers import error_body, error_object, safe
from stillwatch.gateway.path.caller import caller, read_headers
from stillwatch.gateway.path.forwarding import refuse_links
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.naming import in_headers
from stillwatch.gateway.path.object_access import refuse_foreign
from stillwatch.gateway.path.request import (
    LOOKED_THROUGH,
    BadRequest,
    Facts,
    holds_too_many,
    operation_of,
    read,
)
from stillwatch.gateway.path.server import Client, Request
from stillwatch.terms import Decision

OPTIONS = ("account", "org", "model", "address", "capture", "answers", "held")
JSON: Header = (b"content-type", b"application/json")
MOST_NAMES = 1_000  # models or hosts in one question
OF_A_REPORT = 4  # times the limit of a request: OTLP writes two objects for each attribute
MOST_FIELDS = 50  # of a query
MOST_BYTES = 1 << 40  # of a body
LONGEST_NUMBER = 20  # most digits of a client's number that are parsed
LONGEST_ACCOUNT = 512
_TRUTHS: dict[str, object] = {"true": True, "false": False}
_NGINX_TAKES = (401, 403)  # nginx turns any other refusal of an auth_request into a 500


@dataclass(frozen=True)
class DecidePath:
    """A parsed path below /decide."""

    dialect: str
    options: Mapping[str, str] = field(default_factory=dict)
    rest: str = ""  # Envoy appends the client's own target to the path


@dataclass(frozen=True)
class DialectRequest:
    """A request as the gateway shows it, with the facts that its record needs."""

    asked: ReportedRequest
    facts: Facts
    request: Request | None = None  # the client's own, if shown
    address: str | None = None
    served: str | None = None  # the check is of a reply: this model answered
    counts: bool = True  # against the account's limits; else it is only checked


def way_of(target: str) -> DecidePath:
    """Parse a target. Raises: BadRequest for an unknown dialect or option."""
    path, _, rest = target.removeprefix("/decide").removeprefix("/").partition("/")
    path = path if rest or "/" in target[8:] else path.partition("?")[0]
    name, *pairs = path.split(";")
    options = dict(pair.partition("=")[::2] for pair in pairs)
    if len(options) < len(pairs) or (name == "envoy" and "/" not in target.removeprefix("/decide/")):
        # Envoy writes the client's own target behind the options
        raise BadRequest(400, "bad_target", "a target must begin with a slash")
    unknown = [key for key in options if key not in OPTIONS]
    if (name or "json") not in SPOKEN or unknown:
        wrong = f"option {unknown[0]!r}" if unknown else f"dialect {name!r}"
        known = f"dialects: {', '.join(SPOKEN)}; options: {', '.join(OPTIONS)}"
        raise BadRequest(404, "unknown_dialect", f"{wrong} is not known; {known}")
    return DecidePath(name or "json", options, "/" + rest)


def question(gate: Gate, client: Client, way: DecidePath, request: Request, now_us: int) -> DialectRequest:
    """Read another gateway's request for a decision. Raises: BadRequest if it must be refused at once."""
    if way.dialect == "json":
        return _plain(gate, request)
    if way.dialect == "envoy":
        shown = request
        shown.target = way.rest
    else:
        # Only headers that this kind of gateway writes itself: others may be the client's.
        prefix = b"x-original-" if way.dialect == "nginx" else b"x-forwarded-"
        method, target = _text(request, prefix + b"method"), _text(request, prefix + b"uri")
        if target is None:
            raise BadRequest(400, "bad_request", f"the gateway sent no {prefix.decode()}uri header")
        shown = Request(
            method or request.method, target, request.headers, request.keys, request.body, True, True
        )
    return _dialect_request(gate, client, way, shown, now_us)


def _dialect_request(
    gate: Gate, client: Client, way: DecidePath, shown: Request, now_us: int
) -> DialectRequest:
    """Build the client's own request, as far as the gateway forwards it."""
    name = way.options.get("account")
    if name is None:
        who = caller(gate, client, shown, now_us)
        account, number, key_id, org = who.account, who.number, who.key_id, who.org
        end_user = who.end_user
    else:
        account, number, key_id, org = _vouched_header(shown, name), None, "", None
        end_user = None
        read_headers(shown)  # refuses headers that would change the request
    if "org" in way.options:
        org = _text(shown, way.options["org"].encode())
    kind = (_text(shown, b"content-type") or "").lower()
    coding = (_text(shown, b"content-encoding") or "").strip().lower()
    operations, limit = gate.operations, gate.terms.capture.max_body_bytes
    facts = read(shown.method, shown.target, kind, coding, shown.body, limit, operations)
    refuse_links(gate.terms, operations.find(shown.method, shown.target), shown.body, kind, coding)
    if gate.terms.identity.keys == "issued":
        refuse_foreign(gate, account, facts, shown.target)
    models = tuple(dict.fromkeys((*facts.models, *in_headers(shown.headers))))
    if "model" in way.options:
        named = _text(shown, way.options["model"].encode())
        models = (named, *models) if named else models
    reported = ReportedRequest(
        account, number, key_id, org, facts.end_user or end_user, facts.operation, models, (), facts.stream,
        facts.n, facts.logprobs, len(shown.body), blind=not shown.body, does=facts.does, most=facts.most,
        answers=facts.answers, background=facts.background, stored=facts.stored, method=shown.method,
    )  # fmt: skip
    address = _text(shown, way.options["address"].encode()) if "address" in way.options else None
    return DialectRequest(reported, facts, shown, address.rpartition(",")[2].strip() if address else None)


def _vouched_header(request: Request, name: str) -> str:
    account = _text(request, name.encode())
    if not account or len(account) > LONGEST_ACCOUNT:
        raise BadRequest(401, "no_account", f"the gateway sent no account in {name}")
    return account


def _text(request: Request, name: bytes) -> str | None:
    value = header(request, name)
    return None if value is None else value.decode("latin-1")


def _plain(gate: Gate, request: Request) -> DialectRequest:
    """Read a request in this gateway's own format: JSON, or a query string."""
    if request.method == "GET":
        fields = _query_fields(request.target.partition("?")[2])
    else:
        fields = json_object(request.body)
    models = _names(fields, "models") or _names(fields, "model")
    account, operation = fields.get("account"), fields.get("operation", "chat")
    if not isinstance(account, str) or not 0 < len(account) <= LONGEST_ACCOUNT:
        raise BadRequest(400, "no_account", "account must be a text of 1 to 512 characters")
    if not isinstance(operation, str):
        raise BadRequest(400, "bad_request", "operation must be a text")
    if operation.startswith("/"):
        operation = operation_of(operation)
    n, size = _number(fields, "n", MOST_N), _number(fields, "body_bytes", MOST_BYTES)
    most = _number(fields, "max_tokens", MOST_TOKENS)
    reported = ReportedRequest(
        account, None, "", _optional(fields, "org"), _optional(fields, "end_user"), operation,
        models, _names(fields, "hosts"), fields.get("stream") is True, n or 1,
        fields.get("logprobs") is True, size or 0, fields.get("blind") is True, most=most,
    )  # fmt: skip
    served = _optional(fields, "served")
    return DialectRequest(
        reported, Facts(operation, models=models), None, None, served, fields.get("count") is not False
    )


def _query_fields(query: str) -> dict[str, object]:
    """Read a query string as the equivalent JSON object. Raises: BadRequest."""
    try:
        pairs = parse_qsl(query, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise BadRequest(400, "bad_request", f"a query has at most {MOST_FIELDS} fields") from None
    return {name: _TRUTHS.get(value, value) for name, value in pairs}


def _number(fields: dict[str, object], key: str, most: int) -> int | None:
    """Return a whole number above 0, also from a query's text; absurdly large ones are cut to the most."""
    value = fields.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) < LONGEST_NUMBER else most
    return min(value, most) if type(value) is int and value > 0 else None


def json_object(body: bytes) -> dict[str, object]:
    """Parse a body that is one JSON object. Raises: BadRequest."""
    try:
        return _object(decode(few_values(body)))
    except Refused as why:
        raise BadRequest(400, "bad_json", f"the body {why}") from None


def reported_object(body: bytes) -> dict[str, object]:
    """Parse a report's body: clients' texts in it may have half a character or NaN. Raises: BadRequest."""
    try:
        return _object(decode_mended(few_values(body, OF_A_REPORT))[0])
    except Refused as why:
        raise BadRequest(400, "bad_json", f"the body {why}") from None


def few_values(body: bytes, times: int = 1) -> bytes:
    """Return a body that is quick to parse. Raises: Refused; `times` is that of `holds_too_many`."""
    if len(body) > LOOKED_THROUGH and holds_too_many(body, times):
        raise Refused("holds more values than any model takes")
    return body


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused("is no JSON object")
    return value


def _names(fields: dict[str, object], key: str) -> tuple[str, ...]:
    value = fields.get(key)
    names = [value] if isinstance(value, str) and value else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest(400, "bad_request", f"{key} must be texts")
    if len(names) > MOST_NAMES:
        raise BadRequest(400, "bad_request", f"{key} holds {len(names):,} names; at most {MOST_NAMES:,}")
    return tuple(dict.fromkeys(names))


def _optional(fields: dict[str, object], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) and value else None


# --- answers -----------------------------------------------------------------------------------------------


def answer(way: DecidePath, reported: ReportedRequest, judged: TermsJudgement, ticket: str = "") -> HookReply:
    """Write a decision in the gateway's own form. `ticket`: of the answer, which it reports later."""
    if way.dialect == "json":
        fields = _decision_fields(reported, judged.decision) | ({"answer": ticket} if ticket else {})
        return HookReply(200, msgspec.json.encode(fields), (JSON,), ticket)
    if not judged.decision.allow:
        return refusal(way.dialect, reported.operation, judged.decision)
    headers = _allow_headers(reported, judged.decision)
    if ticket:
        headers.append((TICKET, ticket.encode()))
    return HookReply(204 if way.dialect == "nginx" else 200, b"", tuple(headers), ticket)


def refusal(dialect: str, operation: str, decision: Decision) -> HookReply:
    """Return a refusal in the format of the client's API."""
    status = decision.status
    if dialect == "json":
        decision_fields = {
            "allow": False,
            "status": status,
            "code": decision.code,
            "message": decision.message,
        }
        return HookReply(status, msgspec.json.encode(decision_fields), (JSON,))
    headers = [
        JSON,
        (b"x-stillwatch-status", b"%d" % status),
        (b"x-stillwatch-code", safe(decision.code)),
        (b"x-stillwatch-rule", safe(decision.rule)),
        (b"x-stillwatch-reason", safe(decision.message)),
    ]
    if decision.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % decision.retry_after_s))
    if dialect == "nginx" and status not in _NGINX_TAKES:
        status = 403
    body = error_body(operation, decision.status, decision.code, decision.message)
    return HookReply(status, body, tuple(headers))


def _allow_headers(reported: ReportedRequest, decision: Decision) -> list[Header]:
    headers = [(b"x-stillwatch-account", safe(reported.account)), (b"x-stillwatch-rule", safe(decision.rule))]
    if decision.warn:
        headers.append((b"x-stillwatch-warning", safe(decision.warn)))
    # always sent: an empty one replaces a header that a client made up
    headers.append((b"x-stillwatch-mark", safe(decision.mark or "")))
    if decision.strip:
        headers.append((b"x-stillwatch-strip", b"yes"))
    return headers


def _decision_fields(reported: ReportedRequest, decision: Decision) -> dict[str, object]:
    fields: dict[str, object] = {
        name: value
        for name in decision.__slots__
        if (value := getattr(decision, name)) not in (None, "", False) or name == "allow"
    }
    if not decision.allow:
        fields["error"] = error_object(reported.operation, decision.status, decision.code, decision.message)
    return fields


SPOKEN = ("json", "envoy", "nginx", "forward")
