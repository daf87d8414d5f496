"""Convert one value from what a source wrote to the record's type, exactly or not at all."""

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property

from stillwatch.exchanges.formats import Refused, Row
from stillwatch.units import time_of, us

EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)  # older than any model API to watch
SKEW = timedelta(minutes=5)  # how far a writer's clock may be ahead of ours
INT64 = 2**63


@dataclass(frozen=True)
class Clock:
    """The range of possible times. `now` is passed in; no clock is read here."""

    now: datetime
    assume_utc: bool = False

    @cached_property
    def first_us(self) -> int:
        return us(EARLIEST)

    @cached_property
    def last_us(self) -> int:
        return us(self.now + SKEW)


_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? +"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_HARMLESS = re.compile(  # a number, or a date with the names of its parts, one zone, AM or PM
    rf"[-+]?[0-9][0-9T:.,+/ eE-]{{0,38}}(?:[Zz]|(?<=[0-9]) ?[A-Z]{{2,5}})?"
    rf"|(?:{_DAY})?(?:[0-9]{{1,2}}[ /-]+)?{_MONTH}[0-9:.,+/ -]{{2,32}}(?:[A-Z]{{1,5}})?(?: [0-9]{{4}})?"
)


def show(value: object) -> str:
    """Return a value for a message without its text, since a prompt may be in the wrong column.

    >>> show("2026-13-45T00:00"), show("tell me a secret"), show([1, 2]), show(None)
    ("'2026-13-45T00:00'", 'a text of 16 characters', 'a list of 2', 'null')
    >>> show("2026-03-02 09:12:00 PST"), show("Mon Mar  2 09:12:00 PST 2026")
    ("'2026-03-02 09:12:00 PST'", "'Mon Mar  2 09:12:00 PST 2026'")
    """
    if value is None:
        return "null"
    if isinstance(value, str | bytes):
        harmless = isinstance(value, str) and _HARMLESS.fullmatch(value)
        return repr(value) if harmless or not value else f"a text of {len(value)} characters"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def as_time(value: object, clock: Clock) -> int:
    """Return microseconds since 1970 from ISO 8601 with a zone, a datetime, or epoch s, ms, us or ns."""
    if type(value) is dict:
        value = _of_database(value)
    if isinstance(value, str):
        value = _parse_value(value.strip())
    if isinstance(value, bool) or value is None:
        raise Refused(f"time {show(value)} is no time; right would be 2026-03-01T12:00:00Z or epoch seconds")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            if not clock.assume_utc:
                raise Refused(
                    f"time {show(value.isoformat())} has no zone; right would be {value.isoformat()}Z or "
                    f"{value.isoformat()}+02:00 (or say that such times are UTC: --assume-utc, "
                    "in Python assume_utc=True)"
                )
            value = value.replace(tzinfo=UTC)
        at_us = us(value)
    elif isinstance(value, int | float):
        at_us = _from_epoch(value)
    else:
        raise Refused(f"time {show(value)} is no time; right would be 2026-03-01T12:00:00Z or epoch seconds")
    check_time(at_us, clock)
    return at_us


def check_time(at_us: int, clock: Clock) -> None:
    """Raise Refused if `at_us` is before 2015 or ahead of the clock."""
    if clock.first_us <= at_us <= clock.last_us:
        return
    try:
        shown = time_of(at_us).isoformat()
    except OverflowError:
        shown = f"{at_us:.3g} us" if abs(at_us) < 1e300 else "beyond all bounds"
    if at_us < clock.first_us:
        raise Refused(f"time {shown} is before 2015; right would be the time of the request, with its zone")
    raise Refused(f"time {shown} lies in the future (now is {clock.now.isoformat(timespec='seconds')})")


TIME_LENGTH = 64  # characters; longer than any notation of a time
ISO = re.compile(  # what `fromisoformat` rejects: midnight as 24:00, a leap second, Java's zone in brackets
    r"(?P<day>\d{4}-\d\d-\d\d)[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]0*)?)?"
    r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?(?:\[[A-Za-z0-9_+/-]{1,40}\])?"
)
NAMED_ZONE = re.compile(r".*\d ?(?P<zone>[A-Z]{1,5})(?: \d{4})?")
WRITTEN = (  # not ISO 8601, but with a zone
    "%d/%b/%Y:%H:%M:%S %z",  # nginx, Apache
    "%a, %d %b %Y %H:%M:%S %z",  # mail; HTTP writes GMT for +0000
    "%a %b %d %H:%M:%S %Y",  # C and Python without a zone
    "%b %d, %Y @ %H:%M:%S.%f",  # Kibana, in its viewer's zone
)


ROUNDED = "was rounded by a spreadsheet; right would be all its digits: export such columns as text"
_ROUNDED = re.compile(r"[0-9][.,]?[0-9]{0,8}[eE]\+[0-9]{1,2}")


def is_rounded(text: str) -> bool:
    """Return whether this is a long number as spreadsheets shorten it, without most of its digits.

    >>> is_rounded("1.77244E+12"), is_rounded("1.772442720123E9"), is_rounded("acct-1")
    (True, False, False)
    """
    return _ROUNDED.fullmatch(text) is not None


def _parse_value(text: str) -> datetime | float | int:
    if len(text) > TIME_LENGTH:
        raise Refused(f"time {show(text)} is no time; right would be 2026-03-01T12:00:00Z")
    if "+" in text and is_rounded(text):
        raise Refused(f"time {show(text)} {ROUNDED}")
    for parse in (int, float, datetime.fromisoformat, _with_utc):
        try:
            return parse(text)
        except ValueError:
            continue
    before, _, zone = text.rpartition(" ")
    if zone in ("GMT", "UTC"):
        text = before if before[-5:-4] in ("+", "-") else f"{before} +0000"
    try:  # Go: "2026-03-02 12:00:00.123456789 +0000 UTC"
        return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
    except ValueError:
        pass
    for pattern in WRITTEN:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - a time without a zone is refused later
        except ValueError:
            continue
    if (moment := _parse_unusual(text)) is not None:
        return moment
    named = NAMED_ZONE.fullmatch(text)
    if named and named["zone"] not in ("AM", "PM", "T", "Z"):
        raise Refused(
            f"time {show(text)} names its zone {named['zone']}, which may be several; right would be its "
            "offset, as in 2026-03-01T12:00:00-08:00"
        )
    raise Refused(f"time {show(text)} is no time; right would be 2026-03-01T12:00:00Z")


def _with_utc(text: str) -> datetime:
    """Parse Postgres and pandas: "2026-03-01 12:00:00+00:00 UTC", "... UTC", "... Z"."""
    return datetime.fromisoformat(text.removesuffix("UTC").removesuffix("Z").strip() + "+00:00")


def _parse_unusual(text: str) -> datetime | None:
    """Parse 24:00 as the next day's start, second 60 as the next minute's, a zone named after its offset."""
    match = ISO.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = match["hour"], match["minute"], match["second"] or "00"
    later = timedelta()
    if (hour, minute, second) == ("24", "00", "00"):
        hour, later = "00", timedelta(days=1)
    elif second == "60":
        second, later = "59", timedelta(seconds=1)
    try:
        return datetime.fromisoformat(f"{match['day']}T{hour}:{minute}:{second}{match['zone'] or ''}") + later
    except (ValueError, OverflowError):
        return None


def _from_epoch(value: float) -> int:
    if not math.isfinite(value):
        raise Refused(f"time {show(value)} is no time")
    size = abs(value)
    if size < 1e11:  # seconds until the year 5138
        return round(value * 1_000_000)
    if size < 1e14:  # milliseconds
        return round(value * 1_000)
    if size < 1e17:
        return round(value)
    return round(value) // 1_000 if isinstance(value, int) else round(value / 1_000)


# prefixes of secrets: OpenAI and its imitators, Stripe, Google, an Authorization header
SECRET = r"^(?:(?:sk|rk)[-_][A-Za-z0-9_-]{20,}|AIza[A-Za-z0-9_-]{30,}|[Bb]earer \S{16,})$"
_IS_SECRET = re.compile(SECRET)


def key_name(secret: str) -> str:
    """Return a name for an account that is identified by its API key: no report may contain a key."""
    key = secret.removeprefix("Bearer ").removeprefix("bearer ").strip()
    return f"key_{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:16]}"


def without_key(account: str) -> str:
    """Return the account's name, or the key's name if it is a live API key.

    >>> without_key("acct-1"), without_key("sk-4f9a0c22d1e85b7736aa")[:4]
    ('acct-1', 'key_')
    """
    return key_name(account) if len(account) > 20 and _IS_SECRET.match(account) else account


def _of_database(value: object) -> object:
    """Return a value without the type that MongoDB's exports wrap around it.

    >>> _of_database({"$date": {"$numberLong": "1772442720000"}}), _of_database({"a": 1}), _of_database("b")
    ('1772442720000', {'a': 1}, 'b')
    """
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)) in DATABASE_TYPES:
        value = next(iter(value.values()))
    return value


DATABASE_TYPES = ("$date", "$oid", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal")


def as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if type(value) is dict and (inner := _of_database(value)) is not value:
        return as_text(inner)
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)  # pandas' column of numbers with a gap, BigQuery's NUMERIC
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an account written as a number is still that account
    raise Refused(f"must be a text, is {show(value)} ({type(value).__name__})")


def as_int(value: object, low: int, high: int) -> int:
    """Return an exact integer: 12, "12" and 12.0, not 12.5, true or "twelve"."""
    number: int
    if isinstance(value, bool):
        raise Refused(f"must be a whole number, is {show(value)}")
    if isinstance(value, int):
        number = value
    elif isinstance(value, str):
        try:
            number = int(value)
        except ValueError:
            as_number = as_float(value)
            if not as_number.is_integer():
                raise Refused(f"must be a whole number, is {show(value)}") from None
            number = int(as_number)
    elif isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        number = int(value)
    elif (inner := _of_database(value)) is not value:
        return as_int(inner, low, high)
    else:
        raise Refused(f"must be a whole number, is {show(value)}")
    if not low <= number <= high:
        raise Refused(f"must be from {low} to {high}, is {show(value)}")
    return number


def as_float(value: object) -> float:
    if type(value) is dict:
        value = _of_database(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise Refused(f"must be a number, is {show(value)}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Refused(f"must be a number, is {show(value)}") from None
    if not math.isfinite(number):
        raise Refused(f"must be a finite number, is {show(value)}")
    return number


def as_setting(value: object) -> float:
    """Return a number that may have a decimal comma, as spreadsheets in much of the world write it: 0,7."""
    if isinstance(value, str) and "," in value and "." not in value:
        value = value.replace(",", ".", 1)
    return as_float(value)


def as_milliseconds(value: object) -> int:
    """Return a duration, rounded: clocks give fractions."""
    is_whole = isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    return as_int(value if is_whole else float(round(as_float(value))), *INTS["latency_ms"])


ENDINGS = {  # how an exchange ended, in words -> the status of such an answer
    **dict.fromkeys(("success", "succeeded", "successful", "ok", "completed", "complete", "done"), 200),
    **dict.fromkeys(("error", "failure", "failed", "exception"), 500),
    "timeout": 504, "rate_limited": 429,
}  # fmt: skip
_CODE = re.compile(r"(?:HTTP/[0-9.]+ +)?([1-9][0-9]{2})(?: [A-Za-z -]{1,40})?")


def as_status(value: object) -> int:
    """Return an HTTP status: 200, "200", "200 OK", "HTTP/1.1 200 OK", or a word for how it ended.

    >>> as_status("200 OK"), as_status("Success"), as_status(429)
    (200, 200, 429)
    """
    if isinstance(value, str) and not value.isdigit():
        word = value.strip()
        code = _CODE.fullmatch(word)
        value = int(code[1]) if code else ENDINGS.get(word.lower(), value)
    return as_int(value, *INTS["status"])


def as_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    flag = value.strip().lower() if isinstance(value, str) else value
    if flag in ("true", "1", "t", 1):
        return True
    if flag in ("false", "0", "f", 0):
        return False
    raise Refused(f"must be true or false, is {show(value)}")


INT32_MAX = 2**31 - 1
INTS: dict[str, tuple[int, int]] = {  # bounds by column
    "asn": (0, 2**32 - 1),
    "turn": (0, INT32_MAX),
    "tools": (0, INT32_MAX),
    "input_tokens": (0, INT64 - 1),
    "output_tokens": (0, INT64 - 1),
    "reasoning_tokens": (0, INT64 - 1),
    "max_tokens": (-1, INT64 - 1),  # some clients write -1 for "no limit"
    "n": (0, INT32_MAX),
    "seed": (-INT64, INT64 - 1),
    "top_logprobs": (0, INT32_MAX),
    "status": (0, 999),
    "latency_ms": (0, INT64 - 1),
}
FLOATS = ("temperature", "top_p")
BOOLS = ("stream",)


def _int_of(name: str) -> Callable[[object], object]:
    low, high = INTS[name]
    return lambda value: as_int(value, low, high)


CONVERT: dict[str, Callable[[object], object]] = {
    **{name: _int_of(name) for name in INTS},
    **dict.fromkeys(FLOATS, as_setting),
    **dict.fromkeys(BOOLS, as_bool),
    "latency_ms": as_milliseconds,
    "status": as_status,
}


# Values that the client writes into its request. A bad one is left empty and the exchange is kept; otherwise
# `"seed": 1e300` would hide it.
CHOSEN = (
    "end_user", "user_agent", "conversation", "tools", "temperature", "top_p", "max_tokens", "n", "seed",
    "top_logprobs", "stream", "response_format", "earlier",
)  # fmt: skip


WORDED = ("status", "latency_ms")  # the same for a word in place of a number


def tidy(row: Row, clock: Clock, notes: list[str] | None = None) -> Row:
    """Check and convert a row in place and return it; null stays null.

    With `notes`, a client's value that does not fit its column becomes null, and why is noted.

    Raises: Refused, naming the column, if a value is not exactly of the column's type.
    """
    for name, value in row.items():
        if value is None:
            continue
        kind = type(value)
        if kind is int and name in INTS:  # the common cases first: this loop takes most of a JSON log's time
            low, high = INTS[name]
            if low <= value <= high:  # type: ignore[operator]
                continue
        if name == "time":
            row[name] = as_time(value, clock)
        elif kind is not str or name in CONVERT:
            try:
                row[name] = CONVERT.get(name, as_text)(value)
            except Refused as why:
                if notes is None or not (name in CHOSEN or (kind is str and name in WORDED)):
                    raise Refused(f"column {name} {why}") from None
                notes.append(f"column {name} {why}")
                row[name] = None
    for name in ("time", "account"):
        if row.get(name) in (None, ""):
            raise Refused(f"column {name} is empty; every exchange needs one")
    if "+" in str(row["account"]) and is_rounded(str(row["account"])):  # many accounts would be one
        raise Refused(f"account {row['account']!r} {ROUNDED}")
    return row
