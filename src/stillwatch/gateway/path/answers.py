"""The gateway's own replies to a client, in the format of the API that the client uses."""

import json

from stillwatch.gateway.path.upstream import Header

OPENAI_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 413: "invalid_request_error", 429: "rate_limit_error",
}  # fmt: skip
ANTHROPIC_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error",
}  # fmt: skip
REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    413: b"Content Too Large", 415: b"Unsupported Media Type", 429: b"Too Many Requests",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway",
    503: b"Service Unavailable", 504: b"Gateway Timeout",
}  # fmt: skip


def error_object(operation: str, status: int, code: str, message: str) -> dict[str, object]:
    """Return an error in the API's own format."""
    if operation == "messages":
        kind = ANTHROPIC_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message, "code": code}}
    kind = OPENAI_TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def error_body(operation: str, status: int, code: str, message: str) -> bytes:
    return json.dumps(error_object(operation, status, code, message)).encode()


def error_headers(retry_after_s: int | None) -> list[Header]:
    headers = [(b"content-type", b"application/json")]
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    return headers


def error_event(operation: str, status: int, code: str, message: str) -> bytes:
    """Return an error as the last event of a stream that has begun."""
    data = error_body(operation, status, code, message)
    if operation == "messages":
        return b"event: error\ndata: " + data + b"\n\n"
    if operation == "responses":
        event = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + json.dumps(event).encode() + b"\n\n"
    return b"data: " + data + b"\n\n"


def safe(text: str) -> bytes:
    """Make a text safe as a header's value."""
    return text.encode("ascii", "replace").translate(None, b"\r\n\0")[:400]
