"""A closed loop, hour by hour: an attacker sends, a defence watches and stops, the attacker sees and reacts.

The contest knows the purpose of every request; the defence sees only the log, the attacker only the
responses. A named account is stopped after a delay. Examples delivered before that count.

A request that a defence refuses until a stated time (`Postponing`) is a row of the log, and honest clients
react as docs/holds.md describes. Any other refused request is not in the log, and nobody repeats it.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from stillwatch.errors import Faults, InputError
from stillwatch.range.attackers import Attacker, Brief, Outcome, Try, TryResult
from stillwatch.range.costs import AttackBudget, AttackPrices, Cost
from stillwatch.range.defences import Accusation, Defence, DefenceWatch, Postponing
from stillwatch.range.defences.hours import reason_silent, set_thresholds
from stillwatch.range.honest_background import HonestBackground, Passing, field_of
from stillwatch.range.market import Market
from stillwatch.range.outcome import ScoredPeople
from stillwatch.range.reactions import HonestClients
from stillwatch.range.recorded import ParquetRecorder
from stillwatch.range.rows import Row
from stillwatch.range.scenes import Scene
from stillwatch.scan.milestones import S1K
from stillwatch.toml.declared import Bounds, build, out_of_bounds
from stillwatch.toml.reading import TableReader
from stillwatch.units import DAY_US, HOUR_US, time_of

PIECE_US = 300_000_000  # Accusations between full hours count too, once there is a case
BUSY = 100  # or if an attacker sends this much in an hour
BACK_OFF_US = 60_000_000  # a refused client waits a minute
PATIENCE = 5  # refusals in a row after which it waits an hour
MOST_DAYS, MOST_DELAY_S = 3650, 31_536_000  # ten years, one year
ERRORS = 0.006  # share of requests that fail for no reason, as in composed scenes


@dataclass(frozen=True)
class Rules:
    """The rules of a contest."""

    goal: Annotated[int, Bounds(1)] = S1K.exchanges  # distinct examples
    max_days: Annotated[float, Bounds(0, MOST_DAYS, above=True)] = 60.0
    # from naming to stopping; each account's is drawn from 0.5 to 1.5 of it
    stop_delay_s: Annotated[float, Bounds(0, MOST_DELAY_S)] = 300.0
    # strip: answers without their reasoning, worth nothing here
    act: Literal["stop", "strip"] = "stop"

    @classmethod
    def of(cls, table: TableReader) -> "Rules":
        """Read them from a scene's [contest]. Raises: InputError with every mistake."""
        found = build(cls, table)
        if found is None:
            raise Faults(table.notes.sentences())
        return found

    def __post_init__(self) -> None:
        if wrong := out_of_bounds(self):
            raise InputError("[contest] " + "; ".join(wrong))


@dataclass(frozen=True)
class ContestHour:
    """The state after an hour of the attack."""

    hours: int
    out: int
    usd: float
    accounts: int
    stopped: int


@dataclass(frozen=True)
class Contest:
    """The result of one attacker against one defence."""

    attacker: str
    defence: str
    seed: int
    goal: int
    out: int  # distinct examples that got out
    reached: bool
    ended: str  # goal, money, time, given up
    accounts: int  # bought or stolen
    stolen: int
    stopped: int  # of these
    usd: float
    accounts_usd: float
    days: float  # from the first request to the last example; if the goal was not reached, to the end
    requests: int  # sent, cover and refused ones included
    output_tokens: int  # of the examples that got out
    first_stop_days: float | None
    honest_stopped: int  # honest accounts that were stopped, without stolen ones
    honest_refused: int  # honest requests refused by a limit
    honest_requests: int  # their total
    history: tuple[ContestHour, ...]
    cannot_fire: str = ""  # why the defence could do nothing: the contest is not counted
    people: ScoredPeople | None = None  # whose honest traffic it was; None: no other contest's

    @property
    def cost(self) -> Cost:
        return Cost(float(self.accounts), self.days, self.usd)


@runtime_checkable
class Enrolling(Protocol):
    """A watch that uses the accounts table, which grows during a contest."""

    def enrol(self, accounts: pa.Table) -> None:
        """Receive the whole table again."""


@runtime_checkable
class Metered(Protocol):
    """A watch with a limit on tokens, which are known when an answer ends."""

    def answered(self, account: str, at_us: int, output_tokens: int, model: str | None = None) -> None:
        """Count an answer's tokens."""


@dataclass(frozen=True, slots=True)
class _HonestRequest:
    """A request of an honest account, first or repeated."""

    account: str
    model: str | None
    output_tokens: int
    row: int | Row  # its place in the piece of the log where it is first sent; later, the row
    attempt: int = 0


class _ClientState:
    """The state of all clients within an hour: they wait when refused, and end when their account is dead."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self._until_us: dict[str, int] = {}
        self._refused: dict[str, int] = {}  # in a row

    def waits(self, t: Try) -> bool:
        return t.at_us < self._until_us.get(t.account, 0)

    def heard(self, t: Try, outcome: Outcome) -> None:
        if outcome == "dead":
            self.dead.add(t.account)
        elif outcome == "answered":
            self._refused.pop(t.account, None)
        elif outcome == "refused" and not self.waits(t):
            self._refused[t.account] = self._refused.get(t.account, 0) + 1
            pause_us = BACK_OFF_US if self._refused[t.account] < PATIENCE else HOUR_US
            self._until_us[t.account] = t.at_us + pause_us


class _Loop:
    def __init__(
        self,
        field: HonestBackground,
        defence: Defence,
        attacker: Attacker,
        seed: int,
        rules: Rules,
        prices: AttackPrices,
    ) -> None:
        self.field, self.rules, self.seed = field, rules, seed
        self.name, self.against = attacker.NAME, defence.NAME
        # separate generators: the defence's draws do not change the attacker's
        market_rng, play_rng, self.rng, rows_rng, people_rng = (
            np.random.default_rng([seed, part]) for part in (1, 2, 3, 4, 5)
        )
        self.budget = AttackBudget(prices)
        self.market = Market(
            self.budget, field.begin, list(field.donors), list(field.owners), market_rng, field.programs
        )
        self.start_us = field.clean_until_us
        brief = Brief(rules.goal, self.start_us, field.items, field.talks)
        if len(field.items) < rules.goal:
            raise InputError(f"the scene holds {len(field.items)} questions, the goal is {rules.goal}")
        self.play = attacker.begin(brief, self.market, play_rng)
        self.recorder = ParquetRecorder(field.exchanges.schema, field.begin, field.new_model_day, rows_rng)
        self.passing = Passing(field)
        self.accounts = field.accounts
        self.watch: DefenceWatch = defence.open_watch(field.accounts, field.clean_until_us, seed)
        set_thresholds(defence, self.watch, field.calibration, field.clean_until_us, seed)
        self.meter = self.watch if isinstance(self.watch, Metered) else None
        self.postponing = self.watch if isinstance(self.watch, Postponing) else None
        names = field.accounts["account"].to_pylist()
        self.people = HonestClients(dict.fromkeys(names, ""), people_rng)
        self.due: list[tuple[int, int, int, Try | _HonestRequest]] = []  # time, rank, tie
        self.ties = 0
        self.rests_until: dict[str, int] = {}  # of an attacker's accounts, as far as it respects that
        self.stop_at: dict[str, int] = {}
        self.known_case = False
        self.got: set[int] = set()
        self.last_us = self.first_us = 0
        self.requests = self.tokens = 0
        self.first_stop: int | None = None
        self.honest_stopped: set[str] = set()
        self.honest_refused = self.honest_requests = 0

    def run(self) -> Contest:
        for day in range(self.field.begin_us, self.start_us, DAY_US):
            until = min(day + DAY_US, self.start_us)
            self._heard(self.watch.step(self.passing.exchanges_between(day, until), until), until)
        history: list[ContestHour] = []
        ended = "time"
        for hours in range(round(self.rules.max_days * 24)):
            at = self.start_us + hours * HOUR_US
            self._hour(at)
            history.append(self._stands(hours + 1))
            if len(self.got) >= self.rules.goal:
                ended = "goal"
                break
            if self.budget.left_usd <= 0:
                ended = "money"
                break
            if self.play.given_up:
                ended = "given up" if self.market.held else "money"  # for even one account
                break
        return self._result(history, ended)

    def _hour(self, at: int) -> None:
        tries = sorted(self.play.hour(at), key=lambda t: (t.at_us, t.account))
        self._enrol()
        for t in tries:
            self._put(t.at_us, 2, t)
        sent = sum(isinstance(item, Try) and at_us < at + HOUR_US for at_us, _, _, item in self.due)
        often = self.known_case or sent >= BUSY
        pieces = HOUR_US // PIECE_US if sent and often else 1
        clients = _ClientState()
        results: list[TryResult] = []
        for piece in range(pieces):
            since, until = at + piece * HOUR_US // pieces, at + (piece + 1) * HOUR_US // pieces
            rows: list[Row] = []
            honest = self._send_all(
                self.passing.exchanges_between(since, until), until, rows, clients, results
            )
            table = honest  # is sorted
            if rows:
                table = pa.concat_tables([honest, self.recorder.table(rows)])
                table = table.sort_by([("time", "ascending"), ("exchange_id", "ascending")])
            self._heard(self.watch.step(table, until), until)
        self.play.saw(results)

    def _put(self, at_us: int, rank: int, item: "Try | _HonestRequest") -> None:
        self.ties += 1
        heapq.heappush(self.due, (at_us, rank, self.ties, item))

    def _send_all(
        self, honest: pa.Table, until_us: int, rows: list[Row], clients: "_ClientState",
        results: list[TryResult],
    ) -> pa.Table:  # fmt: skip
        """Send everybody's requests in order of time; return the honest ones that were answered at once."""
        honest = self._without_stopped(honest)
        names = ("time", "account", "model", "output_tokens")
        columns = (honest[name].cast(pa.int64()) if name == "time" else honest[name] for name in names)
        for n, (at_us, name, model, tokens) in enumerate(zip(*(c.to_pylist() for c in columns), strict=True)):
            self._put(at_us, 0, _HonestRequest(name, model, tokens or 0, n))
        is_kept = [False] * len(honest)
        while self.due and self.due[0][0] < until_us:
            at_us, _, _, item = heapq.heappop(self.due)
            if isinstance(item, Try):
                self._attack(item, rows, clients, results)
            elif isinstance(item.row, int):
                is_kept[item.row] = self._ask_honestly(item, at_us, honest, rows)
            elif self.rules.act == "strip" or item.account not in self.honest_stopped:
                self._ask_honestly(item, at_us, honest, rows)
        return honest if all(is_kept) else honest.filter(pa.array(is_kept, pa.bool_()))

    def _ask_honestly(self, request: "_HonestRequest", at_us: int, honest: pa.Table, rows: list[Row]) -> bool:
        """Return whether an honest request was answered; repeated requests are logged separately."""
        if request.attempt == 0:
            if self.people.is_away(request.account, at_us):
                return False
            self.honest_requests += 1
        if not self.watch.refuses(request.account, at_us, request.model):
            if self.meter is not None:
                self.meter.answered(request.account, at_us, request.output_tokens, request.model)
            if isinstance(request.row, dict):
                rows.append(_again(request.row, at_us, answered=True))
            return True
        self.honest_refused += request.attempt == 0
        if self.postponing is None:
            return False
        refused_until_us = self.postponing.refused_until_us(request.account, at_us, request.model)
        if refused_until_us is None:
            return False
        row = honest.slice(request.row, 1).to_pylist()[0] if isinstance(request.row, int) else request.row
        rows.append(_again(row, at_us, answered=False))
        again = self.people.again(at_us, request.account, request.attempt, refused_until_us)
        if again is not None:
            row = row | self.passing.identity(again.account)
            self._put(again.at_us, 1, replace(request, account=again.account, row=row, attempt=again.attempt))
        return False

    def _attack(self, t: Try, rows: list[Row], clients: "_ClientState", results: list[TryResult]) -> None:
        """Send a try; a failed one may be sent again later, and its result is reported only then."""
        served_us = self.rests_until.get(t.account, 0) if t.account not in clients.dead else 0
        outcome: Outcome = "refused"
        failed = True
        if served_us <= t.at_us:  # otherwise it knows and sends nothing
            outcome, failed = self._send_one(t, rows, clients)
            served_us = t.at_us + BACK_OFF_US
            if outcome == "refused" and self.postponing is not None:
                served_us = self.postponing.refused_until_us(t.account, t.at_us, t.model) or served_us
        retry = self.play.again(t, served_us) if failed else None
        if retry is None:
            clients.heard(t, outcome)
            results.append(TryResult(t.account, t.at_us, t.item, outcome))
            return
        if outcome == "refused":
            self.rests_until[t.account] = served_us
        self._put(retry.at_us, 2, retry)

    def _send_one(self, t: Try, rows: list[Row], clients: "_ClientState") -> tuple[Outcome, bool]:
        """Return what came back, and whether it failed in such a way that a retry may succeed."""
        if t.account in clients.dead:
            return "dead", False
        if clients.waits(t):
            return "refused", False
        if self.budget.left_usd <= 0:
            return "error", False
        stopped = self.stop_at.get(t.account)
        acted = stopped is not None and t.at_us >= stopped
        if acted and self.first_stop is None:
            self.first_stop = t.at_us
        self.requests += 1
        self.first_us = self.first_us or t.at_us
        if acted and self.rules.act == "stop":
            return "dead", False
        account = self.market.held[t.account]
        refused = self.watch.refuses(t.account, t.at_us, t.model)
        failed = refused or self.rng.random() < ERRORS
        row = self.recorder.row(t, account, failed)
        rows.append(row)
        if failed:
            return ("refused" if refused else "error"), True
        if self.meter is not None:
            self.meter.answered(t.account, t.at_us, row["output_tokens"], row["model"])
        self.budget.pay(t.model, row["input_tokens"], row["output_tokens"], paid=account.kind != "stolen")
        if acted:
            return "stripped", False
        if row["finish_reason"] in ("refusal", "length"):
            return "error", False  # the model itself refused, or the account's own limit cut it off
        if t.item is not None and t.item not in self.got:
            self.got.add(t.item)
            self.tokens += row["output_tokens"]
            self.last_us = t.at_us
        return "answered", False

    def _enrol(self) -> None:
        if self.market.unlisted:
            new = pa.Table.from_pylist(self.market.unlisted, self.accounts.schema)
            self.market.unlisted.clear()
            self.accounts = pa.concat_tables([self.accounts, new])
            if isinstance(self.watch, Enrolling):
                self.watch.enrol(self.accounts)

    def _without_stopped(self, honest: pa.Table) -> pa.Table:
        """Remove what stopped accounts would have sent."""
        stopped = [name for name in self.honest_stopped if name not in self.market.held]
        if self.rules.act == "strip" or not stopped or len(honest) == 0:
            return honest
        return honest.filter(
            pa.compute.invert(pa.compute.is_in(honest["account"], value_set=pa.array(stopped)))
        )

    def _heard(self, accusations: Sequence[Accusation], until: int) -> None:
        for case in accusations:
            self.known_case = True
            for name in sorted(case.named_at_us):
                if name in self.stop_at:
                    continue
                delay = self.rules.stop_delay_s * 1e6 * self.rng.uniform(0.5, 1.5)
                self.stop_at[name] = max(case.named_at_us[name], until) + int(delay)
                if name not in self.market.held:
                    self.honest_stopped.add(name)

    def _stands(self, hours: int) -> ContestHour:
        stopped = sum(name in self.stop_at for name in self.market.held)
        return ContestHour(
            hours, len(self.got), round(self.budget.spent_usd, 2), len(self.market.held), stopped
        )

    def _result(self, history: list[ContestHour], ended: str) -> Contest:
        reached = len(self.got) >= self.rules.goal
        end_us = self.last_us if reached else self.start_us + len(history) * HOUR_US
        begun = self.first_us or self.start_us
        accounts = self.market.held.values()
        return Contest(
            self.name,
            self.against,
            self.seed,
            self.rules.goal,
            len(self.got),
            reached,
            ended,
            len(accounts),
            sum(h.kind == "stolen" for h in accounts),
            history[-1].stopped if history else 0,
            round(self.budget.spent_usd, 2),
            round(self.budget.accounts_usd, 2),
            (end_us - begun) / DAY_US,
            self.requests,
            self.tokens,
            None if self.first_stop is None else (self.first_stop - begun) / DAY_US,
            len(self.honest_stopped - set(self.market.held)),
            self.honest_refused,
            self.honest_requests,
            tuple(history),
            reason_silent(self.watch),
            self.field.people,
        )


def _again(row: Row, at_us: int, *, answered: bool) -> Row:
    """Return an honest row as sent at another time, or refused."""
    time = time_of(at_us)
    values = {
        "time": time,
        "exchange_id": f"{row['exchange_id']}@{at_us}",
        "status": 200 if answered else 429,
    }
    if not answered:
        values |= {"output_tokens": 0, "reasoning_tokens": 0, "finish_reason": None}
    return row | values


def contest(
    field: HonestBackground,
    defence: Defence,
    attacker: Attacker,
    seed: int,
    rules: Rules | None = None,
    prices: AttackPrices | None = None,
) -> Contest:
    """Let an attacker try a defence. The same field and seed give the same contest.

    Raises: InputError if the field holds fewer questions than the goal.
    """
    return _Loop(field, defence, attacker, seed, rules or Rules(), prices or AttackPrices()).run()


def contest_of(scene: Scene, seed: int, defence: Defence, attacker: Attacker) -> Contest:
    """Let an attacker try a defence among a scene's people, by its [contest] and [budget].

    Raises: InputError if the scene's base, stock or rules cannot be used.
    """
    return contest(
        field_of(scene, seed), defence, attacker, seed, Rules.of(scene.table("contest")), scene.budget
    )
