"""Canaries on the request path: two answers are requested, one is served as it comes, the other recorded.

Both are requested at once, in an order independent of the coin, so nobody waits for the second one. Failures
on its side are recorded and never reach a client. The ledger's thread reads the texts.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import msgspec

from stillwatch.coin import CoinError, Pair, Throw
from stillwatch.coin.keys import EpochKey, current
from stillwatch.coin.ledger import Ledger
from stillwatch.coin.sealing import public_of
from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.path.upstream import Connection, ConnectionPool, Header
from stillwatch.gateway.record.coined import CoinedReply, Drawn, record, tokens_of
from stillwatch.units import DAY_US, MINUTE_US

if TYPE_CHECKING:
    from pathlib import Path

    from stillwatch.gateway.path.request import Facts
    from stillwatch.terms import Coin, EnforcementStatus

LONGEST = 8 << 20  # bytes of a reply; a longer one makes no pair
BUSY = frozenset((429, 503, 529))  # an overloaded upstream gets no second requests
BUSY_US = MINUTE_US
MOST_DRAWING = 1000  # coins in progress in one worker: each may hold two replies in memory
NO_KEY = "the terms want coins, and there is no key: `stillwatch coin new-key --reading-key FILE`"
NO_READING_KEY = (
    "the terms want sealed texts, and there is no reading key: `stillwatch coin new-key --epoch NAME "
    '--reading-key FILE`, or texts = "plain"'
)
AGAIN = 1  # times that an unserved answer which broke off is requested again
ROTATE_WAIT = 60  # polls that a new ledger waits for the coins in progress in the old one
_COINS, _PAIRS, _UNPAIRED = PLACE["coins"], PLACE["coin_pairs"], PLACE["coin_unpaired"]
_LOST, _TOKENS = PLACE["coin_lost"], PLACE["coin_tokens"]


_IDEMPOTENCY = re.compile(rb"(?im)^(idempotency-key:[^\r\n]*)")


class _Tool(msgspec.Struct):
    type: object = None


class _RepeatabilityFields(msgspec.Struct):
    """The fields that decide whether a request may be sent twice, and whether two answers can differ."""

    temperature: object = None
    seed: object = None
    store: object = None
    background: object = None
    conversation: object = None
    mcp_servers: object = None
    container: object = None
    web_search_options: object = None
    tools: list[_Tool] = []


_ASKED = msgspec.json.Decoder(_RepeatabilityFields)


def twice(operation: str, body: bytes) -> bool:
    """Return whether a request may be sent twice: its only effect is an answer, and that is sampled."""
    try:
        request = _ASKED.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    if request.seed is not None or request.temperature == 0:
        return False
    if any(tool.type not in (None, "function", "custom") for tool in request.tools):
        return False  # the upstream would act twice
    if any((request.background, request.conversation, request.mcp_servers, request.container)):
        return False
    if request.web_search_options is not None:
        return False
    # responses are stored by default
    return request.store is False if operation == "responses" else not request.store


def second(head: bytes) -> bytes:
    """Return the second request's head, with its own idempotency key: else the first answer comes again.

    The key depends on the order of requests, not the coin: a client that retries gets one of the same two.
    """
    return _IDEMPOTENCY.sub(rb"\1-2", head, count=1)


@dataclass(frozen=True)
class Who:
    """An exchange and its account."""

    account: str
    org: str | None
    standing: "EnforcementStatus | None"
    exchange: str
    model: str

    @property
    def campaign(self) -> str | None:
        return self.standing.campaign if self.standing else None


class Coins:
    """One worker's coins: throws them, and writes the ledger in a thread."""

    def __init__(
        self,
        folder: Folder,
        worker: int,
        pool: ConnectionPool,
        counters: memoryview,
        now_us: Callable[[], int],
    ) -> None:
        self._folder, self._worker = folder, worker
        self.pool, self._counters, self._now_us = pool, counters, now_us
        self.on = False  # whether any exchange may get a coin now
        self._terms: Coin | None = None
        self._ledger: Ledger | None = None
        self._old: Ledger | None = None  # its coins are in progress; no more are thrown
        self._waited = 0
        self._day, self._spent = 0, 0
        self._busy_until_us = 0
        self.drawing = 0  # coins in progress
        self.error: str | None = None
        self._queue: SimpleQueue[Throw | Drawn | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    # --- once a second ---------------------------------------------------------------------------------

    def poll(self, terms: "Coin") -> None:
        """Apply the policy and the keys. Problems are reported in `error` and do not affect serving."""
        self._terms = terms if terms.on else None
        try:
            self._poll(terms)
        except (CoinError, OSError) as why:
            self.error = f"{why.strerror}: {why.filename}" if isinstance(why, OSError) else str(why)
            if self._old is None:
                self._old, self._ledger, self._waited = self._ledger, None, 0
        self.on = self._terms is not None and self._ledger is not None

    def _poll(self, terms: "Coin") -> None:
        if self._old is not None and (
            self._old.closed or self._old.under_way == 0 or self._waited >= ROTATE_WAIT
        ):
            self._old.close(self._now_us())
            self._old = None
        self._waited += 1
        if self._ledger is not None and (
            not terms.on or self._ledger.full or self._ledger.closed or self._is_changed(self._ledger, terms)
        ):
            self._old, self._ledger, self._waited = self._ledger, None, 0
        if terms.on and self._ledger is None and self._old is None:
            self._open(terms)

    def _is_changed(self, ledger: Ledger, terms: "Coin") -> bool:
        keys = self._keys(terms)
        return keys is None or keys != (ledger.key, ledger.reader)

    def _keys(self, terms: "Coin") -> tuple[EpochKey, bytes | None] | None:
        """Return the epoch's key and the public reading key if required; None if one is missing."""
        key = current(self._folder.coin / "keys")
        reader = public_of(reader_file(self._folder)) if terms.sealed else None
        if key is None or (terms.sealed and reader is None):
            return None
        return key, reader

    def _open(self, terms: "Coin") -> None:
        keys = self._keys(terms)
        if keys is None:
            self.error = NO_KEY if current(self._folder.coin / "keys") is None else NO_READING_KEY
            return
        self._ledger = Ledger(self._folder.coin / "ledger", self._worker, *keys, self._now_us())
        self.error = None
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="coins", daemon=True)
            self._thread.start()

    # --- a request -------------------------------------------------------------------------------------

    def throw(self, who: Who, facts: "Facts", body: bytes) -> "Draw | None":
        """Throw the coin of an exchange; None if it gets a single answer, as most do."""
        terms, ledger = self._terms, self._ledger
        if terms is None or ledger is None or facts.n != 1 or facts.background:
            return None
        share = terms.share_of(who.account, who.org, who.standing)
        if share <= 0 or not facts.is_json or not ledger.key.drawn(who.exchange, share):
            return None
        now_us = self._now_us()
        if now_us < self._busy_until_us or self.drawing >= MOST_DRAWING:
            return None
        if now_us // DAY_US != self._day:
            self._day, self._spent = now_us // DAY_US, 0
        if terms.output_tokens_per_day is not None and self._spent >= terms.output_tokens_per_day:
            return None
        if not twice(facts.operation, body):
            return None
        number = ledger.number()
        self._counters[_COINS] += 1
        self.drawing += 1
        # recorded before there is an answer, so that a coin without a result has an account
        self._queue.put(Throw(ledger.name, number, now_us, who.account, who.campaign))
        return Draw(self, ledger.name, number, ledger.coin(number), who, facts.operation, body)

    def drawn(self, draw: "Draw") -> None:
        """Record a coin whose answers have both come, or failed."""
        self.drawing -= 1
        if any(slot.status in BUSY for slot in draw.slots):
            self._busy_until_us = self._now_us() + BUSY_US
        first, second = draw.slots
        self._queue.put(
            Drawn(
                draw.ledger, draw.number, self._now_us(), draw.who.account, draw.who.campaign, draw.who.model,
                draw.operation, draw.body, draw.served, (first.reply(), second.reply()),
            )
        )  # fmt: skip

    # --- the thread ------------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            first = self._queue.get()
            batch = [] if first is None else [first]
            while first is not None and not self._queue.empty():
                first = self._queue.get()
                if first is not None:
                    batch.append(first)
            self._commit(batch)
            if first is None:
                return

    def _commit(self, batch: list[Throw | Drawn]) -> None:
        for ledger in (self._old, self._ledger):
            of_ledger = [thrown for thrown in batch if ledger is not None and thrown.ledger == ledger.name]
            if ledger is None or not of_ledger:
                continue
            batch = [thrown for thrown in batch if thrown.ledger != ledger.name]
            records = [thrown if isinstance(thrown, Throw) else record(thrown) for thrown in of_ledger]
            tokens = sum(tokens_of(thrown) for thrown in of_ledger if isinstance(thrown, Drawn))
            self._spent += tokens
            self._counters[_TOKENS] += tokens
            try:
                ledger.add(records, self._now_us())
            except (OSError, CoinError) as why:
                self.error = f"the ledger cannot be written: {why}"
                self._counters[_LOST] += sum(isinstance(thrown, Drawn) for thrown in of_ledger)
                continue
            made = sum(isinstance(written, Pair) for written in records)
            self._counters[_PAIRS] += made
            self._counters[_UNPAIRED] += sum(isinstance(thrown, Drawn) for thrown in of_ledger) - made
        of_closed_ledgers = batch
        self._counters[_LOST] += sum(isinstance(thrown, Drawn) for thrown in of_closed_ledgers)

    def close(self) -> None:
        """Write what has come, and end the ledger; it records coins in progress as lost."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(10.0)
        for ledger in (self._old, self._ledger):
            if ledger is not None and not ledger.closed:
                try:
                    ledger.close(self._now_us())
                except OSError as why:
                    self.error = str(why)


def reader_file(folder: Folder) -> "Path":
    """Return the file with the public half of the reading key."""
    return folder.coin / "reader.pub"


def _nothing() -> None:
    """Do nothing: the client's answer is requested by its exchange."""


class Slot:
    """One of the two answers as it comes in. It is the `upstream.Asker` if no client takes it."""

    def __init__(self, draw: "Draw") -> None:
        self._draw = draw
        self._parts: list[bytes] = []
        self._size = self.status = 0
        self._stream = False
        self.over = False
        self._why: str | None = None
        self._again = 0  # further requests allowed
        self._broke_off = False
        self.connection: Connection | None = None
        self._retry: Callable[[], None] | None = None
        self._anew: Callable[[], None] = _nothing

    @property
    def has_failed(self) -> bool:
        """Whether it has ended without an answer."""
        return self.over and (self._why is not None or self.status != 200)

    def reply(self) -> CoinedReply:
        return CoinedReply(b"".join(self._parts), self.status, self._stream, self._why)

    def ask(self, pool: ConnectionPool, head: bytes, body: bytes) -> None:
        """Request this answer, on a connection of its own; once more if it breaks off or is an error.

        The client's is requested once. Both recorded answers are then completed samples, whatever was
        drawn before: the pair is as fair, and fewer coins are wasted.
        """

        def send(connection: Connection | None, why: str) -> None:
            if connection is None:
                self.fail(why)
                return
            self.connection = connection
            connection.send(head, body, self, head_only=False)

        def anew() -> None:
            def ready(connection: Connection | None, why: str) -> None:
                if connection is not None:
                    connection.reused = False
                send(connection, why)

            pool.connect(ready)

        self._retry = self._anew = anew
        self._again = AGAIN
        idle = pool.idle()
        if idle is None:
            anew()
        else:
            send(idle, "")

    def on_head(self, status: int, reason: bytes, headers: list[Header]) -> None:
        self.status = status
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-type":
                self._stream = value.lower().startswith(b"text/event-stream")
            elif lower == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                self._why = "is compressed, unasked"

    def on_data(self, data: bytes) -> None:
        if self.over:
            return
        self._size += len(data)
        if self._size > LONGEST:
            self._parts = []
            self.fail(f"is longer than {LONGEST:,} bytes")
            return
        self._parts.append(data)

    def on_end(self) -> None:
        self.connection = None
        self._broke_off = self.status >= 500 and self.status not in BUSY
        self._end()

    def on_lost(self, why: str, untouched: bool) -> None:
        self.connection = None
        if untouched and self._retry is not None:
            retry, self._retry = self._retry, None
            retry()
            return
        self._broke_off = True
        self.fail(why)

    def fail(self, why: str) -> None:
        """End without an answer."""
        if self.over:
            return
        self._why = self._why or why
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()
        self._end()

    def _end(self) -> None:
        if self.over:
            return
        if self._broke_off and self._again and not self._draw.mine.has_failed:
            self._again -= 1
            self._parts, self._size, self.status, self._stream = [], 0, 0, False
            self._why, self._broke_off = None, False
            self._anew()
            return
        self.over = True
        self._draw.ended()


class Draw:
    """One coin in progress. `slots` are in the order of requests; `served` is the client's."""

    def __init__(
        self, coins: Coins, ledger: str, number: int, served: int, who: Who, operation: str, body: bytes
    ) -> None:
        self._coins = coins
        self.ledger, self.number, self.served = ledger, number, served
        self.who, self.operation, self.body = who, operation, body
        self.slots = Slot(self), Slot(self)

    @property
    def mine(self) -> Slot:
        """The answer that the client gets."""
        return self.slots[self.served]

    def ask_other(self, head: bytes, body: bytes) -> None:
        """Request the answer that is only recorded."""
        other = self.slots[1 - self.served]
        if self.mine.over:  # nobody is served: a second answer would be useless
            other.fail("was not asked for: there was no first one")
        else:
            other.ask(self._coins.pool, head, body)

    def adopt(self, connection: Connection) -> None:
        """Take over the connection of an answer that its client abandoned, and read it to its end.

        Otherwise a client could choose answers by ending them, and the coin would not be fair.
        """
        if connection.held:
            connection.hold(False)
        self.mine.connection = connection
        connection.asker = self.mine

    def ended(self) -> None:
        if all(slot.over for slot in self.slots):
            self._coins.drawn(self)
