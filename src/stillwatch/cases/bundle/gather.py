"""Collects the events of a case's accounts, and counts of all others', without texts or addresses.

Each hash of a text, network or client becomes a token under a key that is drawn for this bundle. Within the
bundle equal values have equal tokens. Outside nobody can look up what a token stands for, not even with the
deployment's own sketch key. Accounts outside the case appear as counts only.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from stillwatch.actors.clients import product
from stillwatch.cases import Json
from stillwatch.cases.bundle import BundleError
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import read, read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import DEFAULT_KEY, Sketcher
from stillwatch.scan import Campaign
from stillwatch.scan.explanations import customers
from stillwatch.scan.pipeline import facts_of, payers
from stillwatch.terms.holds import HoldSchedule
from stillwatch.units import DAY_US, us

# eight letters: among a million values, two share a token once in a thousand bundles
TOKEN_BYTES = 6
LEAST_SHARED = 2  # accounts of the case that must share a value before other accounts with it are counted
BURST_US = 2 * DAY_US  # as in actors/clues/signup_burst.py
KINDS = {"p": "phrases", "h": "head", "l": "tail", "q": "exact", "y": "system"}  # event key -> column
EVENT_COLUMNS = (
    "ts_us", "account", "model", "max_tokens", "temperature_milli", "input_tokens", "output_tokens",
    "status", "finish", "words", "turn", "top_logprobs", "classes", "exact", "head", "tail", "system",
    "agent", "net",
)  # fmt: skip
SETTINGS = ("model", "max_tokens", "temperature_milli")


@dataclass(frozen=True)
class Gathered:
    """The data about a finding in a log."""

    accounts: list[Json]
    events: list[Json]
    population: Json
    products: dict[str, str]  # token of a client -> the product that it names; only of accounts set aside


@dataclass(frozen=True)
class ScannedLog:
    """The logs behind a finding, and how they were read."""

    paths: Sequence[Path]
    accounts: Path | None = None
    key: bytes = DEFAULT_KEY  # of the sketches
    assume_utc: bool = False
    columns: Mapping[str, str] | None = None  # the log's own names
    held: Sequence[HoldSchedule] = ()  # a gateway's schedules of holds

    @property
    def files(self) -> list[Path]:
        """List the files that were read."""
        return [*self.paths, *([] if self.accounts is None else [self.accounts])]


def read_log(scanned: ScannedLog) -> tuple[ExchangeLog, dict[str, Json]]:
    """Read the logs behind a finding; texts are sketched and then discarded.

    Raises: InputError, BundleError if nothing could be read.
    """
    rejects, utc, table = Rejects(), scanned.assume_utc, None
    if scanned.accounts is not None:
        table = read_accounts(scanned.accounts, rejects=rejects, assume_utc=utc)
    sketcher = Sketcher(scanned.key)
    batches = read(scanned.paths, sketcher=sketcher, rejects=rejects, assume_utc=utc, mapping=scanned.columns)
    log = build(batches, sketcher)
    if len(log) == 0:
        raise BundleError(f"no exchange could be read from {', '.join(map(str, scanned.paths))}")
    rows = [] if table is None else table.to_pylist()
    return log, {row["account"]: row for row in rows}


def gather(
    log: ExchangeLog,
    known: Mapping[str, Mapping[str, Any]],
    campaign: Campaign,
    also: Iterable[str],
    verdicts: Mapping[str, str],
    key: bytes,
    set_aside: Sequence[str] = (),
) -> Gathered:
    """Collect the data. known: rows of the accounts table by name; also: accounts that only the case names;
    verdicts: of single accounts; set_aside: accounts that the finding set aside and that the bundle names.

    Raises: BundleError if the log lacks an account of the finding.
    """
    campaign_accounts = set(campaign.accounts)
    code = {name: k for k, name in enumerate(log.accounts)}
    if missing := sorted(campaign_accounts - code.keys()):
        raise BundleError(
            f"{len(missing)} of the finding's {len(campaign_accounts)} accounts are not in the log, "
            f"{missing[0][:99]!a} for one; give the log that was scanned"
        )
    names = sorted(campaign_accounts | (code.keys() & {*also, *set_aside}))
    tokens = _Tokens(key)
    codes = np.array([code[name] for name in names], np.int64)
    place = np.full(len(log.accounts), -1, np.int64)
    place[codes] = np.arange(len(codes))
    inside = np.zeros(len(log.accounts), bool)
    inside[[code[name] for name in campaign_accounts]] = True
    rows = np.flatnonzero(place[log["account"]] >= 0)
    first_rows = _first_of_customer(log, known, codes)
    return Gathered(
        [
            _account(name, name in campaign_accounts, campaign, known.get(name, {}), tokens)
            | {"verdict": verdicts.get(name), "customer": int(first_rows[k])}
            for k, name in enumerate(names)
        ],
        list(_events(log, rows, place, tokens)),
        _population(log, known, campaign_accounts, inside, tokens),
        _products(log, [code[name] for name in set_aside if name in code], tokens),
    )


def _products(log: ExchangeLog, accounts: Sequence[int], tokens: "_Tokens") -> dict[str, str]:
    """Return the names of some accounts' client programs by token, without libraries and browsers."""
    agents = np.unique(log["agent"][np.isin(log["account"], np.array(accounts, np.int64))]).tolist()
    names = {agent: product(log.agents[agent]) for agent in agents if agent >= 0}
    return {tokens.of("u", agent): name for agent, name in names.items() if name}


def _first_of_customer(
    log: ExchangeLog, known: Mapping[str, Mapping[str, Any]], codes: np.ndarray
) -> np.ndarray:
    """(n,) the index of the first account with the same customer, as refused work defines a customer."""
    facts = facts_of(log, known) if known else None
    payer = payers(log, facts)
    label = customers(log, facts, payer)[codes]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    places: np.ndarray = first[inverse]
    return places


class _Tokens:
    """Names for values that mean nothing outside the bundle."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[tuple[str, Any], str] = {}

    def of(self, kind: str, value: Any) -> str:
        token = self._known.get((kind, value))
        if token is None:
            text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(text, key=self._key, digest_size=TOKEN_BYTES).digest()
            token = self._known[(kind, value)] = base64.urlsafe_b64encode(digest).decode("ascii")
        return token


def _account(
    name: str, in_finding: bool, campaign: Campaign, known: Mapping[str, Any], tokens: _Tokens
) -> Json:
    since, named_at, created = campaign.since.get(name), campaign.named_at.get(name), known.get("created")
    return {
        "account": name,
        "in_finding": in_finding,
        "since_us": _us(since),
        "named_us": _us(named_at),
        "created_us": _us(created),
        "org": tokens.of("org", known["org"]) if known.get("org") else None,
        "payment": tokens.of("payment", known["payment"]) if known.get("payment") else None,
    }


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else us(moment)


def _events(log: ExchangeLog, rows: np.ndarray, place: np.ndarray, tokens: _Tokens) -> Iterator[Json]:
    columns = {name: log[name][rows].tolist() for name in EVENT_COLUMNS}
    phrases = log.phrases[rows].tolist()
    c = columns

    def hashed(kind: str, value: int) -> str | None:
        return tokens.of(kind, value) if value else None

    for k in range(len(rows)):
        yield {
            "t": c["ts_us"][k],
            "a": int(place[c["account"][k]]),
            "m": log.models[c["model"][k]],
            "x": _said(c["max_tokens"][k]),
            "c": _said(c["temperature_milli"][k]),
            "i": _said(c["input_tokens"][k]),
            "o": _said(c["output_tokens"][k]),
            "s": c["status"][k],
            "f": c["finish"][k],
            "w": c["words"][k],
            "r": c["turn"][k],
            "g": _said(c["top_logprobs"][k]),
            "k": c["classes"][k],
            "q": hashed("q", c["exact"][k]),
            "h": hashed("h", c["head"][k]),
            "l": hashed("l", c["tail"][k]),
            "y": hashed("y", c["system"][k]),
            "p": "".join(tokens.of("p", value) for value in phrases[k] if value),
            "u": None if c["agent"][k] < 0 else tokens.of("u", c["agent"][k]),
            "n": None if c["net"][k] < 0 else tokens.of("n", c["net"][k]),
        }


def _said(value: int) -> int | None:
    return None if value < 0 else value


def _population(
    log: ExchangeLog,
    known: Mapping[str, Mapping[str, Any]],
    named: set[str],
    inside: np.ndarray,
    tokens: _Tokens,
) -> Json:
    """Summarise the accounts outside the finding: counts only, no names."""
    account = log["account"]
    values: dict[str, Callable[[Any], Any]] = {
        "model": lambda v: log.models[v],
        "max_tokens": _said,
        "temperature_milli": _said,
    }
    others = {name: row for name, row in known.items() if name not in named}
    return {
        "exchanges": len(log),
        "accounts": len(log.accounts),
        "first_us": int(log["ts_us"][0]),
        "last_us": int(log["ts_us"][-1]),
        "mostly": {name: _mostly(log[name], account, inside, values[name]) for name in SETTINGS},
        "prompts": _outside(log["exact"], account, inside, "q", tokens),
        "networks": _outside(log["net"], account, inside, "n", tokens, none=-1),
        "markers": {
            kind: _outside(log.phrases if kind == "p" else log[name], account, inside, kind, tokens)
            for kind, name in KINDS.items()
        },
        "signups": _signups(log, known, named),
        "payments": _payments(known, others, named, tokens),
    }


def _mostly(
    values: np.ndarray, account: np.ndarray, inside: np.ndarray, shown: Callable[[Any], Any]
) -> list[list[Any]]:
    """Count the outside accounts by their commonest value; of equally common ones the smaller."""
    outside = ~inside[account]
    levels, code = np.unique(values[outside], return_inverse=True)
    pairs, n = np.unique(account[outside].astype(np.int64) * len(levels) + code, return_counts=True)
    who, settings = pairs // len(levels), pairs % len(levels)
    order = np.lexsort((settings, -n, who))
    first = np.r_[True, who[order][1:] != who[order][:-1]] if len(who) else np.zeros(0, bool)
    pairs_found, counts = np.unique(settings[order][first], return_counts=True)
    return [[shown(int(levels[v])), int(k)] for v, k in zip(pairs_found, counts, strict=True)]


def _outside(
    values: np.ndarray, account: np.ndarray, inside: np.ndarray, kind: str, tokens: _Tokens, none: int = 0
) -> dict[str, int]:
    """For each value that two accounts of the finding share: how many outside accounts have it, if any."""
    wide = values.shape[1] if values.ndim == 2 else 1
    flat, who = values.reshape(-1), np.repeat(account, wide)
    has_network = flat != none
    flat, who = flat[has_network], who[has_network]
    theirs, positions = np.unique(flat[inside[who]], return_inverse=True)
    pairs = np.unique(np.stack([positions, who[inside[who]]]), axis=1)
    shared = theirs[np.bincount(pairs[0], minlength=len(theirs)) >= LEAST_SHARED]
    hit = np.isin(flat, shared) & ~inside[who]
    found, positions = np.unique(flat[hit], return_inverse=True)
    pairs = np.unique(np.stack([positions, who[hit]]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(found))
    return {tokens.of(kind, int(v)): int(n) for v, n in zip(found, counts, strict=True)}


def _signups(
    log: ExchangeLog, known: Mapping[str, Mapping[str, Any]], named: set[str]
) -> dict[str, int | None]:
    """Count the other accounts that signed up in the finding's two days with most sign-ups."""
    own_times = np.sort([us for name in named if (us := _us(known.get(name, {}).get("created")))])
    theirs = np.array(
        [us for n in log.accounts if n not in named and (us := _us(known.get(n, {}).get("created")))]
    )
    if len(own_times) == 0:
        return {"begin_us": None, "others": len(theirs), "inside": 0}
    within = np.searchsorted(own_times, own_times + BURST_US, side="right") - np.arange(len(own_times))
    begin = int(own_times[int(np.argmax(within))])
    inside = int(((theirs >= begin) & (theirs <= begin + BURST_US)).sum()) if len(theirs) else 0
    return {"begin_us": begin, "others": len(theirs), "inside": inside}


def _payments(
    known: Mapping[str, Mapping[str, Any]], others: Mapping[str, Any], named: set[str], tokens: _Tokens
) -> dict[str, int]:
    own_payments = {row["payment"] for name, row in known.items() if name in named and row.get("payment")}
    outside: dict[str, int] = {}
    for row in others.values():
        if row.get("payment") in own_payments:
            token = tokens.of("payment", row["payment"])
            outside[token] = outside.get(token, 0) + 1
    return outside


def ndjson(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Write rows as lines of JSON, in ASCII."""
    write = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
    return "".join(f"{write(row)}\n" for row in rows).encode("ascii")
