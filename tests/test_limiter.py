"""One limiter: over simultaneous requests, workers and midnight, at most one answer exceeds an allowance."""

import heapq
import os
import random
import struct
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.gateway.path.batch import begun, uploaded_batch
from stillwatch.gateway.path.budgets import EARLIER_SIZES, ROOM, ROW, Budgets
from stillwatch.gateway.path.request import read
from stillwatch.range.defences.allowance import AllowanceWatch
from stillwatch.terms import AccountLimits, AccountUsage, Models, ModelSet
from stillwatch.terms.allowance import CEILING, Allowances
from stillwatch.terms.limiter import longest, set_of, tokens_left, used_up
from stillwatch.terms.load import check, loads
from stillwatch.units import DAY_US
from test_operations import ask, watched

LIMIT = 100_000
LONGEST = 9_000


def admitted(budgets: list[Budgets], asks: list[tuple[int, int, int, int]]) -> dict[int, int]:
    """Return the tokens per day of arrival, for requests (time, worker, tokens, duration).

    Each is requested as in the gateway: reserve, check the rest, release if it is refused.
    """
    came: dict[int, int] = {}
    running: list[tuple[int, int, int, int]] = []
    for number, (at_us, worker, brings, takes_us) in enumerate(sorted(asks)):
        while running and running[0][0] <= at_us:
            ends_us, _, one, tokens = heapq.heappop(running)
            budgets[one].add(0, ends_us, 0, tokens)
            budgets[one].hold(0, -LONGEST)
            came[ends_us // DAY_US] = came.get(ends_us // DAY_US, 0) + tokens
        budgets[worker].hold(0, LONGEST)
        spent = budgets[worker].spent(0, at_us)
        others = AccountUsage(
            output_tokens_day=spent.output_tokens_day, tokens_held=spent.tokens_held - LONGEST
        )
        if used_up(AccountLimits(output_tokens_per_day=LIMIT), "generates", others, at_us):
            budgets[worker].hold(0, -LONGEST)
        else:
            heapq.heappush(running, (at_us + takes_us, number, worker, brings))
    while running:
        ends_us, _, one, tokens = heapq.heappop(running)
        budgets[one].hold(0, -LONGEST)
        came[ends_us // DAY_US] = came.get(ends_us // DAY_US, 0) + tokens
    return came


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 400), st.sampled_from([1, 1_000_000, DAY_US]))
def test_no_salvo_passes_an_allowance_by_more_than_one_answer(
    tmp_path_factory: pytest.TempPathFactory, rng: random.Random, many: int, within_us: int
) -> None:
    run = tmp_path_factory.mktemp("run")
    workers = [Budgets(run, k, 2) for k in range(2)]
    before_midnight = 20_000 * DAY_US - within_us // 2
    asks = [
        (before_midnight + rng.randrange(within_us), rng.randrange(2), rng.randint(1, LONGEST),
         rng.randrange(1, 30_000_000))
        for _ in range(many)
    ]  # fmt: skip
    came = admitted(workers, asks)
    assert max(came.values(), default=0) <= LIMIT + LONGEST
    assert workers[0].spent(0, before_midnight).tokens_held == 0


def test_a_worker_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    one, two = Budgets(tmp_path, 0, 2), Budgets(tmp_path, 1, 2)
    one.add(3, 5, 1, 70)
    one.hold(3, 500, (0, 7))
    assert two.spent(3, 5).tokens_held == 500
    assert two.of_set(3, 5, 7) == (0, 500)
    again = Budgets(tmp_path, 0, 2)
    assert (again.spent(3, 5).tokens_held, again.spent(3, 5).output_tokens_day) == (0, 70)
    assert two.of_set(3, 5, 7) == (0, 0)


def test_a_file_of_budgets_has_blocks_for_the_accounts_that_are_there(tmp_path: Path) -> None:
    one, two = Budgets(tmp_path, 0, 2), Budgets(tmp_path, 1, 2)
    file = tmp_path / "worker-0.budgets"

    def kb() -> int:
        return file.stat().st_blocks // 2

    assert kb() <= 16
    assert one.spent(40_000, 5).output_tokens_day == 0  # an account without entries
    assert kb() <= 16
    one.add(one.place("acct_9", 9), 5, 1, 70)
    assert kb() <= 210
    one.reserve([3, None, 1_000, 10**9])
    assert kb() <= 800
    one.add(one.place("acct_1000", 1_000), 5, 1, 30)
    assert two.spent(1_000, 5).output_tokens_day == 30  # two has no row of it yet
    two.add(two.place("acct_1000", 1_000), 5, 1, 1)
    assert one.spent(1_000, 5).output_tokens_day == 31
    assert Budgets(tmp_path, 0, 2).spent(9, 5).output_tokens_day == 70  # through a restart
    one.add(one.place("last", ROOM - 1), 5, 1, 7)
    assert two.spent(ROOM - 1, 5).output_tokens_day == 7
    assert one.place("beyond", ROOM) < 0


def test_a_file_of_an_earlier_version_keeps_what_was_spent(tmp_path: Path) -> None:
    day = 20_000 * DAY_US
    with open(tmp_path / "worker-0.budgets", "wb") as file:
        file.truncate(EARLIER_SIZES[0])
        file.seek(8 * ROW * 60_000)
        file.write(struct.pack("<7q", 0, 0, 0, 0, 0, 20_000, 41))
    for worker in (1, 0):
        assert Budgets(tmp_path, worker, 2).spent(60_000, day).output_tokens_day == 41


def test_where_the_disk_is_full_an_account_is_counted_by_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Budgets(tmp_path, 0, 1)
    known = one.place("known", 3)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert one.place("known", 3) == known
    late = one.place("late", 5_000)
    assert late < 0
    one.add(late, 5, 1, 70)
    assert one.spent(late, 5).output_tokens_day == 70
    monkeypatch.undo()
    assert one.place("late", 5_000) == late  # its spending is there


def test_retry_after_says_when_an_answer_has_come_or_when_the_day_is_over() -> None:
    limits = AccountLimits(output_tokens_per_day=1_000)
    now = 20_000 * DAY_US + DAY_US // 2
    held = used_up(limits, "generates", AccountUsage(output_tokens_day=10, tokens_held=990, settles_s=4), now)
    assert held is not None
    assert (held.status, held.retry_after_s) == (429, 4)
    spent = used_up(limits, "generates", AccountUsage(output_tokens_day=1_000, settles_s=4), now)
    assert spent is not None
    assert spent.retry_after_s == 43_200
    late = used_up(
        limits, "generates", AccountUsage(tokens_held=1_000, settles_s=60), 20_001 * DAY_US - 2_000_000
    )
    assert late is not None
    assert late.retry_after_s == 2
    assert used_up(limits, "lists", AccountUsage(output_tokens_day=5_000), now) is None
    assert used_up(limits, "generates", AccountUsage(output_tokens_day=999), now) is None
    assert tokens_left(limits, AccountUsage(output_tokens_day=400, tokens_held=600)) == 600


def test_what_an_answer_may_bring_is_what_its_api_obeys() -> None:
    def most(target: str, body: str) -> int | None:
        return read("POST", target, "application/json", "", body.encode(), 1 << 20).most

    chat = "/v1/chat/completions"
    assert most(chat, '{"max_tokens": 7}') == 7
    assert most(chat, '{"max_tokens": 700, "max_completion_tokens": 7}') == 700
    assert most(chat, '{"max_output_tokens": 7}') is None  # from another API: ignored here
    assert most(chat, '{"max_tokens": -1}') is most(chat, '{"max_tokens": "7"}') is None
    assert most("/v1/responses", '{"max_output_tokens": 7, "max_tokens": 1}') == 7
    assert most("/v1beta/models/x:generateContent", '{"generationConfig": {"maxOutputTokens": 7}}') == 7
    assert most("/api/chat", '{"options": {"num_predict": 7}, "max_tokens": 1}') == 7
    assert longest("gpt-4o", 5) == 16_384
    assert longest("nobody/knows-it", 5) == longest(None, 5) == 5


def test_a_batch_says_what_its_api_obeys() -> None:
    line = '{"custom_id": "a", "url": "/v1/chat/completions", "body": {"max_output_tokens": 1}}'
    found = uploaded_batch(line.encode())
    assert found is not None
    assert (found.said, found.unsaid) == (0, 1)
    asked = {"requests": [{"custom_id": "a", "params": {"max_tokens": 5, "max_completion_tokens": 9}}]}
    assert begun(asked).said == 9


# --- sets of models --------------------------------------------------------------------------------------

SETS = """version = 1
[limits]
output_tokens_per_day = 1_000_000
[[limits.models]]
models = ["mira-mini"]
[[limits.models]]
models = ["mira-think"]
output_tokens_per_day = 1_000
[limits.models.account."acct_2"]
output_tokens_per_day = 5_000
"""


def test_a_model_counts_with_its_set_and_a_new_one_with_the_last() -> None:
    terms = loads(SETS)
    sets = terms.limits.models
    models = Models(aliases={"team-fast": "mira-mini"})
    found = [
        set_of(sets, models, name)
        for name in ("mira-mini", "MIRA_MINI", "team-fast", "mira-think", "new", None)
    ]
    assert found == [0, 0, 0, 1, 1, 1]
    assert set_of((), models, "new") is None
    assert (sets[1].output_tokens_per_day, sets[1].accounts) == (1_000, {"acct_2": 5_000})
    assert sets[0] == ModelSet(("mira-mini",))
    wrong = check("version = 1\n[[limits.models]]\noutput_tokens_per_day = 0\n").problems
    assert len(wrong) == 2


@pytest.mark.slow
def test_a_set_is_used_up_alone() -> None:
    usage = b'{"model": "mira-think", "usage": {"completion_tokens": 1200}}'
    with watched(SETS.partition("\n")[2]) as (up, g):
        up.answer = ("application/json", usage)
        codes = []
        for model in ("mira-think", "mira-think", "new-model", "mira-mini"):
            status, said = ask(
                g, "POST", "/v1/chat/completions", {"model": model, "messages": [], "max_tokens": 9}
            )
            codes.append(status)
            if status == 429:
                assert "for these models" in said["error"]["message"]
        assert codes == [200, 429, 429, 200]


# --- rules that a log suggests ----------------------------------------------------------------------------


def test_no_account_teaches_itself_more_than_the_ceiling() -> None:
    busiest = {f"a{k}": 1_000 + k for k in range(200)} | {"squatter": 4_500_000, "busy": 1_150}
    found = Allowances.of(busiest, answer=77)
    assert found.more["squatter"] == round(CEILING * found.usual)
    assert set(found.vouch) == {"squatter"}
    terms = loads("version = 1\n" + found.terms())
    assert terms.limits.accounts["squatter"]["output_tokens_per_day"] == found.more["squatter"]
    assert terms.limits.answer_tokens == 77


def test_the_range_meters_as_the_gateway_does() -> None:
    watch = AllowanceWatch(clean_until_us=0, allowances=Allowances(10_000, {}))
    watch._longest = 4_000
    took = 0
    while not watch.refuses("a", 5):
        watch.answered("a", 5, 4_000)
        took += 1
    assert took == 3  # all at once: each reserves what it may bring
    assert watch.refuses("a", DAY_US - 1)
    assert not watch.refuses("a", DAY_US + 1)


@pytest.mark.slow
def test_answers_at_once_hold_and_then_settle() -> None:
    body: dict[str, Any] = {"model": "gpt-4o", "messages": [], "max_tokens": 400}
    with watched("[limits]\noutput_tokens_per_day = 1_000\n") as (up, g):
        up.answer = ("application/json", b'{"model": "gpt-4o", "usage": {"completion_tokens": 300}}')
        codes = [ask(g, "POST", "/v1/chat/completions", body)[0] for _ in range(5)]
        assert codes == [200, 200, 200, 200, 429]  # 900 of 1,000 are used: one more may begin
        reply = httpx.post(g.url + "/v1/chat/completions", json=body, headers=g.auth)
        assert int(reply.headers["retry-after"]) > 60 or "used up" in reply.text


@pytest.mark.slow
def test_a_stream_in_one_piece_holds_too() -> None:
    """An upstream may send thousands of tokens in one event: they are known only at its end."""
    chunk = b'data: {"model":"m","choices":[{"delta":{"content":"x"}}]}\n\n'
    last = b'data: {"model":"m","choices":[],"usage":{"completion_tokens":9000}}\n\ndata: [DONE]\n\n'
    body = {"model": "m", "messages": [], "stream": True}
    with watched("[limits]\noutput_tokens_per_day = 8_000\n") as (up, g):
        up.answer = ("text/event-stream", chunk + last)
        assert httpx.post(g.url + "/v1/chat/completions", json=body, headers=g.auth).status_code == 200
        assert httpx.post(g.url + "/v1/chat/completions", json=body, headers=g.auth).status_code == 429
