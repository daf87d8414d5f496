"""Defines and checks the shape of each file of an evidence bundle. Standard library only.

This file travels in each bundle, beside `recompute.py`. A wrong type, a negative count or lists nested too
deeply are reported with their place, and then nothing is computed.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from .bundle_events import us

MANIFEST = "manifest.dsse.json"
MOST_SENTENCES = 20
LARGEST_US = 1 << 56  # the year 4253
ALERT_FORMAT = "stillwatch.alert/1"
MOST = 10**24  # sums of microseconds over a log are smaller


class FieldShape(NamedTuple):
    """The shape of a value: a description, and a function that checks it."""

    words: str
    fits: Callable[[Any], bool]


class MapOf(NamedTuple):
    """Any keys, each with a value of one shape."""

    value: Any


def _whole(least: int, most: int) -> FieldShape:
    words = f"a whole number from {least} to {most}" if most < LARGEST_US else f"a whole number from {least}"
    return FieldShape(words, lambda v: type(v) is int and least <= v <= most)


def _or_none(shape: FieldShape) -> FieldShape:
    return FieldShape(f"{shape.words}, or null", lambda v: v is None or shape.fits(v))


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and 0 <= us(value) < LARGEST_US
    except (ValueError, TypeError, OverflowError):  # TypeError: without a time zone
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MOST


def _is_stated(value: Any, depth: int = 3) -> bool:
    """Return whether a claim may contain a value: a number, a text, or lists and tables of them."""
    if isinstance(value, (list, dict)):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_stated(part, depth - 1) for part in inner)
    return isinstance(value, str) or value is None or _is_number(value)


def _is_setting(value: Any) -> bool:
    return isinstance(value, bool) or _is_stated(value)


TEXT = FieldShape("a text", lambda v: isinstance(v, str))
WORDS = FieldShape("a text that is not empty", lambda v: isinstance(v, str) and bool(v.strip()))
FLAG = FieldShape("true or false", lambda v: isinstance(v, bool))
TIME_US = _whole(0, LARGEST_US)
COUNT = _whole(0, 1 << 62)
SIGNED = FieldShape("a whole number", lambda v: type(v) is int and abs(v) < 1 << 63)
NUMBER = FieldShape("a number", _is_number)
CHANCE = FieldShape("a number from 0 to 1", lambda v: _is_number(v) and 0 <= v <= 1)
ISO_TIME = FieldShape("a time as 2026-03-01T00:00:00Z", _is_time)
PHRASES = FieldShape("tokens of eight letters", lambda v: isinstance(v, str) and len(v) % 8 == 0)
SETTING = FieldShape(
    "a text, a whole number, or null", lambda v: v is None or isinstance(v, str) or type(v) is int
)
CAMPAIGN = FieldShape(
    "a campaign's number", lambda v: isinstance(v, str) and bool(re.match(r"sw-[0-9a-f]{10}\Z", v))
)
KEY = FieldShape(
    "64 hex digits", lambda v: isinstance(v, str) and len(v) == 64 and not set(v) - set("0123456789abcdef")
)
COUNTS = FieldShape("a table of counts", lambda v: isinstance(v, dict) and all(map(COUNT.fits, v.values())))
STATED = FieldShape("a number, a text, or a table of them", _is_stated)

EVENT = {
    **dict.fromkeys("xcio", _or_none(SIGNED)), **dict.fromkeys("mqhlyun", _or_none(TEXT)),
    "t": TIME_US, "a": COUNT, "s": SIGNED, "f": _whole(0, 5), "w": COUNT, "r": COUNT, "k": COUNT,
    "g": _or_none(SIGNED), "p": PHRASES,
}  # fmt: skip
ACCOUNT = {
    "account": TEXT, "in_finding": FLAG, "customer": COUNT, "org": _or_none(TEXT), "payment": _or_none(TEXT),
    "verdict": _or_none(TEXT), **dict.fromkeys(("since_us", "named_us", "created_us"), _or_none(TIME_US)),
}  # fmt: skip
CLAIM = {
    "name": TEXT, "stated": STATED, "why_not": _or_none(WORDS),
    "by": FieldShape("finding or export", lambda v: v in ("finding", "export")),
}  # fmt: skip
POPULATION = {
    "exchanges": COUNT, "accounts": _whole(1, 1 << 40), "first_us": TIME_US, "last_us": TIME_US,
    "mostly": {name: [(SETTING, COUNT)] for name in ("model", "max_tokens", "temperature_milli")},
    **dict.fromkeys(("prompts", "networks", "payments"), MapOf(COUNT)),
    "markers": dict.fromkeys("phlqy", MapOf(COUNT)),
    "signups": {"begin_us": _or_none(TIME_US), "others": COUNT, "inside": COUNT},
}  # fmt: skip
TESTED = {
    "setting": TEXT, "value": SETTING, "count": COUNT, "of": COUNT, "share": CHANCE, "tries": COUNT,
    "correlation": CHANCE,
}  # fmt: skip
HARVEST = {"exchanges": COUNT, "output_tokens": COUNT}
LINK = (TEXT, TEXT, TEXT, NUMBER, TEXT, TEXT)
REASON = {"detector": TEXT, "text": WORDS, "bits": NUMBER}
FINDING = {
    "id": COUNT, "digest": TEXT,
    "campaign": {
        "finding": {
            "id": CAMPAIGN, "alarm_at": ISO_TIME, "p_value": CHANCE, "score_bits": NUMBER, "accounts": [TEXT],
            "harvest": HARVEST, "harvest_at_alarm": HARVEST, "reasons": [REASON],
            "benign_alternatives": [{"kind": TEXT, "text": TEXT}], "suppressed_by": _or_none(TEXT),
        },
        "evidence": {
            "id": TEXT, "title": TEXT, "next_milestone": _or_none(TEXT), "answer_tokens?": COUNT,
            "value_tokens": NUMBER, "unique_prompts?": _or_none(COUNT), "since?": MapOf(ISO_TIME),
            "value_tokens_at_alarm?": _or_none(NUMBER), "unique_prompts_at_alarm?": _or_none(COUNT),
            "reasons": [dict.fromkeys(("actual", "baseline", "n", "population_p95"), _or_none(NUMBER))],
            "timeline": [(ISO_TIME, COUNT, COUNT)], "tested?": [TESTED], "firm": [TEXT],
            "own_reactions?": MapOf((COUNT, COUNT, COUNT, CHANCE)),
            "own_ties?": MapOf((COUNT,) * 5), "named_at?": MapOf(ISO_TIME), "links": [LINK],
        },
    },
}  # fmt: skip
DONE = MapOf(FieldShape("a value that can be set", _is_setting))  # by an act, or for a scan
INPUTS = [{"name": TEXT, "sha256": KEY, "bytes": COUNT}]
SCANNED = {
    "exchanges": COUNT,
    "accounts": COUNT,
    "rejected": COUNT,
    **dict.fromkeys(("first", "last"), ISO_TIME),
}
GAPS = [{"start": ISO_TIME, "end": ISO_TIME, "text": WORDS}]
ALERT = {
    "format": FieldShape(ALERT_FORMAT, lambda v: v == ALERT_FORMAT),
    "campaign": CAMPAIGN,
    **dict.fromkeys(("case", "title", "state", "accounts_sha256", "source", "stillwatch"), TEXT),
    **dict.fromkeys(("verdict", "owner", "merged_into"), _or_none(TEXT)),
    **dict.fromkeys(("finding", "members", "victims", "cleared", "links_total"), COUNT),
    "found_us": TIME_US, "alarm_us": TIME_US, "p_value": CHANCE, "score_bits": NUMBER, "accounts": [TEXT],
    "why": [{**dict.fromkeys(("signal", "detector", "text", "null", "query", "input_sha256"), TEXT),
             **dict.fromkeys(("actual", "baseline", "n", "peer_p95", "effect"), _or_none(NUMBER)),
             "bits": NUMBER, "p_value": _or_none(CHANCE)}],
    "benign": [{"kind": TEXT, "check": TEXT, "checked": FLAG}], "set_aside": _or_none(COUNTS),
    "links": [{**dict.fromkeys(("a", "b", "clue", "text", "control", "independence"), TEXT), "bits": NUMBER}],
    "shared": [{**dict.fromkeys(("clue", "text", "control", "independence"), TEXT), "accounts": COUNT,
                "links": COUNT, "bits": NUMBER, "total_bits": NUMBER}],
    "independent_classes": [TEXT], "seen_by_provider": [TEXT], "cannot_claim": [WORDS],
    "exposure": {
        **dict.fromkeys(("exchanges", "output_tokens", "exchanges_at_alarm", "output_tokens_at_alarm",
                         "victims_exchanges", "cleared_exchanges"), COUNT),
        "value_tokens": NUMBER, "unique_prompts": _or_none(COUNT), "capabilities": [TEXT],
        **dict.fromkeys(("first_us", "last_us"), _or_none(TIME_US)), "next_milestone": _or_none(TEXT),
        **dict.fromkeys(("cost_to_us_usd", "cost_to_them_usd"), _or_none(NUMBER)),
    },
    "confidence": {
        **dict.fromkeys(("sentence", "measured_on", "calibration"), TEXT),
        **dict.fromkeys(("right", "judged"), _or_none(COUNT)),
        **dict.fromkeys(("low", "high"), _or_none(CHANCE)),
    },
    "detectors": [{**dict.fromkeys(("id", "version", "config_sha256", "evades_by", "fooled_by"), TEXT),
                   "raised": FLAG}],
    "gaps": GAPS, "atlas": [dict.fromkeys(("id", "name", "why"), TEXT)], "inputs": INPUTS, "scanned": SCANNED,
}  # fmt: skip
SETTINGS_FILE = {"settings": DONE, "inputs": INPUTS, "scanned": SCANNED, "gaps": GAPS, "source": TEXT}
RECORD = {
    **dict.fromkeys(("who", "what", "subject", "detail", "prev", "hash", "signature"), TEXT),
    "seq": COUNT, "at_us": TIME_US, "sealed": _or_none(TEXT),
}  # fmt: skip
HEAD = {
    **dict.fromkeys(("chain", "seal", "key", "signature"), TEXT), "seq": COUNT, "at_us": TIME_US,
    "keys": [{"key": TEXT, "first": COUNT, "last": COUNT}],
}  # fmt: skip
HOLDS = {
    "key": _or_none(KEY), "begin_us": MapOf(TIME_US), "start_us": TIME_US, "end_us": TIME_US,
    "days": _whole(1, 3_660), "block_minutes": _whole(1, 1_440), "one_block_in": _whole(1, 1 << 20),
    "denser_one_block_in": _or_none(_whole(1, 1 << 20)), "denser_from_us": _or_none(TIME_US),
    "records": [RECORD],
}  # fmt: skip
ASIDE = {
    "salt": TEXT, "products": MapOf(TEXT),
    "accounts": [{"account": TEXT, "rule": TEXT, "product?": TEXT, "network?": COUNT, "asn?": COUNT,
                  "first?": ISO_TIME, "last?": ISO_TIME, "mail_domain?": TEXT,
                  **dict.fromkeys(("accounts_there?", "ahead?", "carried?"), NUMBER),
                  **dict.fromkeys(("kind_of_use?", "finding?"), STATED)}],
}  # fmt: skip
ENVIRONMENT = {
    "python": TEXT, "platform": TEXT, "packages": MapOf(_or_none(TEXT)), "exported_us": TIME_US,
    "clock": {
        "synchronised": FieldShape("true, false or null", lambda v: v is None or isinstance(v, bool)),
        "estimated_error_us": _or_none(SIGNED), "largest_error_us": _or_none(SIGNED),
    },
}  # fmt: skip
SET = FieldShape("a table, or null", lambda v: v is None or isinstance(v, dict))
CASE = {
    "case": TEXT, "state": TEXT, "verdict": _or_none(TEXT), "owner": _or_none(TEXT), "records": COUNT,
    "hours": [(TIME_US, COUNT, COUNT)],
    "acts": [{"act": COUNT, "at_us": TIME_US, "who": TEXT, "verb": TEXT, "in_force": FLAG, "facets": DONE,
              "text_sha256": KEY, "sets_sha256": KEY, "sets": SET}],
}  # fmt: skip
SHAPES: Mapping[str, Any] = {
    "environment.json": ENVIRONMENT, "case.json": CASE, "settings.json": SETTINGS_FILE,
    "finding.json": FINDING, "alert.json": ALERT, "audit_head.json": HEAD, "population.json": POPULATION,
    "holds.json": HOLDS, "set_aside.json": ASIDE, "claims.ndjson": CLAIM, "accounts.ndjson": ACCOUNT,
    "events.ndjson": EVENT, "audit.ndjson": RECORD,
}  # fmt: skip


def find_misfits(bundle: Any) -> list[str]:
    """Return the first errors in the shape of a bundle's files. Raises: what reading a file raises."""
    if wrong := list(islice(_doubled_names(bundle), MOST_SENTENCES)):
        return wrong
    documents = {
        name: bundle.lines(name) if name.endswith(".ndjson") else bundle.json(name)
        for name in SHAPES
        if name in bundle.names
    }
    wrong = list(islice(_broken_files(documents), MOST_SENTENCES))
    return wrong or list(islice(_unfitting(documents), MOST_SENTENCES))


def _doubled_names(bundle: Any) -> Iterator[str]:
    """Yield names that occur twice in an object: readers differ in which value they use."""
    for name in bundle.names:
        if not name.endswith((".json", ".ndjson")):
            continue
        data = bundle.read(name)
        for text in data.split(b"\n") if name.endswith(".ndjson") else [data]:
            for doubled in _doubled_in(text) if text else []:
                yield f"{name}: {doubled[:40]!a} appears twice in one table"
        if name == MANIFEST:
            for doubled in _doubled_in(b64decode(json.loads(data)["payload"])):
                yield f"{name}: {doubled[:40]!a} appears twice in one table of what is signed"


def _doubled_in(text: bytes) -> list[str]:
    doubled: list[str] = []

    def table_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for name, value in pairs:
            if name in table:
                doubled.append(name)
            table[name] = value
        return table

    json.loads(text, object_pairs_hook=table_of)
    return doubled


def _broken_files(documents: Mapping[str, Any]) -> Iterator[str]:
    for name, document in documents.items():
        if name.endswith(".ndjson"):
            for number, line in enumerate(document, 1):
                yield from shape_errors(line, SHAPES[name], f"{name}: line {number}")
        else:
            yield from shape_errors(document, SHAPES[name], name)


def _unfitting(documents: Mapping[str, Any]) -> Iterator[str]:
    """Yield lists whose length or numbers do not match what the claims are computed from."""
    campaign = documents["finding.json"]["campaign"]
    if len(campaign["finding"]["reasons"]) != len(campaign["evidence"]["reasons"]):
        yield "finding.json: has reasons without numbers, or numbers without a reason"
    events, accounts = (documents.get(f"{name}.ndjson", []) for name in ("events", "accounts"))
    for number, event in enumerate(events, 1):
        if event["a"] >= len(accounts):
            place = f"events.ndjson: line {number}"
            yield f"{place} is of account {event['a']}, of {len(accounts)} that there are"


def shape_errors(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Yield the places where a value is not of its shape. In a table, `?` marks names that may be missing."""
    if isinstance(shape, FieldShape):
        if not shape.fits(value):
            yield f"{place} is {_in_words(value)}, and has to be {shape.words}"
    elif isinstance(shape, list):
        if isinstance(value, list):
            for number, item in enumerate(value, 1):
                yield from shape_errors(item, shape[0], f"{place}, {number}")
        else:
            yield f"{place} is {_in_words(value)}, and has to be a list"
    elif type(shape) is tuple:
        if isinstance(value, list) and len(value) == len(shape):
            for number, (item, inner) in enumerate(zip(value, shape), 1):
                yield from shape_errors(item, inner, f"{place}, {number}")
        else:
            yield f"{place} is {_in_words(value)}, and has to be a list of {len(shape)}"
    elif not isinstance(value, dict):
        yield f"{place} is {_in_words(value)}, and has to be a table"
    elif isinstance(shape, MapOf):
        for name, item in value.items():
            yield from shape_errors(item, shape.value, f"{place}: {name[:40]!a}")
    else:
        known = {name.rstrip("?") for name in shape}
        for name in sorted(set(value) - known):
            yield f"{place} holds {name[:40]!a}, which nothing is computed from"
        for name, inner in shape.items():
            name, may_miss = name.rstrip("?"), name.endswith("?")
            if name in value:
                yield from shape_errors(value[name], inner, f"{place}: {name}")
            elif not may_miss:
                yield f"{place}: {name} is missing"


def _in_words(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"a {'list' if isinstance(value, list) else 'table'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= MOST:
        return "a whole number too large"
    return ascii(value)[:40] if isinstance(value, str) else f"{value}"
