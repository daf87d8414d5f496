"""A sliding day: no salvo takes two days' tokens, and Retry-After states when the next one fits."""

import random
import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.gateway.path.budgets import EARLIER_SIZES, ROOM, ROW, ROWS, Budgets
from stillwatch.terms import AccountLimits, AccountUsage, RequestFacts
from stillwatch.terms.decide import decide
from stillwatch.terms.diff import difference
from stillwatch.terms.limiter import used_up
from stillwatch.terms.load import check, loads
from stillwatch.terms.window import BLOCK_US, BLOCKS, busiest, until_room
from stillwatch.units import DAY_US, HOUR_US, SECOND_US

LIMIT, LONGEST = 100_000, 9_000
LIMITS = AccountLimits(output_tokens_per_day=LIMIT, day="sliding")
BEGIN_US = 20_000 * DAY_US
SLIDING = f'version = 1\n[limits]\nday = "sliding"\noutput_tokens_per_day = {LIMIT}\n'


def most_of_a_day(came: Counter[int]) -> int:
    """Return the most tokens of six blocks in a row."""
    return busiest(came)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 40), st.integers(0, 99)), st.integers(0, 100), st.integers(0, DAY_US))
def test_until_room_is_the_first_moment_at_which_it_fits(
    tokens: dict[int, int], room: int, later_us: int
) -> None:
    now_us = 40 * BLOCK_US + later_us % BLOCK_US

    def used(at_us: int) -> int:
        return sum(tokens.get(at_us // BLOCK_US - k, 0) for k in range(BLOCKS))

    blocks = [tokens.get(40 - k, 0) for k in reversed(range(BLOCKS))]
    wait_s = until_room(blocks, room, now_us)
    assert wait_s is not None
    assert used(now_us + wait_s * SECOND_US) <= room
    assert wait_s == 0 or used(now_us + (wait_s - 1) * SECOND_US) > room
    assert until_room(blocks, -1, now_us) is None


class Days:
    """Some workers over days: permitted requests, and the tokens per block."""

    def __init__(self, run: Path, many: int) -> None:
        self.run, self.many = run, many
        self.workers = [Budgets(run, k, many) for k in range(many)]
        self.came: Counter[int] = Counter()
        self.on_way: list[tuple[Budgets, int]] = []

    def refusal(self, budgets: Budgets, now_us: int) -> int | None:
        """Ask as the gateway does, reserve and then check; return the seconds until it fits, or None."""
        budgets.hold(3, LONGEST)
        spent = budgets.spent(3, now_us, sliding=True)
        others = AccountUsage(
            output_tokens_day=spent.output_tokens_day,
            tokens_held=spent.tokens_held - LONGEST,
            day_blocks=spent.day_blocks,
        )
        refused = used_up(LIMITS, "generates", others, now_us)
        budgets.hold(3, -LONGEST)
        return None if refused is None else refused.retry_after_s

    def ask(self, rng: random.Random, now_us: int, tokens: int) -> None:
        budgets = rng.choice(self.workers)
        if self.refusal(budgets, now_us) is None:
            budgets.hold(3, LONGEST)
            budgets.add(3, now_us, 1, 0)
            self.on_way.append((budgets, tokens))

    def settle(self, now_us: int) -> None:
        budgets, tokens = self.on_way.pop()
        budgets.add(3, now_us, 0, tokens)
        budgets.hold(3, -LONGEST)
        self.came[now_us // BLOCK_US] += tokens

    def restart(self) -> None:
        """All workers end and restart: their answers in progress are void."""
        self.on_way.clear()
        self.workers = [Budgets(self.run, k, self.many) for k in range(self.many)]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([SECOND_US, HOUR_US // 6, HOUR_US]))
def test_no_order_of_events_passes_a_sliding_day_by_more_than_one_answer(
    tmp_path_factory: pytest.TempPathFactory, rng: random.Random, pace_us: int
) -> None:
    days = Days(tmp_path_factory.mktemp("run"), 2)
    now_us = BEGIN_US + rng.randrange(BLOCKS) * BLOCK_US - 5 * pace_us
    for _ in range(300):
        now_us += rng.randrange(pace_us)
        event = rng.random()
        if event < 0.02:
            days.restart()
        elif event < 0.4 and days.on_way:
            days.settle(now_us)
        else:
            days.ask(rng, now_us, rng.randint(LONGEST // 2, LONGEST))
        assert most_of_a_day(days.came) <= min(LIMIT + LONGEST, 1.1 * LIMIT)
    while days.on_way:
        days.settle(now_us)
    assert most_of_a_day(days.came) <= min(LIMIT + LONGEST, 1.1 * LIMIT)
    # after the stated wait the account gets in, and not a second before
    for budgets in days.workers:
        wait_s = days.refusal(budgets, now_us)
        if wait_s is not None:
            assert days.refusal(budgets, now_us + (wait_s - 1) * SECOND_US) is not None
            assert days.refusal(budgets, now_us + wait_s * SECOND_US) is None


def test_around_midnight_there_is_one_days_allowance_and_the_next_twenty_hours_later(tmp_path: Path) -> None:
    days, rng = Days(tmp_path, 2), random.Random(1)
    midnight_us = BEGIN_US

    def takes(now_us: int) -> int:
        before = days.came.total()
        for _ in range(40):
            days.ask(rng, now_us, LONGEST)
            while days.on_way:
                days.settle(now_us)
        return days.came.total() - before

    assert LIMIT <= takes(midnight_us - HOUR_US) <= LIMIT + LONGEST
    for hours in (0, 4, 8, 12, 16, 19):
        assert takes(midnight_us + hours * HOUR_US) == 0
    assert days.refusal(days.workers[0], midnight_us + SECOND_US) == 20 * 3_600 - 1
    days.restart()
    assert takes(midnight_us + 20 * HOUR_US - SECOND_US) == 0
    assert LIMIT <= takes(midnight_us + 20 * HOUR_US) <= LIMIT + LONGEST


def test_a_refund_in_a_later_block_frees_nothing_that_was_not_charged(tmp_path: Path) -> None:
    """A stream was charged too much before a block's end. The refund belongs to the block of its start."""
    budgets = Budgets(tmp_path, 0, 1)
    before, after = BEGIN_US - SECOND_US, BEGIN_US + SECOND_US
    budgets.add(3, before, 1, 0)
    budgets.add(3, before, 0, 5_000, 2)
    budgets.add(3, after, 0, -4_000, 2, before)
    budgets.add(3, after, 1, 300, 2)
    spent = budgets.spent(3, after, sliding=True)
    assert (spent.output_tokens_day, spent.day_blocks) == (1_300, (0, 0, 0, 0, 1_000, 300))
    assert budgets.set_blocks(3, after, 2) == spent.day_blocks
    assert budgets.spent(3, after + 5 * BLOCK_US, sliding=True).output_tokens_day == 300


def test_batches_and_answers_that_come_later_count_in_the_block_in_which_they_were_charged(
    tmp_path: Path,
) -> None:
    one, two = (Budgets(tmp_path, k, 2) for k in (0, 1))
    then, now = BEGIN_US - SECOND_US, BEGIN_US + HOUR_US
    one.add_batch(3, then, 700, (1,))
    one.add_batch(3, then, 50, (1,))
    one.give_back_batch(3, then, 50, (1,))
    one.add(3, then, 1, 900, 1)
    one.promise(3, 900)
    two.settle(3, now, then, 900, 100, 1)  # it had fewer tokens, and another worker fetched it
    spent = one.spent(3, now, sliding=True)
    assert (spent.batch_tokens_day, spent.output_tokens_day) == (700, 100)
    assert spent.day_blocks[-2:] == (100, 0)
    assert spent.batch_blocks[-2:] == (700, 0)
    assert one.of_set(3, now, 1, sliding=True) == (800, 0)
    later = BEGIN_US + 20 * HOUR_US
    assert one.spent(3, later, sliding=True).batch_tokens_day == 0
    assert one.of_set(3, later, 1, sliding=True) == (0, 0)


# --- counts of an earlier version ------------------------------------------------------------------------


def written_before(file: Path, row: int, hour: int, answers: int, batches: int = 0) -> None:
    """A row as an earlier version writes it: tokens of a day, of its answers and batches, without blocks."""
    with open(file, "r+b" if file.exists() else "wb") as opened:
        opened.truncate(max(EARLIER_SIZES[1], opened.seek(0, 2)))
        opened.seek(8 * ROW * row)
        opened.write(struct.pack("<8q", 0, 0, 0, hour, 0, hour // 24, answers, batches))
        opened.seek(8 * ROWS)
        opened.write(struct.pack("<q", 256))


def test_what_an_earlier_version_counted_is_in_the_sliding_day(tmp_path: Path) -> None:
    last_hour = BEGIN_US // HOUR_US - 3  # 21 o'clock
    written_before(tmp_path / "worker-0.budgets", 3, last_hour, 500, 40)
    now = BEGIN_US - HOUR_US
    for worker in (1, 0):
        spent = Budgets(tmp_path, worker, 2).spent(3, now, sliding=True)
        assert (spent.output_tokens_day, spent.batch_tokens_day) == (500, 40)
    budgets = Budgets(tmp_path, 0, 2)
    budgets.add(3, now, 1, 7)
    budgets.add(3, BEGIN_US, 1, 1)  # midnight: the calendar day starts again, with nothing forgotten
    assert budgets.spent(3, BEGIN_US).output_tokens_day == 1
    for at_us, tokens in ((BEGIN_US, 508), (BEGIN_US + 20 * HOUR_US - 1, 508), (BEGIN_US + 20 * HOUR_US, 1)):
        assert Budgets(tmp_path, 1, 2).spent(3, at_us, sliding=True).output_tokens_day == tokens


def test_a_worker_of_an_earlier_version_that_ends_its_answers_is_counted_on(tmp_path: Path) -> None:
    hour = BEGIN_US // HOUR_US + 2
    file = tmp_path / "worker-0.budgets"
    written_before(file, 3, hour, 500)
    new = Budgets(tmp_path, 64, 2)
    now = BEGIN_US + 2 * HOUR_US
    assert new.spent(3, now, sliding=True).output_tokens_day == 500
    written_before(file, 3, hour + 1, 900)
    assert new.spent(3, now + HOUR_US, sliding=True).day_blocks[-1] == 900
    assert file.stat().st_size > EARLIER_SIZES[1]
    assert Budgets(tmp_path, 64, 2).place("late", ROOM - 1) == ROOM - 1


# --- the policy ------------------------------------------------------------------------------------------


def test_the_terms_say_what_a_day_is() -> None:
    assert not loads("version = 1\n[limits]\noutput_tokens_per_day = 5\n").limits.slides
    assert loads(SLIDING).limits.slides
    wrong = check(SLIDING.replace("sliding", "24h")).problems
    assert [str(problem) for problem in wrong if "limits.day" in str(problem)], wrong
    assert 'give "calendar" or "sliding"' in str(wrong)
    calendar = loads(SLIDING.replace('day = "sliding"\n', ""))
    (change,) = (c for c in difference(calendar, loads(SLIDING), BEGIN_US) if c.where == "limits.day")
    assert change.direction == "stricter"


def test_a_refused_batch_fits_when_the_terms_say_so() -> None:
    terms = loads(
        SLIDING + 'answer_tokens = 10\n[[limits.models]]\nmodels = ["m"]\noutput_tokens_per_day = 9_000\n'
    )
    batch = RequestFacts("a", None, "batches", None, batch_tokens=30_000, does="begins")
    now_us = BEGIN_US + HOUR_US
    spent = AccountUsage(
        output_tokens_day=60_000, day_blocks=(10_000, 0, 0, 0, 0, 50_000), batch_tokens_day=20_000,
        batch_blocks=(0, 5_000, 0, 0, 0, 15_000),
    )  # fmt: skip
    refused = decide(terms, None, batch, None, spent, now_us)
    assert (refused.status, refused.rule) == (429, "limits.output_tokens_per_day")
    assert refused.retry_after_s == 3 * 3_600  # 80,000 are used; 10,000 of them until four o'clock
    of_set = RequestFacts("a", None, "batches", None, batch_tokens=5_000, does="begins", set_most=9_000)
    spent = AccountUsage(set_tokens_day=8_000, set_blocks=(0, 0, 4_000, 0, 0, 4_000))
    refused = decide(terms, None, of_set, None, spent, now_us)
    assert (refused.rule, refused.retry_after_s) == ("limits.models.output_tokens_per_day", 11 * 3_600)
    held = AccountUsage(tokens_held=80_000, day_blocks=(0,) * 6, batch_blocks=(0,) * 6, settles_s=7)
    assert decide(terms, None, batch, None, held, now_us).retry_after_s == 7
