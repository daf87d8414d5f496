"""Access logs in JSON with the request's body: nginx with `escape=json` and `$request_body`, and similar.

Field names are the operator's choice; those of nginx variables and their usual spellings are recognised. An
API key in a header is never kept: the account is then `key_` and the beginning of its SHA-256. Logs without
bodies are not read.
"""

from collections.abc import Iterator

from stillwatch.exchanges.answers import answer_of
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Stateless
from stillwatch.exchanges.formats.openai import exchange, operation_of
from stillwatch.exchanges.messages import first, from_text
from stillwatch.exchanges.values import key_name

TIME = ("time_iso8601", "msec", "time_local", "time", "timestamp", "@timestamp", "ts")
ACCOUNT = (
    "account", "account_id", "consumer", "consumer_id", "tenant", "org", "api_key_id", "key_id",
    "remote_user",
)  # fmt: skip
SECRET = ("http_authorization", "authorization", "http_x_api_key", "x_api_key", "http_api_key")
BODY = ("request_body", "req_body", "body")
ANSWER = ("response_body", "resp_body")
WEB = ("remote_addr", "time_iso8601", "time_local", "msec", "http_user_agent", "request_uri", "upstream_addr")


def sniff(obj: Json) -> bool:
    return any(name in obj for name in BODY) and any(name in obj for name in WEB)


def rows(obj: Json) -> Iterator[Item]:
    request = from_text(_first(obj, BODY))
    if not isinstance(request, dict):
        raise Refused("its request body is no whole JSON object (nginx leaves out a body that went to disk)")
    secret = _first(obj, SECRET)
    account = first(_first(obj, ACCOUNT), key_name(secret) if isinstance(secret, str) else None)
    line = _first(obj, ("request", "request_uri", "uri"))
    path = line.split(" ")[1] if isinstance(line, str) and line.count(" ") == 2 else line
    row = exchange(request, answer_of(_first(obj, ANSWER))) | {
        "exchange_id": obj.get("request_id"),
        "time": _first(obj, TIME),
        "account": account,
        "client_ip": _first(obj, ("remote_addr", "client_ip")),
        "user_agent": _first(obj, ("http_user_agent", "user_agent")),
        "operation": operation_of(path, request),
        "status": obj.get("status"),
        "latency_ms": _milliseconds(obj.get("request_time")),
    }
    if account is None:
        raise Refused(f"has no account (accepted: {', '.join(ACCOUNT)}; {', '.join(SECRET)})", row=row)
    yield row


def _first(obj: Json, names: tuple[str, ...]) -> object:
    """Return the first of these with a value; nginx writes a dash for an empty one."""
    return next((obj[name] for name in names if obj.get(name) not in (None, "", "-")), None)


def _milliseconds(seconds: object) -> int | None:
    try:
        number = float(seconds) if isinstance(seconds, int | float | str) else -1.0
    except ValueError:
        return None
    return round(number * 1000) if 0 <= number < 1e6 else None


FORMAT = Format(name="access log in JSON", order=55, sniff=sniff, open=lambda: Stateless(rows))
