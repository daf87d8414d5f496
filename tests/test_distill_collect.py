"""Collecting from a real HTTP server: each answer is paid once, within the budget, and never lost."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases_world import fast_folder
from distill_collector import start_collector
from distill_teacher import Reply, teaching
from growth import grows_with_the_text
from stillwatch.distill import BudgetReached, DistillError, DistillRun, Sample
from stillwatch.distill.changes import find_change
from stillwatch.distill.collect import CollectionResult
from stillwatch.distill.collect.ask import answers, collect_run, estimate, reach_teacher
from stillwatch.distill.collect.gather import collect
from stillwatch.distill.collect.pace import WINDOW_S, Pace
from stillwatch.distill.collect.reply import NotAnAnswer, parse_answer, parse_reply, split_marked, usage
from stillwatch.distill.collect.run_budget import RunBudget
from stillwatch.distill.collect.stored import is_stale, write_stored
from stillwatch.distill.forecast import Amount, disk_warning, forecast
from stillwatch.distill.ledger import AttemptOutcome, RunCost, RunLedger, read_only
from stillwatch.distill.plan import Budget, DistillPlan, read_plan
from stillwatch.distill.prepare import prepare
from stillwatch.distill.prices import Price
from stillwatch.distill.rows import read_json, read_prompts, read_samples
from stillwatch.toml.reading import Mistakes, TableReader

FAST = {"longest_wait_s": 0.2, "timeout_s": 20.0}


def run_of(folder: Path, url: str, n: int = 12, **sections: dict[str, Any]) -> tuple[DistillRun, DistillPlan]:
    """Prepare a run with n short sums as prompts."""
    file = folder / "prompts.jsonl"
    rows = ({"id": f"q{i}", "prompt": f"{i} + 1 ?", "task": "maths", "expected": i + 1} for i in range(n))
    folder.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table: dict[str, Any] = {
        "folder": str(folder / "run"),
        "teacher": {"base_url": url, "model": "acme"},
        "prompts": {"file": str(file)},
        "collect": FAST | {"max_tokens": 50, "concurrency": 4} | sections.pop("collect", {}),
        "budget": {"requests": 10_000},
    }
    plan = read_plan(TableReader(table | sections, (), Mistakes("test", None)))
    return prepare(plan, "tester", 1).run, plan


def collected(run: DistillRun, plan: DistillPlan) -> CollectionResult:
    return collect_run(run, plan, lambda progress: None, lambda words: None)


def stored(run: DistillRun) -> list[Sample]:
    return list(read_samples(run.collected_file))


def test_every_sample_is_asked_once_and_stored(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply(content=f"said {body['messages'][0]['content']}")) as (url, seen):
        run, plan = run_of(tmp_path, url, 5, collect=FAST | {"samples": 3, "seed": 7})
        first, again = collected(run, plan), collected(run, plan)
    assert (first.answers, first.new, again.new) == (15, 15, 0)
    assert set(seen.answered.values()) == {1}
    assert len(seen.bodies) == len(seen.answered) == 15
    assert Counter(body["seed"] for body in seen.bodies) == {7: 5, 8: 5, 9: 5}
    assert [(one.id, one.sample) for one in stored(run)] == [(f"q{i}", k) for i in range(5) for k in range(3)]
    spent = read_json(run.spent)
    assert (spent["requests"], spent["input_tokens"], spent["output_tokens"]) == (15, 150, 75)
    assert spent["usd"] is None


@pytest.mark.slow
def test_another_address_or_name_of_the_limit_asks_nothing_anew(tmp_path: Path) -> None:
    with teaching() as (url, _):
        run, plan = run_of(tmp_path, url)
        collected(run, plan)
    with teaching() as (url, seen):
        moved = replace(
            plan,
            teacher=replace(plan.teacher, base_url=url),
            collect=replace(plan.collect, max_tokens_field="max_completion_tokens", concurrency=1),
        )
        assert collected(run, moved).answers == 12
        assert not seen.bodies
        hotter = replace(moved, collect=replace(moved.collect, temperature=1.0))
        collected(run, hotter)
        assert len(seen.bodies) == 12
        assert seen.bodies[0]["max_completion_tokens"] == 50
        assert "max_tokens" not in seen.bodies[0]


# --- kill -9 ---------------------------------------------------------------------------------------------


def killed(run: DistillRun, is_at_work: Callable[[], bool], after_s: float) -> bool:
    """Start a collector and kill it this long after its start; return whether it had already ended."""
    process = start_collector(run.path)
    while not is_at_work() and process.is_alive():
        time.sleep(0.005)
    process.join(after_s)
    ended = not process.is_alive()
    process.kill()
    process.join()
    process.close()
    return ended


def rows(run: DistillRun, sql: str) -> list[Any]:
    db = read_only(run.ledger)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def kill_again_and_again(kills: int, prompts: int, seed: int) -> None:
    draw = random.Random(seed)
    concurrency = 4

    def behave(number: int, body: dict[str, Any]) -> Reply:
        if draw.random() < 0.1:
            return Reply(status=429, headers={"retry-after": "0.05"}, body=b"{}")
        return Reply(delay_s=draw.random() * 0.1)

    with fast_folder() as folder, teaching(behave) as (url, seen):
        run, plan = run_of(
            folder, url, prompts, collect=FAST | {"max_tokens": 50, "concurrency": concurrency}
        )
        done = 0
        while done < kills:
            before = len(seen.keys)
            kept = {key for (key,) in rows(run, "SELECT key FROM answer")} if run.ledger.exists() else set()
            ended = killed(run, lambda before=before: len(seen.keys) > before, draw.random() * 1.5)
            assert not kept & set(seen.keys[before:]), "what was stored was asked again"
            doubt = rows(run, "SELECT count(*) FROM attempt WHERE state = 'sent'")[0][0]
            assert doubt <= concurrency
            if ended:
                break
            done += 1
        assert done >= kills, f"the collector ended after {done} kills: ask for more prompts"
        time.sleep(0.3)  # requests in progress at the server
        got = collected(run, plan)
        assert got.answers == prompts
        assert {one.id for one in stored(run)} == {f"q{i}" for i in range(prompts)}
        unseen = {key for (key,) in rows(run, "SELECT key FROM attempt WHERE state = 'in_doubt'")}
        twice = {key for key, count in seen.answered.items() if count > 1}
        assert twice <= unseen, "answered twice, though its end had been seen"
        assert sum(seen.answered.values()) - len(seen.answered) <= kills * concurrency
        spent = read_json(run.spent)
        accounted = spent["input_tokens"] + spent["output_tokens"] + spent["in_doubt"]["tokens"]
        assert seen.tokens <= accounted, "the server billed more than the ledger knows"
        assert len(seen.bodies) <= spent["requests"]
    print(
        f"{kills} kills, {prompts} samples: {len(seen.bodies)} requests reached the server, "
        f"{sum(seen.answered.values())} answered, {len(twice)} of them twice, in doubt "
        f"{spent['in_doubt']['requests']}"
    )


@pytest.mark.slow
def test_a_killed_collector_pays_for_nothing_twice() -> None:
    kill_again_and_again(1, 150, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_a_collector_killed_25_times(seed: int) -> None:
    kill_again_and_again(25, 1500, seed)


COLLECTOR = """
import sys
from stillwatch.distill import DistillRun
from stillwatch.distill.collect.ask import collect_run
from stillwatch.distill.plan import load
from pathlib import Path
folder = Path(sys.argv[1])
print("ready", flush=True)
got = collect_run(DistillRun(folder), load(folder, {}), lambda progress: None, lambda words: None)
print(got.answers, got.stopped)
"""


@pytest.mark.slow
def test_a_signal_lets_what_is_under_way_come_in(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply(delay_s=0.3)) as (url, seen):
        run, _ = run_of(tmp_path, url, 200)
        process = subprocess.Popen(
            [sys.executable, "-c", COLLECTOR, str(run.path)], stdout=subprocess.PIPE, text=True
        )
        while len(seen.bodies) < 5 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert said.split()[-1] == "interrupted"
    assert len(stored(run)) == sum(seen.answered.values()) == len(seen.bodies)
    assert rows(run, "SELECT count(*) FROM attempt WHERE state <> 'stored'") == [(0,)]


def test_two_collectors_of_one_run_are_one_too_many(tmp_path: Path) -> None:
    with teaching() as (url, _):
        run, plan = run_of(tmp_path, url)
        before = run.plan.read_text()
        with RunLedger(run.ledger):
            with pytest.raises(DistillError, match=f"by process {os.getpid()}"):
                collected(run, plan)
            with pytest.raises(DistillError, match=f"by process {os.getpid()}"):
                prepare(replace(plan, budget=Budget(requests=1)), "another", 2)
    assert run.plan.read_text() == before


# --- budget ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "budget", [{"requests": 7}, {"tokens": 900}, {"usd": 0.0009}], ids=lambda b: next(iter(b))
)
def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path: Path, budget: dict[str, Any]) -> None:
    def behave(number: int, body: dict[str, Any]) -> Reply:
        if number % 5 == 4:
            return Reply(status=500, body=b"{}")
        out = body["max_tokens"] if number % 3 == 0 else 5
        return Reply(usage={"prompt_tokens": 40, "completion_tokens": out}, delay_s=0.01)

    prices = {"input": 1.0, "output": 1.0}
    with teaching(behave) as (url, seen):
        run, plan = run_of(tmp_path, url, 60, prices=prices, budget=budget, collect={"tries": 50})
        got = collected(run, plan)
        assert got.by_budget
        assert "budget is reached" in got.stopped
        spent = read_json(run.spent)
        assert 0 < got.answers < 60
        assert len(seen.bodies) == spent["requests"] <= budget.get("requests", 10**9)
        assert seen.tokens <= budget.get("tokens", 10**9)
        assert seen.tokens * 1e-6 <= budget.get("usd", 10**9)
        more = replace(plan, budget=Budget(requests=10_000))
        assert collected(run, more).answers == 60
    assert set(seen.answered.values()) == {1}


def test_a_budget_that_fits_no_request_is_refused_before_any_is_sent(tmp_path: Path) -> None:
    with teaching() as (url, seen):
        run, plan = run_of(tmp_path, url, budget={"tokens": 60})
        with pytest.raises(DistillError, match=r"too small for a single request.*max_tokens"):
            collected(run, plan)
        run, plan = run_of(tmp_path, url, budget={"usd": 1.0})
        with pytest.raises(DistillError, match=r"nothing is known of the price of acme.*\[prices\]"):
            collected(run, plan)
    assert not seen.bodies


def test_a_teacher_that_bills_beyond_the_limit_is_set_aside_for(tmp_path: Path) -> None:
    liar = Reply(usage={"prompt_tokens": 500, "completion_tokens": 500})
    with teaching(lambda n, body: liar) as (url, seen):
        run, plan = run_of(tmp_path, url, 60, budget={"tokens": 10_000})
        assert collected(run, plan).by_budget
    assert 8_000 <= seen.tokens <= 10_000


@pytest.mark.parametrize("told", [2**31 - 1, 2**63, 10**40, -5, 1e9, "many", None, True])
def test_whatever_a_teacher_says_it_used_can_be_stored(tmp_path: Path, told: Any) -> None:
    liar = Reply(usage={"prompt_tokens": told, "completion_tokens": told})
    with teaching(lambda n, body: liar if n == 3 else Reply()) as (url, _):
        run, plan = run_of(tmp_path, url, 6, prices={"input": 1e6, "output": 1e6})
        assert collected(run, plan).answers == 6
    assert read_json(run.spent)["input_tokens"] > 50


def test_doubt_counts_as_spent() -> None:
    budget = RunBudget(Budget(tokens=1000), Price(1, 2, 1, ""), RunCost(doubtful_tokens=800), 0)
    assert budget.lacks(budget.wants(100, 101)) is not None
    fits = budget.wants(100, 100)
    assert budget.lacks(fits) is None
    assert fits.pusd == 300
    budget.set_aside(fits)
    assert budget.lacks(budget.wants(1, 0)) is not None
    budget.settle(fits, 50, 60)
    assert (budget.tokens, budget.pusd) == (850, 60)


# --- a teacher in trouble --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_429_storm_is_waited_out(tmp_path: Path) -> None:
    began = time.monotonic()

    def behave(number: int, body: dict[str, Any]) -> Reply:
        if time.monotonic() < began + 1.0:
            return Reply(status=429, headers={"retry-after": "0.4"}, body=b'{"error": {"message": "slow"}}')
        return Reply()

    with teaching(behave) as (url, seen):
        run, plan = run_of(tmp_path, url, 30)
        began = time.monotonic()
        got = collected(run, plan)
    assert got.answers == 30
    assert got.failed == 0
    assert len(seen.bodies) - 30 <= 8, "it asked again and again during the storm"


@pytest.mark.slow
def test_a_storm_without_end_stops_with_what_was_said(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply(status=429, body=b'{"error": {"message": "too many"}}')) as (
        url,
        _,
    ):
        run, plan = run_of(tmp_path, url, collect=FAST | {"patience_s": 0.5})
        got = collected(run, plan)
    assert "answered nothing for" in got.stopped
    assert "HTTP 429: too many" in got.stopped
    assert got.failed == 0, "a storm is no sample's fault"


@pytest.mark.slow
def test_a_teacher_that_says_at_once_is_not_asked_at_once(tmp_path: Path) -> None:
    storm = Reply(status=429, headers={"retry-after": "0"}, body=b"{}")
    with teaching(lambda n, body: storm) as (url, seen):
        run, plan = run_of(tmp_path, url, collect={"patience_s": 2.0, "longest_wait_s": 5.0})
        collected(run, plan)
    assert len(seen.bodies) < 10


def test_a_wait_beyond_patience_is_not_waited(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply(status=429, headers={"retry-after": "86400"}, body=b"{}")) as (
        url,
        seen,
    ):
        run, plan = run_of(tmp_path, url)
        got = collected(run, plan)
    assert "asks to wait 86400 s" in got.stopped
    assert len(seen.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=401, body=b'{"error": {"message": "bad key"}}'), "OPENAI_API_KEY is not accepted"),
        (Reply(status=402, body=b'{"error": {"message": "Insufficient Balance"}}'), "Insufficient Balance"),
        (Reply(status=404, body=b'{"error": {"message": "no model"}}'), "is there a teacher of that name"),
        (Reply(status=429, body=b'{"error": {"code": "insufficient_quota", "message": "m"}}'), "quota"),
        (Reply(status=400, body=b'{"error": {"message": "no temperature"}}'), "no temperature"),
    ],
    ids=["key", "balance", "model", "quota", "request"],
)
def test_a_teacher_that_will_never_answer_stops_it_at_once(tmp_path: Path, reply: Reply, words: str) -> None:
    with teaching(lambda n, body: reply) as (url, seen):
        run, plan = run_of(tmp_path, url)
        assert words in collected(run, plan).stopped
    assert len(seen.bodies) <= 3


@pytest.mark.slow
def test_nobody_there(tmp_path: Path) -> None:
    run, plan = run_of(tmp_path, "http://127.0.0.1:9/v1")
    got = collected(run, plan)
    assert "cannot be reached" in got.stopped
    assert read_json(run.spent)["in_doubt"]["requests"] == 0
    run, plan = run_of(tmp_path, "nonsense")
    assert "nonsense" in collected(run, plan).stopped


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad",
    [
        Reply(body=b'{"choices": ['),
        Reply(body=b"<html>hello</html>", headers={"content-type": "text/html"}),
        Reply(body=b'{"choices": []}'),
        Reply(body=b'{"choices": [{"message": null}]}'),
        Reply(body=b"[" * 100_000),
        Reply(body=b"\xff\xfe\x00"),
        Reply(cut=True),
        Reply(status=502, body=b"bad gateway"),
    ],
    ids=["cut json", "html", "no choices", "no message", "deep", "no text", "cut", "502"],
)
def test_what_cannot_be_read_is_asked_again_and_counts_as_spent(tmp_path: Path, bad: Reply) -> None:
    with teaching(lambda n, body: bad if n % 3 == 1 else Reply()) as (url, seen):
        run, plan = run_of(tmp_path, url, 6)
        got = collected(run, plan)
    assert got.answers == 6
    spent = read_json(run.spent)
    assert spent["in_doubt"]["requests"] == len(seen.bodies) - 6 > 0
    assert spent["in_doubt"]["tokens"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, 6])
@pytest.mark.parametrize("body", [b"<html>pay here</html>", b'{"ok": true}', b'{"choices": []}'])
def test_what_is_no_completion_is_not_paid_for_again_and_again(
    tmp_path: Path, good: int, body: bytes
) -> None:
    with teaching(lambda n, asked: Reply() if n < good else Reply(body=body)) as (url, seen):
        run, plan = run_of(tmp_path, url, 40)
        assert "in a row were no chat completion" in collected(run, plan).stopped
    assert len(seen.bodies) - good <= 5 + 4, "five, and what was under way"
    assert len(stored(run)) == good


@pytest.mark.slow
def test_a_sample_that_never_comes_is_given_up_and_the_rest_is_kept(tmp_path: Path) -> None:
    def behave(number: int, body: dict[str, Any]) -> Reply:
        asked = body["messages"][0]["content"]
        if asked.startswith("3 "):
            return Reply(status=500, body=b'{"error": {"message": "broken"}}')
        if asked.startswith("4 "):
            return Reply(status=400, body=b'{"error": {"code": "content_filter", "message": "no"}}')
        return Reply()

    with teaching(behave) as (url, seen):
        run, plan = run_of(tmp_path, url, collect=FAST | {"tries": 2})
        got = collected(run, plan)
        assert (got.answers, got.failed, got.stopped) == (10, 2, "")
        assert {words for _, words in got.failures} == {"HTTP 500: broken", "HTTP 400: content_filter no"}
        before = len(seen.bodies)
        collected(run, plan)
    assert len(seen.bodies) - before == 2, "what was refused for good is not asked again, what failed is"


@pytest.mark.slow
def test_a_slow_answer_is_given_up_and_asked_again(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply(delay_s=30.0 if n == 2 else 0)) as (url, _):
        run, plan = run_of(tmp_path, url, 6, collect=FAST | {"timeout_s": 3.0})
        got = collected(run, plan)
    assert got.answers == 6
    assert read_json(run.spent)["in_doubt"]["requests"] == 1


@pytest.mark.slow
def test_a_full_disk_stops_it_and_what_came_stays(tmp_path: Path) -> None:
    """SQLite reaches its own limit of pages, which it reports as a full disk."""
    with teaching(lambda n, body: Reply(content=os.urandom(4000).hex())) as (url, seen):
        run, plan = run_of(tmp_path, url, 100)
        with RunLedger(run.ledger) as ledger:
            ledger._db.execute("PRAGMA max_page_count = 40")
            prompts = list(read_prompts(run.prompts))
            got = collect(
                plan,
                prompts,
                ledger,
                lambda: reach_teacher(plan.teacher, lambda words: None),
                lambda progress: None,
            )
        assert "full" in got.stopped
        had = got.answers
        assert 0 < had < 100
        assert sum(seen.answered.values()) - had <= plan.collect.concurrency
        before = len(seen.bodies)
        assert collected(run, plan).answers == 100
        assert len(seen.bodies) - before == 100 - had


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_while_answers_come(small_disk: Path) -> None:
    """The ballast file makes room for answers in progress: not one is lost."""
    with teaching(lambda n, body: Reply(content=os.urandom(40_000).hex())) as (url, seen):
        run, plan = run_of(small_disk, url, 120)
        for _ in range(2):
            with pytest.raises(DistillError, match=r"No space left.*every answer is in ledger\.db"):
                collected(run, plan)
            had = len(seen.bodies)
            assert 10 < had < 120
            assert rows(run, "SELECT count(*) FROM answer") == [(had,)]
            assert rows(run, "SELECT count(*) FROM attempt WHERE state <> 'stored'") == [(0,)]
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
        assert collected(run, plan).answers == 120
    assert set(seen.answered.values()) == {1}


# --- pace ------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pace(clock: Callable[[], float], **limits: int) -> Pace:
    import asyncio

    return Pace(
        limits.get("requests", 0),
        limits.get("tokens", 0),
        limits.get("at_once", 100),
        60.0,
        clock,
        random.Random(1),
        asyncio.Event(),
    )


@pytest.mark.parametrize(("limits", "each", "most"), [({"requests": 10}, 1, 10), ({"tokens": 1000}, 90, 11)])
def test_no_minute_has_more_than_the_limit(limits: dict[str, int], each: int, most: int) -> None:
    import asyncio

    clock = Clock()
    one = pace(clock, **limits)
    draw = random.Random(3)
    went: list[float] = []

    async def go() -> None:
        while len(went) < 100:
            if one._wait_s(each) <= 0:
                await one.turn(each)
                one.back()
                went.append(clock.now)
            clock.now += draw.random()

    asyncio.run(go())
    assert max(sum(start <= at < start + 60 for at in went) for start in went) == most


def test_the_minute_before_a_restart_counts() -> None:
    clock = Clock()
    one = pace(clock, requests=3)
    one.went_before([(clock.now - 30, 5), (clock.now - 20, 5), (clock.now - 10, 5)])
    assert 30 < one._wait_s(1) < WINDOW_S - 29


def test_pauses_grow_and_fewer_go_at_once_until_an_answer_comes() -> None:
    clock = Clock()
    one = pace(clock, at_once=8)
    waits = []
    for _ in range(4):
        waits.append(one.pause(None))
        clock.now += 100
    assert waits[0] < 1.0 < waits[3] <= 8.0
    assert one._allowed == 1.0
    one.count_answer()
    assert one._allowed == 2.0
    assert one.pause(7.0) >= 7.0


@pytest.mark.slow
def test_a_real_teacher_sees_no_minute_with_more(tmp_path: Path) -> None:
    with teaching() as (url, seen):
        run, plan = run_of(
            tmp_path, url, 8, collect=FAST | {"requests_per_minute": 5}, budget={"requests": 3}
        )
        assert collected(run, plan).answers == 3
        assert collected(run, replace(plan, budget=Budget(requests=99))).answers == 8
    times = sorted(seen.times)
    assert max(sum(start <= at < start + 60 for at in times) for start in times) == 5


# --- the content of a reply ------------------------------------------------------------------------------


def reply(**message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {"model": "m", "choices": [choice]}


@pytest.mark.parametrize(
    ("message", "reasoning", "answer"),
    [
        ({"content": "4"}, None, "4"),
        ({"content": "4", "reasoning_content": "2+2"}, "2+2", "4"),
        ({"content": "4", "reasoning": "2+2"}, "2+2", "4"),
        ({"content": "<think>\n2+2\n</think>\n\n4"}, "2+2", "4"),
        ({"content": "2+2\n</think>\n\n4"}, "2+2", "4"),
        ({"content": "<think>2+2 and on and"}, "2+2 and on and", ""),
        ({"content": "<think></think>4"}, None, "4"),
        ({"content": "[THINK]2+2[/THINK]4"}, "2+2", "4"),
        ({"content": None, "reasoning_content": "2+2"}, "2+2", ""),
        ({"content": None, "refusal": "no"}, None, ""),
        ({"content": "a <think> in the middle"}, None, "a <think> in the middle"),
        (
            {"content": [{"type": "thinking", "thinking": [{"text": "2+2"}]}, {"type": "text", "text": "4"}]},
            "2+2",
            "4",
        ),
        ({"content": 7, "reasoning_content": 8}, None, ""),
    ],
)
def test_reasoning_and_answer_come_apart(message: dict[str, Any], reasoning: str | None, answer: str) -> None:
    one = parse_answer(reply(**message))
    assert (one.reasoning, one.answer) == (reasoning, answer)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["<think>", "<think></think>", "<think> "])
def test_marks_without_end_are_split_in_time_like_their_length(unit: str) -> None:
    assert grows_with_the_text(split_marked, unit, 20_000)


keys = st.sampled_from(
    [
        *("content", "reasoning_content", "reasoning", "refusal", "type", "text", "thinking", "token"),
        *("logprob", "top_logprobs", "prompt_tokens", "completion_tokens", "cached_tokens"),
        *("prompt_tokens_details", "completion_tokens_details", "reasoning_tokens"),
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(keys, json_values), json_values, json_values, json_values, json_values)
def test_any_reply_is_read_or_refused(
    message: Any, finish: Any, used: Any, model: Any, logprobs: Any
) -> None:
    choice = {"message": message, "finish_reason": finish, "logprobs": {"content": logprobs}}
    raw = json.dumps({"choices": [choice], "usage": used, "model": model}).encode()
    one = parse_answer(parse_reply(raw))
    assert isinstance(one.answer, str)
    assert usage(parse_reply(raw), 9).input_tokens >= 0
    json.dumps([one.reasoning, one.logprobs, one.model, one.finish_reason])


@pytest.mark.slow
@given(json_values)
def test_any_json_is_a_reply_or_none(value: Any) -> None:
    for content in (value, {"choices": value}, {"choices": [value]}, {"choices": [{"message": value}]}):
        try:
            found = parse_reply(json.dumps(content).encode())
        except NotAnAnswer:
            continue
        parse_answer(found)


def test_usage_in_every_shape() -> None:
    one = reply(content="four", reasoning_content="2+2")
    assert usage(one, 30) == usage(one | {"usage": {"prompt_tokens": "3"}}, 30)
    assert (usage(one, 30).input_tokens, usage(one, 30).output_tokens, usage(one, 30).told) == (30, 7, False)
    told = usage(
        one
        | {
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3},
            }
        },
        30,
    )
    assert (told.input_tokens, told.output_tokens, told.cached_tokens, told.reasoning_tokens) == (9, 4, 8, 3)
    with pytest.raises(NotAnAnswer):
        parse_reply(b"null")


def test_a_teacher_without_logprobs_is_asked_without(tmp_path: Path) -> None:
    no = Reply(status=400, body=b'{"error": {"message": "This model does not support logprobs"}}')
    with teaching(lambda n, body: no if "logprobs" in body else Reply()) as (url, seen):
        run, plan = run_of(tmp_path, url, 6, collect=FAST | {"logprobs": 5})
        got = collected(run, plan)
    assert (got.answers, got.failed, len(seen.bodies)) == (6, 0, 7)
    assert stored(run)[0].logprobs is None


def test_secrets_come_from_variables_and_lie_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden-1")
    monkeypatch.setenv("OTHER_KEY", "hidden-2")
    with teaching() as (url, _):
        teacher = {"base_url": url, "model": "acme", "headers": {"x-other": "$OTHER_KEY"}}
        run, plan = run_of(tmp_path, url, 2, teacher=teacher)
        assert collected(run, plan).answers == 2
        for file in run.path.iterdir():
            assert b"hidden-" not in file.read_bytes(), file
        longer = replace(plan, collect=replace(plan.collect, max_tokens=60))
        monkeypatch.delenv("OTHER_KEY")
        with pytest.raises(DistillError, match="the variable OTHER_KEY is not set"):
            collected(run, longer)
        monkeypatch.setenv("OTHER_KEY", "x\ny")
        assert "cannot be sent" in collected(run, longer).stopped


def test_files_are_had_from_the_ledger_after_a_kill(tmp_path: Path) -> None:
    with teaching() as (url, _):
        run, plan = run_of(tmp_path, url, 4)
        collected(run, plan)
        whole = run.collected_file.read_bytes()
        run.collected_file.write_bytes(b"")
        run.spent.unlink()
        assert is_stale(run)
        write_stored(run, plan)
        assert run.collected_file.read_bytes() == whole
        assert not is_stale(run)


def test_reasoning_logprobs_and_what_is_sent(tmp_path: Path) -> None:
    token = {"token": "4", "logprob": -0.1, "top_logprobs": [{"token": "5", "logprob": -2.0}]}
    answer = Reply(
        content="4",
        message={"reasoning_content": "2+2"},
        extra={"logprobs": {"content": [token]}},
    )
    extra = {"chat_template_kwargs": {"enable_thinking": True}}
    with teaching(lambda n, body: answer) as (url, seen):
        run, plan = run_of(
            tmp_path,
            url,
            1,
            collect=FAST | {"logprobs": 1, "extra": extra, "reasoning_effort": "low", "stop": ["X"]},
        )
        collected(run, plan)
        (one,) = stored(run)
        without = replace(plan, collect=replace(plan.collect, reasoning=False))
        collected(run, without)
        assert len(seen.bodies) == 1
    assert (one.reasoning, one.answer, one.logprobs) == ("2+2", "4", [["4", -0.1, [["5", -2.0]]]])
    assert one.params["chat_template_kwargs"] == {"enable_thinking": True}
    sent = seen.bodies[0]
    assert (sent["logprobs"], sent["top_logprobs"], sent["reasoning_effort"]) == (True, 1, "low")
    assert stored(run)[0].reasoning is None


def test_text_of_any_sort_comes_back_as_it_was(tmp_path: Path) -> None:
    nasty = "\x00\x1b[2J\u202e<script>\ud800 \U0001f600" + "x" * 1_000_000
    with teaching(lambda n, body: Reply(content=nasty)) as (url, _):
        run, plan = run_of(tmp_path, url, 1)
        collected(run, plan)
    assert stored(run)[0].answer == nasty


# --- evaluation, estimate, ledger ------------------------------------------------------------------------


def test_held_out_prompts_are_asked_once_and_counted_apart(tmp_path: Path) -> None:
    with teaching() as (url, seen):
        run, plan = run_of(tmp_path, url, 3)
        collected(run, plan)
        heldout = [replace(one, id=f"h{one.id}") for one in read_prompts(run.prompts)]
        assert [one.id for one in answers(run.path, heldout)] == ["hq0", "hq1", "hq2"]
        answers(run.path, heldout)
    assert len(seen.bodies) == 6
    assert seen.bodies[-1]["temperature"] == 0.0
    spent = read_json(run.spent)
    assert (spent["answers"], spent["evaluation"]["answers"]) == (3, 3)


def test_evaluation_stays_within_the_run_s_budget(tmp_path: Path) -> None:
    with teaching() as (url, seen):
        run, plan = run_of(tmp_path, url, 4, budget={"requests": 6})
        collected(run, plan)
        with pytest.raises(BudgetReached, match=r"asked 2 of 4 held-out prompts: the budget is reached"):
            answers(run.path, list(read_prompts(run.prompts)))
    assert len(seen.bodies) == 6


def test_an_estimate_bounds_what_is_spent(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply(usage={"prompt_tokens": 12, "completion_tokens": 50})) as (url, seen):
        run, plan = run_of(tmp_path, url, 10, prices={"input": 1.0, "output": 2.0})
        most = estimate(plan, list(read_prompts(run.prompts)))
        collected(run, plan)
    spent = read_json(run.spent)
    assert most["requests"] == 10
    assert seen.tokens <= most["most_tokens"]
    assert 0 < spent["usd"] <= most["most_usd"]
    assert spent["usd"] == pytest.approx(10 * (12 * 1e-6 + 50 * 2e-6))


@pytest.mark.slow
def test_a_forecast_from_a_few_answers_holds_for_the_rest(tmp_path: Path) -> None:
    """Prompts in order of difficulty: the first requests are still a random sample."""

    def behave(number: int, body: dict[str, Any]) -> Reply:
        out = 1 + int(body["messages"][0]["content"].split()[0]) // 10
        return Reply(usage={"prompt_tokens": 12, "completion_tokens": out}, content="so " * out)

    with teaching(behave) as (url, _):
        run, plan = run_of(tmp_path, url, 400, prices={"input": 1.0, "output": 2.0})
        prompts = list(read_prompts(run.prompts))

        def amounts() -> dict[tuple[str, str], Amount]:
            return {(one.what, one.unit): one for one in forecast(plan, prompts, None, probe=False)}

        blind = amounts()
        collected(run, replace(plan, budget=Budget(requests=40)))
        told, before = amounts(), read_json(run.spent)
        collected(run, plan)
        nothing = amounts()
    after = read_json(run.spent)
    for what, unit, key in (
        ("tokens in answers", "tokens", "output_tokens"),
        ("the teacher's bill", "US dollars", "usd"),
    ):
        came, one, bound = after[key] - before[key], told[what, unit], blind[what, unit]
        assert one.low is not None
        assert one.high is not None
        assert one.low <= came <= one.high
        assert bound.low is not None
        assert bound.high is not None
        assert bound.low <= after[key] <= bound.high
        assert one.high - one.low < (bound.high - bound.low) / 2, "what was measured says more than bounds"
        assert nothing[what, unit].high == 0
    assert blind["collecting", "seconds"].high is None
    assert "ask a few first" in blind["collecting", "seconds"].rests_on
    assert told["collecting", "seconds"].high


def test_a_forecast_from_another_run_and_of_a_disk_that_is_too_small(tmp_path: Path) -> None:
    with teaching(lambda n, body: Reply()) as (url, _):
        run, plan = run_of(tmp_path / "one", url, 12)
        collected(run, plan)
        other, fresh = run_of(tmp_path / "two", url, 24)
        told = forecast(fresh, list(read_prompts(other.prompts)), run, probe=False)
    answers_ = next(one for one in told if one.what == "tokens in answers")
    assert (answers_.low, answers_.high) == (120, 120), "24 answers of 5 tokens, as in the other run"
    assert disk_warning(told, tmp_path) is None
    huge = Amount.between("students on disk", "bytes", (0, 1e18), "")
    assert "1,000,000,000.0 GB may be written" in str(disk_warning([*told, huge], tmp_path / "not yet"))


def test_a_ledger_survives_a_writer_that_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with RunLedger(file) as ledger:
        for number in range(3):
            attempt, written = ledger.sent(f"k{number}", "train", 10, 10, 5, 1)
            written.result()
            if number < 2:
                ledger.record_end(
                    f"k{number}", attempt, AttemptOutcome("stored", 4, 3, 2, reply=b"{}")
                ).result()
    with RunLedger(file) as ledger:
        assert ledger.left_in_doubt == 1
        assert ledger.answered_keys() == {"k0", "k1"}
        assert ledger.doubtful() == {"k2"}
        spent = ledger.spent()
    assert (spent.requests, spent.tokens, spent.all_pusd) == (3, 14 + 10, 4 + 5)


def test_a_ledger_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("this is no database, it is longer than a header of one though" * 20)
    with pytest.raises(DistillError, match="cannot be opened"):
        RunLedger(file)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(file).execute("SELECT 1 FROM x").fetchall()


def test_a_ledger_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with RunLedger(file):
        pass
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(DistillError, match=r"a newer stillwatch wrote it.*what is stored stays"):
        RunLedger(file)


# --- a teacher that is not the named one -----------------------------------------------------------------


def reply_of(model: str, content: str = "8", out: int = 5) -> Reply:
    usage = {"prompt_tokens": 10, "completion_tokens": out, "total_tokens": 10 + out}
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Reply(body=json.dumps({"model": model, "choices": [choice], "usage": usage}).encode())


def warnings(run: DistillRun) -> str:
    return "\n".join(read_json(run.spent)["teacher"]["warnings"])


@pytest.mark.slow
def test_another_model_stops_it_also_after_a_restart_unless_any_will_do(tmp_path: Path) -> None:
    with teaching(lambda n, body: reply_of("acme-2026" if n < 9 else "acme-mini")) as (url, seen):
        run, plan = run_of(tmp_path, url, 40)
        assert "acme-mini answers" in collected(run, plan).stopped
        assert len(seen.bodies) <= 9 + 4, "the first, and what was under way"
        before = len(seen.bodies)
        assert "acme-2026 did before" in collected(run, plan).stopped
        assert len(seen.bodies) == before + 1
        whatever = replace(plan, collect=replace(plan.collect, models="any"))
        assert collected(run, whatever).stopped == ""
    assert "31 of 40 answers are by acme-mini, not by acme-2026" in warnings(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "out", "words"),
    [
        ("8", 5, ""),
        ("八" * 10, 30, ""),
        ("<think>2 + 6</think>8", 14, ""),
        ("8", 500, "billed beyond max_tokens (50), the worst with 500"),
        ("8", 45, "billed more tokens than they have bytes"),
        ("", 5, "are empty"),
    ],
)
def test_a_bill_is_held_against_what_was_asked_and_what_came(
    tmp_path: Path, content: str, out: int, words: str
) -> None:
    with teaching(lambda n, body: reply_of("acme", content, out)) as (url, _):
        run, plan = run_of(tmp_path, url, 12)
        collected(run, plan)
    assert (words in warnings(run)) if words else warnings(run) == ""


@pytest.mark.slow
def test_reasoning_that_is_billed_and_not_shown_is_named(tmp_path: Path) -> None:
    """A bill cannot be compared with bytes that never arrived: that is reported, and nothing is invented."""
    hidden = {
        "prompt_tokens": 10,
        "completion_tokens": 48,
        "completion_tokens_details": {"reasoning_tokens": 45},
    }
    with teaching(lambda n, body: Reply(usage=hidden)) as (url, _):
        run, plan = run_of(tmp_path, url, 12)
        collected(run, plan)
    assert "540 of 576 billed output tokens are reasoning that was not shown" in warnings(run)
    assert read_json(run.spent)["teacher"]["hidden_reasoning_tokens"] == 540


@pytest.mark.slow
@pytest.mark.parametrize("turns", [False, True])
def test_a_teacher_that_changes_under_one_name_is_named(tmp_path: Path, turns: bool) -> None:
    """Prompts in order of difficulty give long answers last; only the teacher's own change is reported."""

    def behave(number: int, body: dict[str, Any]) -> Reply:
        hard = int(body["messages"][0]["content"].split()[0])
        words = "so " * (5 + hard % 7 + hard // 4)
        return reply_of("acme", words[: len(words) // 2] if turns and number >= 70 else words, 20)

    with teaching(behave) as (url, _):
        run, plan = run_of(tmp_path, url, 120)
        collected(run, plan)
    assert ("the teacher changed" in warnings(run)) is turns


@pytest.mark.slow
def test_chance_alone_is_seldom_called_a_change() -> None:
    draw = np.random.default_rng(7)
    assert sum(find_change("x", draw.normal(size=60)) is not None for _ in range(100)) <= 5
    jump = np.concatenate([draw.normal(size=200), draw.normal(1.0, size=100)])
    assert (found := find_change("x", jump, logarithms=False)) is not None
    assert 185 <= found.after <= 215
