"""The state that the exchanges of one worker share: policy, tables, log, pool, budgets."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from stillwatch.exchanges.operations import OPERATIONS, Operations
from stillwatch.gateway import Tables, clock, logs
from stillwatch.gateway.control.owners import Owners, OwnersError
from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.histograms import Histograms
from stillwatch.gateway.path.batch import Notes
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.path.coins import Coins
from stillwatch.gateway.path.held_replies import HeldReplies
from stillwatch.gateway.path.reply import JSON_LIMIT, Ratios
from stillwatch.gateway.path.routes import Routes
from stillwatch.gateway.path.trained_models import is_trained_name, spellings
from stillwatch.gateway.path.upstream import ConnectionPool
from stillwatch.gateway.record.entries import UncapturedSpan
from stillwatch.gateway.record.wal import GAP, Writer, frame
from stillwatch.terms import Decision, ModelVerdict, Terms
from stillwatch.terms.decide import host_verdict, model_verdict, reply_verdict
from stillwatch.terms.hops import hops
from stillwatch.terms.limiter import longest, set_of
from stillwatch.units import MINUTE_US

OUTCOME_WAIT_S = 0.02  # how long an outcome waits for an intent to be committed with
MOST_WAITING = 256 << 20  # bytes of frames that may wait for the disk
PROBE_S = 1.0  # how often writing is tried again while capture fails
VERDICTS = 10_000  # cached at most
OWNER_US = 1_000_000  # how long a model's owner is remembered
KEPT_DURATIONS = 64
UNTRIED_S = 10  # the wait that is suggested for unfinished answers before any has come
SLACK = 1.1  # times what a request allows, since tokenizers differ
NOBODY = "\0"  # not the name of any account
LONGEST_NAME = 512  # of a model whose verdict is remembered: clients can invent names of any length
_UNCAPTURED, _GAPS = PLACE["uncaptured"], PLACE["gaps"]
_GAP_SINCE, _GAP_EXCHANGES = PLACE["gap_since_us"], PLACE["gap_exchanges"]
_COMMITS, _WAL_BYTES, _CAPTURED = PLACE["commits"], PLACE["wal_bytes"], PLACE["captured"]
_COMMIT_US = PLACE["commit_us"]


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
# models, account, organisation, operation type, n, log-probabilities: all that decides but length
Asked = tuple[tuple[str, ...], str, str | None, str, int, bool]


class Admission(NamedTuple):
    """The decision on a request; `verdict` is that of the model that decided it."""

    decision: Decision
    verdict: ModelVerdict
    held: bool = False  # a randomised hold refuses it


class Gate:
    """One worker's context. `open_log` creates its writer, with the callbacks given here."""

    now_us = staticmethod(clock.now_us)
    running_us = staticmethod(clock.running_us)
    owners_error: str | None = None  # why owners cannot be looked up
    _owners_failed_us = -OWNER_US

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        worker: int,
        terms: Terms,
        tables: Tables,
        secret: bytes,
        pool: ConnectionPool,
        budgets: Budgets,
        counters: memoryview,
        upstream_key: str | None,
        open_log: Callable[
            [Callable[[list[object], int], None], Callable[[list[object], OSError], None]], Writer
        ],
        upstream_host: str = "",
        coins: Coins | None = None,
        notes: Notes | None = None,
        owners: Owners | None = None,
        histograms: Histograms | None = None,
        strangers: object = None,
        gateway: str | None = None,
    ) -> None:
        self.loop, self.worker, self.secret = loop, worker, secret
        self.tables, self._upstream_host, self.coins = tables, upstream_host, coins
        self.pool, self.budgets, self.counters, self.upstream_key = pool, budgets, counters, upstream_key
        self.notes = notes or Notes(None)
        self.owners = owners or Owners(None)
        self.histograms = histograms or Histograms(None)
        self.logs_requests = logs.requests.isEnabledFor(logging.INFO)
        self.ratios, self.draining = Ratios(), False
        self.gateway = gateway  # its name in a fleet, whose other gateways create objects and spend budgets
        self.clients: set[Any] = set()  # open connections
        self.strangers: Any = strangers if strangers is not None else set()  # no key shown yet
        self.door: Any = None  # accepts connections
        self.held_bytes, self.held_replies = 0, HeldReplies(JSON_LIMIT)  # of bodies, of replies
        self.capture_error: str | None = None
        self._verdicts: dict[tuple[str | None, str, str | None], ModelVerdict] = {}
        self._replies: dict[tuple[str, str, str, str | None], ModelVerdict] = {}
        self._decided: dict[Asked, Admission] = {}
        self._model_owners: dict[str, tuple[frozenset[str], int]] = {}
        self._sets: dict[str | None, int | None] = {}
        self._known_longest: dict[tuple[str, int], int] = {}  # from the table and the policy
        self._longest: dict[str, int] = {}  # longer answers that were observed
        self.disobedient: set[str] = set()  # models that exceeded a request's limit
        self._refused: dict[str, int] = {}  # account -> minute of its last refusal whose text was noted
        self.durations: deque[int] = deque(maxlen=KEPT_DURATIONS)  # of whole answers, µs
        self.set_terms(terms)
        self._commit_us = 0  # how much of the log's time in commits is counted
        self._flush: asyncio.TimerHandle | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._ending: _Ending | None = None
        self.log = open_log(
            lambda tokens, size: self._on_loop(self._durable, tokens, size),
            lambda tokens, why: self._on_loop(self._not_durable, tokens, why),
        )
        self._ordinal = 0
        if counters[_GAP_SINCE]:  # the last process of this worker died during a gap
            self.capture_error = "the worker was killed while capture failed"
            self._end_gap()

    def _on_loop(self, call: Callable[..., object], *arguments: object) -> None:
        """Call from the log's thread into the loop, which may be closed when a worker ends."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(call, *arguments)

    def set_terms(self, terms: Terms) -> None:
        self.terms = terms
        own = terms.operations
        self.operations = Operations((*own, *OPERATIONS.lines), OPERATIONS.prefixes) if own else OPERATIONS
        self.routes = Routes(terms, self.operations, self.pool.target)
        self.limited = _limits_anybody(terms)  # otherwise no account's usage need be looked up
        self.host = host_verdict(terms, self._upstream_host)  # for everything that goes upstream
        self._verdicts.clear()
        self._replies.clear()
        self._decided.clear()
        self._model_owners.clear()
        self._sets.clear()
        self._known_longest.clear()

    def set_of(self, model: str | None) -> int | None:
        """Return the set of models that a model counts towards, remembered until the policy changes."""
        if not self.terms.limits.models:
            return None
        if model not in self._sets:
            if len(model or "") > LONGEST_NAME:
                return len(self.terms.limits.models) - 1
            _keep(self._sets, model, set_of(self.terms.limits.models, self.terms.models, model))
        return self._sets[model]

    def longest(self, model: str, default: int) -> int:
        """Return the most output tokens of one answer, over all models that may answer to the name."""
        known_longest = self._known_longest.get((model, default))
        if known_longest is None:
            all_hops = hops(self.terms.models, model)
            known_longest = max(longest(model, default) for hop in all_hops for model in hop.names[-1:])
            if len(model) <= LONGEST_NAME:
                _keep(self._known_longest, (model, default), known_longest)
        return max(known_longest, self._longest.get(model, 0)) if self._longest else known_longest

    def learn(self, model: str, tokens: int, most: int | None, n: int) -> None:
        """Remember an answer that is longer than was expected."""
        if len(model) > LONGEST_NAME:
            return
        if most is not None and tokens > SLACK * most * n and len(self.disobedient) < VERDICTS:
            self.disobedient.add(model)
        if tokens > self.longest(model, self.terms.limits.answer_tokens) * n:
            _keep(self._longest, model, tokens // n)

    def is_first_refusal(self, account: str, now_us: int) -> bool:
        """Return whether an account had no other refusal this minute: all texts could fill the disk."""
        minute = now_us // MINUTE_US
        if self._refused.get(account) == minute:
            return False
        _keep(self._refused, account, minute)
        return True

    def settles_s(self) -> int:
        """Return the seconds within which nine of ten recent answers were complete."""
        if not self.durations:
            return UNTRIED_S
        return max(1, -(-sorted(self.durations)[len(self.durations) * 9 // 10] // 1_000_000))

    def decided(self, key: Asked, body_bytes: int, now_us: int) -> Admission | None:
        """Return the cached decision on such a request, if its account has no status and nobody a limit."""
        admission = self._decided.get(key)
        if admission is None or body_bytes > self.terms.capture.max_body_bytes:
            return None
        until_us = admission.verdict.until_us
        return admission if until_us is None or now_us < until_us else None

    def remember(self, key: Asked, admission: Admission) -> None:
        """Store a decision until the policy changes; not for several models: verdicts end separately."""
        if admission.decision.allow and len(key[0]) <= 1 and sum(map(len, key[0])) <= LONGEST_NAME:
            _keep(self._decided, key, admission)

    def model_owners(self, model: str, now_us: int) -> frozenset[str]:
        """Return the owners of private models that may answer to a name, remembered for a second.

        Empty if anybody may use it; `NOBODY` for a trained model whose owner is unknown. While owners cannot
        be looked up, what was known of a name stays valid, and public models are open.

        Raises: OwnersError for any other name: it may be somebody's.
        """
        if self.owners.path is None:
            return frozenset()
        known = self._model_owners.get(model)
        if known is not None and 0 <= now_us - known[1] < OWNER_US:
            return known[0]
        try:
            if 0 <= now_us - self._owners_failed_us < OWNER_US:  # a lookup may take half a second
                raise OwnersError(self.owners_error or "not looked up again so soon")
            owners = self._look_up_owners(model)
        except OwnersError as why:
            self.note_owners(str(why), now_us)
            if known is not None:
                return known[0]
            if "/" in model or is_trained_name(model) or not longest(model, 0):
                raise
            return frozenset()
        if len(model) <= LONGEST_NAME and NOBODY not in owners:  # its job's reader may use it at once
            _keep(self._model_owners, model, (owners, now_us))
        return owners

    def _look_up_owners(self, model: str) -> frozenset[str]:
        if len(model) > LONGEST_NAME and "," in model:
            return frozenset((NOBODY,))
        owners = set()
        for hop in hops(self.terms.models, model):
            for name in hop.names:
                owner = self.owners.model_owner((name, *spellings(name)))
                if owner is None and name is hop.names[0] and is_trained_name(name):
                    owner = NOBODY
                owners.add(owner)
        return frozenset(owner for owner in owners if owner is not None)

    def note_owners(self, error: str | None, now_us: int) -> None:
        """Record that owners can be looked up, or why not."""
        if error is not None and self.owners_error is None:
            self._owners_failed_us = now_us
        self.owners_error = error

    def check_owners(self) -> str | None:
        """Check whether owners can be looked up; return why not, or None."""
        if self.owners.path is not None:
            error, now_us = None, self.now_us()
            try:
                self.owners.object("")
            except OwnersError as why:
                error, self._owners_failed_us = str(why), now_us
            self.note_owners(error, now_us)
        return self.owners_error

    def verdict(self, model: str | None, account: str, org: str | None, now_us: int) -> ModelVerdict:
        """Return the policy's verdict on a model, cached until the policy changes or an exception ends."""
        key = (model, account, org)
        verdict = self._verdicts.get(key)
        if verdict is None or (verdict.until_us is not None and verdict.until_us <= now_us):
            verdict = model_verdict(self.terms, model, account, now_us, org)
            if verdict.allow and self.host.rule != "allowed" and not verdict.rule.startswith("exception:"):
                verdict = self.host  # any model on a banned host
            if len(model or "") <= LONGEST_NAME:
                _keep(self._verdicts, key, verdict)
        return verdict

    def reply_verdict(
        self, wanted: str, served: str, account: str, org: str | None, now_us: int
    ) -> ModelVerdict:
        """Return the policy's verdict on the model that answered, remembered in the same way."""
        key = (served, wanted, account, org)
        verdict = self._replies.get(key)
        if verdict is None or (verdict.until_us is not None and verdict.until_us <= now_us):
            verdict = reply_verdict(self.terms, wanted, served, account, now_us, org)
            if len(served) + len(wanted) <= LONGEST_NAME:
                _keep(self._replies, key, verdict)
        return verdict

    # --- the log ---------------------------------------------------------------------------------------

    def number(self) -> int:
        """Return a number that no exchange of this worker ever had."""
        self._ordinal += 1
        return self.log.boot << 32 | self._ordinal

    def overloaded(self) -> bool:
        """Return whether more data waits for the disk than is allowed."""
        return self.log.waiting_bytes > MOST_WAITING

    def note(self, data: bytes) -> None:
        """Have a frame committed soon, with whatever comes next."""
        self.log.append(data)
        if self._flush is None:
            self._flush = self.loop.call_later(OUTCOME_WAIT_S, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        self.log.flush()

    def uncaptured(self, exchanges: int, why: str) -> None:
        """Note that exchanges go unrecorded: this opens a gap, in counters that need no space on the disk."""
        self.capture_error = why
        self.counters[_UNCAPTURED] += exchanges
        self.counters[_GAP_EXCHANGES] += exchanges
        if not self.counters[_GAP_SINCE]:
            self.counters[_GAP_SINCE] = self.now_us()
            self.counters[_GAPS] += 1
        self._try_later()

    def _durable(self, tokens: list[object], size: object) -> None:
        self.counters[_COMMITS] += 1
        self.counters[_COMMIT_US] += self.log.commit_us - self._commit_us
        self._commit_us = self.log.commit_us
        self.counters[_CAPTURED] += len(tokens) - tokens.count(self._ending)
        self.counters[_WAL_BYTES] += size  # type: ignore[operator]
        if self.counters[_GAP_SINCE]:
            self._end_gap()
        for token in tokens:
            token.on_durable()  # type: ignore[attr-defined]

    def _not_durable(self, tokens: list[object], why: object) -> None:
        text = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
        exchanges = len(tokens) - tokens.count(self._ending)
        self.uncaptured(exchanges, f"the log cannot be written: {text}")
        for token in tokens:
            token.on_not_durable()  # type: ignore[attr-defined]

    def _try_later(self) -> None:
        if self._probe is None:
            self._probe = self.loop.call_later(PROBE_S, self._try)

    def _try(self) -> None:
        """Check whether the disk accepts writes again: write what waits, and the end of the gap."""
        self._probe = None
        if self.counters[_GAP_SINCE]:
            self.log.flush()
            self._end_gap()
            self._try_later()

    def _end_gap(self) -> None:
        """Record the gap so far. It is over once the record is durable."""
        if self._ending is None and not self.overloaded():
            values = self.counters
            gap = UncapturedSpan(
                self.worker,
                values[_GAP_SINCE],
                self.now_us(),
                values[_GAP_EXCHANGES],
                self.capture_error or "capture failed",
            )
            self._ending = _Ending(self, gap)
            self.log.append(frame(GAP, 0, msgspec.json.encode(gap)), self._ending)

    def gap_over(self, gap: UncapturedSpan | None) -> None:
        """Note that a gap was recorded; None: it could not be."""
        values = self.counters
        self._ending = None
        if gap is None:
            return
        values[_GAP_EXCHANGES] -= gap.exchanges
        if values[_GAP_EXCHANGES]:  # more have been missed since
            values[_GAP_SINCE] = gap.until_us
        else:
            values[_GAP_SINCE] = 0
            self.capture_error = None


class _Ending:
    """The record of a gap's end, while it is written."""

    def __init__(self, gate: Gate, gap: UncapturedSpan) -> None:
        self._gate, self._gap = gate, gap

    def on_durable(self) -> None:
        self._gate.gap_over(self._gap)

    def on_not_durable(self) -> None:
        self._gate.gap_over(None)


def _keep(remembered: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if len(remembered) >= VERDICTS:
        remembered.clear()
    remembered[key] = value


def _limits_anybody(terms: Terms) -> bool:
    limits = terms.limits
    some = (
        limits.requests_per_minute,
        limits.output_tokens_per_minute,
        limits.output_tokens_per_hour,
        limits.output_tokens_per_day,
        limits.batch_output_tokens_per_day,
    )
    return any(v is not None for v in some) or bool(limits.accounts or limits.orgs or limits.models)
