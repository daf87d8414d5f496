"""Budgets over several gateways: at most one answer each beyond a limit, and all of it usable."""

import concurrent.futures
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import pytest

from fleet_world import FleetServed, fleet, folder, member, query, url_of
from gateway_world import PATIENCE_S, request, until
from stillwatch.gateway.fleet import database
from stillwatch.gateway.fleet.budgets import BudgetExchange, _copy_rows
from stillwatch.gateway.fleet.database import FleetGateway, say_alive
from stillwatch.gateway.path.budgets import HELD, KNOWN, ROW, SLOTS, STARTS, Budgets, map_file
from stillwatch.terms import AccountLimits, AccountUsage, FleetUsage
from stillwatch.terms.limiter import used_up
from stillwatch.terms.window import BLOCK_US, busiest
from stillwatch.units import DAY_US, HOUR_US, MINUTE_US
from upstream import Upstream

NOW = 1_800_000_000_000_000 // DAY_US * DAY_US + DAY_US // 2
ANSWER = 100


class CountingGateway:
    """A gateway that permits answers, with two workers, under a limit of tokens a day."""

    def __init__(self, path: Path, url: str, name: str, like: "CountingGateway | None", limit: int) -> None:
        self.folder = folder(path, like.folder if like else None)
        member(self.folder, url).close()
        self.name, self.limit = name, limit
        self.workers = [Budgets(self.folder.run, k, 2, in_fleet=True) for k in (0, 1)]
        for one in self.workers:
            one.reserve([3])
        self.part = BudgetExchange(self.folder, url, name, print)
        self.answers = self.tokens = 0
        self.on_way: list[Budgets] = []

    def lets_through(
        self,
        now_us: int = NOW,
        settles: bool = True,
        meanwhile: Callable[[], None] = lambda: None,
        sliding: bool = False,
    ) -> bool:
        """Request one answer at one of the workers, as `Charge` does. `meanwhile` runs during the check."""
        budgets = random.Random(self.answers).choice(self.workers)
        place = budgets.place("acct_1", 3)
        limits = AccountLimits(output_tokens_per_day=self.limit)
        known = budgets.known_counts(place)
        meanwhile()
        spent = budgets.spent(place, now_us, sliding=sliding)
        meanwhile()
        spent = AccountUsage(
            output_tokens_day=spent.output_tokens_day,
            tokens_held=spent.tokens_held,
            unknown_elsewhere=budgets.unknown_elsewhere(place, now_us, known, sliding=sliding),
        )
        if used_up(limits, "generates", spent, now_us) is not None:
            return False
        if settles:
            budgets.add(place, now_us, 1, ANSWER)
            self.tokens += ANSWER
        else:
            budgets.hold(place, ANSWER)
            self.on_way.append(budgets)
        self.answers += 1
        return True

    def settle(self, tokens: int, now_us: int = NOW) -> None:
        """An answer has arrived, with fewer tokens than reserved."""
        if self.on_way:
            budgets = self.on_way.pop()
            budgets.add(3, now_us, 1, tokens)
            budgets.hold(3, -ANSWER)
            self.tokens += tokens

    def exchange(self, db: "psycopg.Connection[tuple[object, ...]]") -> None:
        say_alive(db, FleetGateway(self.name, self.name, "h", 0, "", 0.0), self.name)
        self.part.step(db)


def counters(path: Path, url: str, many: int, limit: int) -> list[CountingGateway]:
    made: list[CountingGateway] = []
    for k in range(many):
        made.append(CountingGateway(path / str(k), url, f"gw-{k}", made[0] if made else None, limit))
    return made


def connection(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url, autocommit=True, options="-c search_path=stillwatch_gateway")


def unknown(budgets: Budgets, place: int) -> FleetUsage | None:
    return budgets.unknown_elsewhere(place, NOW, budgets.known_counts(place))


def _total(gateways: list[CountingGateway]) -> int:
    return sum(one.tokens + ANSWER * len(one.on_way) for one in gateways)


def _is_sound(a: CountingGateway, b: CountingGateway) -> bool:
    """Return whether a counts at least those tokens as unknown at b that b does not count."""
    seen = b.workers[0].spent(3, NOW)
    at_b = seen.output_tokens_day + seen.tokens_held - _total([b])
    own = unknown(a.workers[0], 3)
    return own is not None and own.output_tokens_day + own.tokens_held >= _total([a]) - at_b


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_events_spends_more_than_one_answer_a_gateway_beyond(
    tmp_path: Path, server: str, seed: int
) -> None:
    url, rng = url_of(server), random.Random(seed)
    many, limit = rng.choice([2, 3]), rng.choice([50, 1_000, 5_050])
    gateways = counters(tmp_path, url, many, limit)
    with connection(url) as db:
        for one in gateways:
            one.exchange(db)
        for one in gateways:
            one.exchange(db)
        for _ in range(400):
            one, event = rng.choice(gateways), rng.random()
            if event < 0.2:
                one.exchange(db)
            elif event < 0.3:
                one.workers[0].hold(3, ANSWER)  # one that will be refused
                one.exchange(db)
                one.workers[0].hold(3, -ANSWER)
            elif event < 0.5:
                one.settle(rng.randrange(ANSWER + 1))
            else:
                one.lets_through(settles=rng.random() < 0.5)
            assert _total(gateways) <= limit + many * ANSWER
            if many == 2:
                assert all(_is_sound(a, b) for a, b in (gateways, gateways[::-1]))
        for one in gateways:
            while one.on_way:
                one.settle(ANSWER)
        for _ in range(80):  # a single account at one gateway gets all of it
            for one in gateways:
                one.exchange(db)
            gateways[0].lets_through()
        assert limit <= _total(gateways) <= limit + many * ANSWER
        assert not any(one.lets_through() for one in gateways)
        assert gateways[0].lets_through(NOW + DAY_US)  # the next day


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_sliding_day_is_spent_once_by_a_fleet(tmp_path: Path, server: str, seed: int) -> None:
    """Over two days of random requests, answers, exchanges and new workers: any six blocks in a row."""
    url, rng = url_of(server), random.Random(seed)
    many, limit = rng.choice([2, 3]), rng.choice([1_000, 5_050])
    gateways = counters(tmp_path, url, many, limit)
    came: Counter[int] = Counter()
    now_us = NOW + rng.randrange(DAY_US)
    with connection(url) as db:
        for one in (*gateways, *gateways):
            one.exchange(db)
        for _ in range(900):
            one, event = rng.choice(gateways), rng.random()
            now_us += rng.randrange(DAY_US // 50) if rng.random() < 0.3 else 1
            before = one.tokens
            if event < 0.2:
                one.exchange(db)
            elif event < 0.21:
                one.workers = [Budgets(one.folder.run, k, 2, in_fleet=True) for k in (0, 1)]
                one.on_way.clear()
            elif event < 0.5:
                one.settle(rng.randrange(ANSWER + 1), now_us)
            else:
                one.lets_through(now_us, settles=rng.random() < 0.5, sliding=True)
            came[now_us // BLOCK_US] += one.tokens - before
            assert busiest(came) <= limit + many * ANSWER
    assert came.total() > 1.5 * limit  # it was spent, and returned


@pytest.mark.slow
def test_a_gateway_of_an_earlier_version_counts_in_the_sliding_day(tmp_path: Path, server: str) -> None:
    """It reports a day's tokens without blocks; after midnight they do not decrease."""
    url = url_of(server)
    (one,) = counters(tmp_path, url, 1, 1_000)
    at_us = NOW // DAY_US * DAY_US - MINUTE_US
    row = [0] * ROW
    row[3], row[5], row[6] = at_us // HOUR_US, at_us // DAY_US, 700
    with connection(url) as db:
        say_alive(db, FleetGateway("gw-old", "gw-old", "h", 0, "", 0.0), "gw-old")
        db.execute("INSERT INTO spent VALUES ('gw-old', 3, %s, 1, now())", (row,))
        one.exchange(db)
    place = one.workers[0].place("acct_1", 3)
    for hours, tokens in ((0, 700), (1, 700), (20, 700), (21, 0)):
        spent = one.workers[0].spent(place, at_us + hours * HOUR_US, sliding=True)
        assert spent.output_tokens_day == tokens, hours


@pytest.mark.slow
def test_a_fleets_database_of_before_gets_its_column(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(server)
    with connection(url) as db:
        monkeypatch.setattr(database, "MIGRATIONS", database.MIGRATIONS[:1])
        database.make_tables(db)
        db.execute("INSERT INTO spent VALUES ('gw-old', 3, %s, 1, now())", ([7] * ROW,))
        monkeypatch.undo()
        database.make_tables(db)
        assert db.execute("SELECT counts, blocks FROM spent").fetchone() == ([7] * ROW, None)


@pytest.mark.slow
def test_what_others_learn_while_a_worker_looks_frees_nothing(tmp_path: Path, server: str) -> None:
    """Each has spent its half. As one checks, both read what the other spent: no half is free again."""
    url = url_of(server)
    gateways = a, b = counters(tmp_path, url, 2, 10 * ANSWER)
    with connection(url) as db:
        for one in (*gateways, *gateways):
            one.exchange(db)

        def exchange() -> None:
            for one in (*gateways, *gateways):
                one.exchange(db)

        assert [[one.lets_through() for _ in range(6)] for one in gateways] == [[True] * 5 + [False]] * 2
        assert not a.lets_through(meanwhile=exchange)
        assert not b.lets_through(meanwhile=exchange)


class Settling:
    """A worker's mapped file, whose only answer arrives after `after` reads."""

    def __init__(self, values: memoryview, settle: Callable[[], None], after: int) -> None:
        self.values, self.settle, self.after = values, settle, after

    def __getitem__(self, at: int) -> int:
        self.after -= 1
        if self.after == 0:
            self.settle()
        return self.values[at]


@pytest.mark.parametrize("after", range(1, 40))
def test_an_answer_that_comes_while_another_worker_looks_is_not_missed(tmp_path: Path, after: int) -> None:
    other, mine = Budgets(tmp_path, 0, 2, in_fleet=True), Budgets(tmp_path, 1, 2, in_fleet=True)
    assert mine._known is not None
    mine._known[STARTS] = 2
    other.reserve([3])
    mine.reserve([3])
    other.hold(3, ANSWER, (1,))

    def settle() -> None:
        other.add(3, NOW, 1, ANSWER, 1)
        other.hold(3, -ANSWER, (1,))

    def looks(look: Callable[[], tuple[int, int]]) -> int:
        mine._others[0] = Settling(view, settle, after)  # type: ignore[call-overload]
        return sum(look())

    view = mine._others[0]
    own = mine.known_counts(3)

    def spent() -> tuple[int, int]:
        found = mine.spent(3, NOW)
        return found.output_tokens_day, found.tokens_held

    def new() -> tuple[int, int]:
        found = mine.unknown_elsewhere(3, NOW, own, 1)
        assert found is not None
        assert found.set_tokens_day + found.set_tokens_held >= ANSWER
        return found.output_tokens_day, found.tokens_held

    for n, look in enumerate((spent, new, lambda: mine.of_set(3, NOW, 1))):
        assert looks(look) >= (n + 1) * ANSWER
        settled = view[3 * ROW + 6]
        if settled < (n + 1) * ANSWER:
            settle()
        other.hold(3, ANSWER, (1,))


class SettlingRows(np.ndarray):
    """Rows of a worker, in which an answer arrives after a part of them has been copied."""

    def __getitem__(self, at: object) -> object:
        found = super().__getitem__(at).copy()  # type: ignore[index]
        row = self.view(np.ndarray)[3]
        row[6] += ANSWER
        row[HELD] -= ANSWER
        return found


def test_an_answer_that_comes_while_rows_are_copied_is_not_missed() -> None:
    rows = np.zeros((4, ROW), np.int64)
    rows[3, HELD] = ANSWER
    copied = _copy_rows(rows.view(SettlingRows), np.zeros((4, SLOTS), np.int64))
    assert copied[3, 6] + copied[3, HELD] >= ANSWER


@pytest.mark.slow
def test_counts_come_to_the_others_and_stay_over_restarts(tmp_path: Path, server: str) -> None:
    url = url_of(server)
    a, b = counters(tmp_path, url, 2, 10_000)
    with connection(url) as db:
        for one in (a, b, a):
            one.exchange(db)
        assert a.lets_through()
        assert a.lets_through(settles=False)
        a.exchange(db)
        b.exchange(db)
        place = b.workers[0].place("acct_1", 3)
        spent = b.workers[0].spent(place, NOW)
        assert (spent.output_tokens_day, spent.tokens_held, spent.requests_minute) == (100, 100, 1)
        assert b.workers[0].spent(place, NOW + 2 * MINUTE_US).requests_minute == 0
        own = unknown(a.workers[0], place)
        assert own is not None
        assert (own.output_tokens_day, own.tokens_held) == (100, 100)  # b has not reported yet that it knows
        a.exchange(db)
        own = unknown(a.workers[0], place)
        assert own is not None
        assert (own.gateways, own.output_tokens_day, own.tokens_held) == (2, 0, 0)
        b.part = BudgetExchange(b.folder, url, "gw-1", print)
        b.exchange(db)
        assert b.workers[1].spent(place, NOW).output_tokens_day == 100
        query(url, "UPDATE gateways SET seen = now() - interval '1 minute' WHERE name = 'gw-0'")
        b.part.step(db)
        spent = b.workers[0].spent(place, NOW)
        assert (spent.output_tokens_day, spent.tokens_held) == (100, 0)  # its answers in progress are void


@pytest.mark.slow
def test_one_gateway_cut_off_spends_its_part_alone(tmp_path: Path, server: str) -> None:
    url = url_of(server)
    a, b = counters(tmp_path, url, 2, 10_000)
    with connection(url) as db:
        for _ in range(2):
            for one in (a, b):
                one.exchange(db)
        query(url, "UPDATE gateways SET seen = now() - interval '1 minute' WHERE name = 'gw-1'")
        for _ in range(300):
            b.lets_through()
            a.lets_through()
            a.exchange(db)
        assert b.answers * ANSWER == 5_000
        assert a.answers * ANSWER == 10_000


TERMS = "version = 2\n[limits]\noutput_tokens_per_day = 20000\nanswer_tokens = 500\n"


def ask(gateway: FleetServed, key: str) -> tuple[int, str]:
    body = {"model": "mira", "max_tokens": 500, "messages": [{"role": "user", "content": "hi"}]}
    head = {"authorization": f"Bearer {key}", "x-tokens": "500"}
    reply = request(gateway.port, "POST", "/v1/chat/completions", body, head)
    return reply.status, reply.headers.get("retry-after", "")


@pytest.mark.slow
@pytest.mark.parametrize("day", ["calendar", "sliding"])
def test_a_salvo_at_two_gateways_spends_one_allowance(tmp_path: Path, server: str, day: str) -> None:
    url, terms = url_of(server), f'{TERMS}day = "{day}"\n'
    with Upstream() as up, fleet(tmp_path, up.url, url, "a", "b", terms=terms) as gateways:
        key = gateways[0].issue("acct_1")
        known = [map_file(one.folder.run / KNOWN) for one in gateways]
        until(lambda: all(values[STARTS] == 2 for values in known), what="that each knows of the other")
        with concurrent.futures.ThreadPoolExecutor(60) as pool:
            got = list(pool.map(lambda k: ask(gateways[k % 2], key), range(300)))
        let_through = sum(status == 200 for status, _ in got)
        assert {status for status, _ in got} <= {200, 429}
        assert all(after.isdigit() for status, after in got if status == 429)
        spent = _spent(url)
        print(f"{let_through} of 300 let through, {spent} tokens of 20,000")
        assert 0 < spent <= 20_000 + 2 * 500
        for k in range(400):  # patient use gets the rest
            status, after = ask(gateways[k % 2], key)
            if status == 429 and int(after) > 10:
                break
            time.sleep(0 if status == 200 else int(after))
        until(lambda: _spent(url) >= 20_000, what="what both have spent")
        assert _spent(url) <= 20_000 + 2 * 500
        assert all(ask(one, key)[0] == 429 for one in gateways)


@pytest.mark.slow
def test_a_gateway_that_begins_is_heard_of_at_once(tmp_path: Path, server: str) -> None:
    """Until the others learn of it, they permit all of the rest, and the new one permits its part too."""
    url = url_of(server)
    with Upstream() as up, fleet(tmp_path, up.url, url, "a", terms=TERMS) as gateways, connection(url) as db:
        db.execute("LISTEN stillwatch_spent")
        until(lambda: query(url, "SELECT name FROM gateways") == [("a",)], what="that a is known")
        while list(db.notifies(timeout=2.0, stop_after=1)):  # its first own report
            pass
        (tmp_path / "b").mkdir()
        other = FleetServed(tmp_path / "b", up.url, url, "b", gateways[0].folder)
        gateways.append(other)  # stopped together with the fleet
        other.start()
        assert list(db.notifies(timeout=PATIENCE_S, stop_after=1))


def _spent(url: str) -> int:
    time.sleep(1.5)
    return sum(int(row[0][6]) for row in query(url, "SELECT counts FROM spent"))  # type: ignore[index]


@pytest.mark.slow
def test_a_gateway_whose_clock_is_behind_spends_no_day_twice(tmp_path: Path, server: str) -> None:
    """If one gateway is already in the next day, its spending of this day must not be free again."""
    url, limit = url_of(server), 1_000
    midnight_us = NOW // DAY_US * DAY_US
    gateways = behind, ahead = counters(tmp_path, url, 2, limit)
    with connection(url) as db:
        for behind_us, ahead_us in ((-8, -3), (-4, 1), (-2, 3), (1, 6)):  # seconds to midnight
            for _ in range(30):
                behind.lets_through(midnight_us + behind_us * 1_000_000)
                ahead.lets_through(midnight_us + ahead_us * 1_000_000)
                for one in (*gateways, *gateways):
                    one.exchange(db)
    assert 2 * limit <= _total(gateways) <= 2 * limit + 2 * ANSWER
