"""Classifies errors of the client: wait, try again, give the sample up, or stop."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from stillwatch.distill.collect.reply import NotAnAnswer


class Remedy(Enum):
    """How to react."""

    PAUSE = "pause"  # too many at once: no requests for a while
    AGAIN = "again"  # not answered and not paid
    DOUBT = "doubt"  # perhaps answered and paid: it counts as paid
    GIVE_UP = "give up"  # this request will never be answered
    STOP = "stop"  # no request will ever be answered


@dataclass(frozen=True)
class TeacherError:
    """A classified error."""

    means: Remedy
    text: str
    status: int | None = None
    wait_s: float | None = None  # as requested by the teacher
    unreached: bool = False  # nothing listens at the address
    unreadable: bool = False  # it answers, but not with a chat completion


def trouble(error: Exception, key_variable: str, base_url: str) -> TeacherError:
    """Classify an error of the `openai` client."""
    import openai

    if isinstance(error.__cause__, NotAnAnswer):  # raised while the reply was read
        error = error.__cause__
    if isinstance(error, openai.APIStatusError):
        return _status(
            error.status_code, _teacher_words(error), error.response.headers, key_variable, base_url
        )
    if isinstance(error, openai.APITimeoutError):
        if _kinds(error.__cause__) & {"ConnectTimeout", "PoolTimeout"}:
            return TeacherError(Remedy.AGAIN, "no connection within the time", unreached=True)
        return TeacherError(Remedy.DOUBT, "no answer within the time (collect.timeout_s)")
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        if "ConnectError" in _kinds(cause):
            return TeacherError(Remedy.AGAIN, f"cannot be reached: {cause}", unreached=True)
        if _kinds(cause) & {"UnsupportedProtocol", "InvalidURL", "UnicodeError"}:
            return TeacherError(Remedy.STOP, f"{base_url} is no address: {cause}")
        if "LocalProtocolError" in _kinds(cause):
            return TeacherError(Remedy.STOP, f"the key in {key_variable} or a header cannot be sent: {cause}")
        return TeacherError(Remedy.DOUBT, f"the connection broke: {cause or error}")
    if isinstance(error, TimeoutError):
        return TeacherError(Remedy.DOUBT, "no whole answer within the time (collect.timeout_s)")
    if isinstance(error, NotAnAnswer):
        return TeacherError(Remedy.DOUBT, f"the answer is no chat completion: {error}", 200, unreadable=True)
    if isinstance(error, UnicodeEncodeError | TypeError):
        return TeacherError(Remedy.STOP, f"the key in {key_variable} or a header cannot be sent: {error}")
    return TeacherError(Remedy.DOUBT, f"the answer cannot be read: {error}")


def _status(status: int, message: str, headers: Any, key_variable: str, base_url: str) -> TeacherError:
    text = f"HTTP {status}: {message}"
    if 300 <= status < 400:
        target = str(headers.get("location", "nowhere"))[:200]
        hint = f"it sends on to {target!r}; prompts and keys go to the plan's own address only"
        return TeacherError(
            Remedy.STOP, f"HTTP {status}: {hint} (if that one is right, put it there)", status
        )
    if status == 401:
        hint = f"the key in {key_variable} is not accepted (or the variable is not set)"
        return TeacherError(Remedy.STOP, f"{text}; {hint}", status)
    if status in (402, 403):
        return TeacherError(Remedy.STOP, text, status)
    if status == 404:
        hint = f"is there a teacher of that name at {base_url}? (most end in /v1)"
        return TeacherError(Remedy.STOP, f"{text}; {hint}", status)
    if status == 429 and ("insufficient_quota" in message or "exceeded your current quota" in message):
        return TeacherError(Remedy.STOP, text, status)
    if status in (429, 503, 529):
        return TeacherError(Remedy.PAUSE, text, status, _retry_after_s(headers))
    if status in (408, 502, 504, 520, 522, 524):  # a proxy gave up; the teacher may have answered
        return TeacherError(Remedy.DOUBT, text, status)
    if status >= 500 or status in (409, 425):
        return TeacherError(Remedy.AGAIN, text, status, _retry_after_s(headers))
    if "max_completion_tokens" in message:
        text += ' (set collect.max_tokens_field to "max_completion_tokens")'
    return TeacherError(Remedy.GIVE_UP, text, status)


def _kinds(error: BaseException | None) -> set[str]:
    """Return the names of an error's classes: the client's transport is httpx or httpx2, by its version."""
    return {kind.__name__ for kind in type(error).__mro__}


def _teacher_words(error: Any) -> str:
    """Return the teacher's own message, shortened."""
    body = error.body
    if isinstance(body, dict):
        wrapped = body.get("error")
        inner: dict[str, Any] = wrapped if isinstance(wrapped, dict) else body
        words = [str(inner[key]) for key in ("code", "message") if inner.get(key)]
        if words:
            return " ".join(words)[:500]
    return str(error.message)[:500]


def _retry_after_s(headers: Any) -> float | None:
    """Return Retry-After in seconds or as a date, or OpenAI's own in milliseconds; None if absent."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (value := headers.get("retry-after")):
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
