"""Randomised holds behind a real gateway: a queue is detected within days, and people are not. Nobody is held
for longer, more often or for other reasons than the policy and the candidates state."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from gateway_world import Running, gateway, until
from holds_world import jobs
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE
from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.control.case_sync import trail_entry
from stillwatch.gateway.control.enforce import Enforcer
from stillwatch.gateway.control.holds import all_held, end, follow, schedules_in
from stillwatch.gateway.control.migrations import MIGRATIONS
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.folder import Folder, derive, open_folder
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import HANDOVER, handover_json
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.report.findings import to_text, write, write_atomically
from stillwatch.scan import Campaign, Harvest, Lead, ScanResult, ScanTotals
from stillwatch.scan.failover import failover_evidence
from stillwatch.scan.holds import holds_evidence
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.terms.holds import HoldCandidate, HoldSchedule
from stillwatch.terms.load import loads
from stillwatch.units import DAY_US, HOUR_US
from upstream import Upstream

ON = 'version = 1\n[holds]\nmode = "on"\n'
SECOND_US = 1_000_000
NOW = 20_783 * DAY_US  # 2026-11-26


def names(prefix: str, many: int = 16) -> tuple[str, ...]:
    return tuple(f"{prefix}-{k:02}" for k in range(many))


class World:
    """A gateway whose clock the test sets, and clients with keys of their own."""

    def __init__(self, g: Running, accounts: tuple[str, ...], path: Path, start_us: int) -> None:
        self.g, self.hand = g, clock.write(path, start_us)
        g.folder.secret_file.write_bytes(bytes(range(32)))  # the same draw in each run
        g.start("worker-0", **{clock.VARIABLE: str(path)})
        with ControlState(g.folder.state, g.folder.secret()) as state:
            self.auth = {a: {"authorization": f"Bearer {state.issue(a, now_us=start_us)}"} for a in accounts}
        self.http = httpx.Client()

    def ask(self, at_us: int, account: str, text: str) -> int | None:
        """Send a request at a time; return None if it is answered, else the time until which to wait."""
        self.hand[0] = at_us
        body = {"model": "mira", "messages": [{"role": "user", "content": text}]}
        reply = self.http.post(self.g.url + "/v1/chat/completions", json=body, headers=self.auth[account])
        if reply.status_code == 200:
            return None
        assert reply.status_code == 429, reply.text
        assert reply.json()["error"]["code"] == "rate_limited"
        return at_us + int(reply.headers["retry-after"]) * SECOND_US

    def log(self) -> ExchangeLog:
        self.g.settle()
        batches = self.g.table().combine_chunks().to_batches()  # not `read`: it refuses times to come
        return build(batches, Sketcher(derive(self.g.folder.secret(), PURPOSE)))


@contextmanager
def world(up: Upstream, accounts: tuple[str, ...], terms: str = ON) -> Iterator[World]:
    with gateway(up.url, terms, start=False) as g:
        found = World(g, accounts, g.folder.run / "hand", NOW)
        try:
            yield found
        finally:
            found.http.close()


def begin(found: World, *groups: tuple[str, ...], terms: str = ON) -> list[HoldSchedule]:
    with ControlState(found.g.folder.state, found.g.folder.secret()) as state:
        leads = [HoldCandidate(f"sw-{group[0]}", 0.01, group) for group in groups]
        follow(state, loads(terms), leads, {}, now_us=int(found.hand[0]), tell=lambda _: None)
        revision, says = state.version().revision, found.g.folder.run / "worker-0.json"
        until(
            lambda: heartbeat.read(says).get("tables_revision", 0) >= revision, what="the worker's new tables"
        )
        return [one.schedule for one in all_held(state)]


@pytest.mark.slow
def test_a_queue_over_sixteen_accounts_shows_and_people_do_not(up: Upstream) -> None:
    """A week in accelerated time. The same gateway holds both groups at once."""
    queue, people = names("queue"), names("people")
    rng = np.random.default_rng(11)
    with world(up, queue + people) as found:
        drawn = begin(found, queue, people)
        start_us = drawn[0].start_us
        asked = [
            (at_us, who)
            for who in ("queue", "people")
            for at_us in jobs(rng, start_us, 16 * 8, 7, night=0.5, bursts=0.5).tolist()
        ]
        waiting = dict.fromkeys(queue, 0)
        later: list[tuple[int, str, str]] = []  # people who try again after the hold
        for number, (at_us, who) in enumerate(sorted(asked)):
            while later and later[0][0] < at_us:
                found.ask(*later.pop(0))
            text = f"{who} wants to know about thing number {number}"
            if who == "people":
                account = people[rng.integers(16)]
                if (wait_us := found.ask(at_us, account, text)) is not None and rng.random() < 0.5:
                    later = sorted([*later, (wait_us, account, text)])
                continue
            while True:  # another account sends at once what one is refused
                ready = [a for a in queue if waiting[a] <= at_us]
                account = ready[rng.integers(len(ready))]
                if (wait_us := found.ask(at_us, account, text)) is None:
                    break
                waiting[account] = wait_us
                at_us += 2 * SECOND_US
        rows = found.g.settle()
        held = [row for row in rows if (row["rule"] or "").startswith("holds:")]
        assert len(held) > 80
        assert {(row["status"], row["outcome"]) for row in held} == {(429, "refused")}
        # every hold can be recomputed from the records, and no other account was held
        by_candidate = {f"holds:{one.candidate}": one for one in drawn}
        for row in held:
            at_us = round(row["time"].timestamp() * 1e6)
            assert by_candidate[row["rule"]].hold_end_us(row["account"], at_us) is not None
        log = found.log()
        end_us = start_us + 7 * DAY_US
        shows = holds_evidence(log, by_candidate["holds:sw-queue-00"], end_us)
        silent = holds_evidence(log, by_candidate["holds:sw-people-00"], end_us)
        assert shows.found_us is not None, shows.text
        assert len(shows.named_us) >= 8
        assert not silent.named_us
        assert silent.p_value > 0.05, silent.text
        # a scan of the recorded exchanges also names accounts of the queue only
        (case,) = scan_log(log, options=Options(held=tuple(drawn))).campaigns
        assert set(case.accounts) <= set(queue)
        assert len(case.accounts) >= 8
        assert case.own_reactions.keys() == set(case.accounts)
        # the same refusals, as a natural experiment
        assert failover_evidence(log, queue).p_value < 1e-6
        assert failover_evidence(log, people).p_value == 1.0


@pytest.mark.slow
def test_a_hold_ends_when_it_says_costs_its_budget_and_is_undone_at_once(up: Upstream) -> None:
    accounts = names("a", 8)
    terms = ON + "block_minutes = 15\n"  # longer than the day's budget
    with world(up, accounts, terms) as found:
        (drawn,) = begin(found, accounts, terms=terms)
        account = drawn.accounts[0]
        blocks = range(drawn.start_us, drawn.start_us + DAY_US, drawn.block_us)
        other, theirs = next(
            (a, at) for at in blocks for a in accounts[1:] if drawn.hold_end_us(a, at) is not None
        )
        held = [at for at in blocks if drawn.hold_end_us(account, at) is not None]
        assert len(held) >= 2
        free = next(a for a in accounts if drawn.hold_end_us(a, held[0]) is None)
        at_us = held[0] + 70 * SECOND_US
        assert found.ask(drawn.start_us - 1, account, "before it begins") is None
        wait_us = found.ask(at_us, account, "while it runs")
        assert wait_us == held[0] + drawn.block_us
        assert found.ask(at_us, free, "another that is not drawn") is None
        assert found.ask(wait_us, account, "when it may again") is None
        # more in the same minute uses no more of the day's budget; the budget is six minutes
        assert found.ask(at_us, account, "an SDK tries again") is not None
        for minute in range(1, 6):
            assert found.ask(at_us + minute * 60 * SECOND_US, account, "again") is not None
        assert found.ask(at_us + 6 * 60 * SECOND_US, account, "the seventh minute") is None
        assert found.ask(held[1], account, "the next hold of that day") is None
        # a worker that was killed forgets nothing
        found.g.stop("worker-0", 9)
        found.g.start("worker-0", **{clock.VARIABLE: str(found.g.folder.run / "hand")})
        assert found.ask(held[1], account, "after a restart") is None
        assert found.ask(theirs, other, "another one has its own budget") is not None
        # the next day has its own budget
        tomorrow = [at for at in blocks if drawn.hold_end_us(account, at + DAY_US) is not None]
        assert found.ask(tomorrow[0] + DAY_US, account, "tomorrow") is not None
        # dropped: served within a second
        with ControlState(found.g.folder.state, found.g.folder.secret()) as state:
            follow(state, loads(terms), [], {}, now_us=int(found.hand[0]), tell=lambda _: None)
            assert [one.why_ended for one in all_held(state)] == ["it is no longer a candidate"]
            until(lambda: found.ask(theirs + 1, other, "?") is None, what="the end of the holds")
            told = [e.what for e in state.events()]
            assert {"holds begun", "holds ended"} <= set(told)


@pytest.mark.slow
def test_terms_that_say_off_undo_every_hold(up: Upstream) -> None:
    accounts = names("a", 8)
    with world(up, accounts) as found:
        (drawn,) = begin(found, accounts)
        blocks = range(drawn.start_us, drawn.end_us, drawn.block_us)
        at_us, (account, other, *_) = next(
            (at, several)
            for at in blocks
            if len(several := [a for a in accounts if drawn.hold_end_us(a, at) is not None]) > 1
        )
        assert found.ask(at_us, account, "held") is not None
        exempt = f'version = 2\n[holds]\nmode = "on"\nexempt_accounts = ["{account}"]\n'
        found.g.folder.terms.write_text(exempt)
        until(lambda: found.ask(at_us, account, "exempt") is None, what="the exemption")
        assert found.ask(at_us, other, "still held") is not None
        found.g.folder.terms.write_text("version = 3\n")
        until(lambda: found.ask(at_us, other, "off") is None, what="the new terms")


# --- how accounts come to be held ---


def finding(candidate: str, accounts: tuple[str, ...], p_value: float = 1e-3) -> Campaign:
    taken = Harvest(10, 100)
    at = datetime(2026, 11, 25, tzinfo=UTC)
    return Campaign(candidate, at, p_value, 9.0, accounts, taken, taken, (), (), firm=accounts)


def lead(number: str, accounts: tuple[str, ...], hands: str = "open") -> Lead:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    return Lead(number, at, 1e-4, accounts, 10 + len(accounts), hands, "why it is no finding")


def hand_over(
    folder: Folder,
    *campaigns: Campaign,
    leads: tuple[Lead, ...] = (),
    weak: tuple[HoldCandidate, ...] = (),
) -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    scanned = ScanTotals(100_000 + len(campaigns), 100, at, at + timedelta(hours=len(campaigns)), 0, 0.0)
    result = ScanResult("test", scanned, campaigns, (), leads=leads, weak=weak)
    write_atomically(folder.detector / HANDOVER, to_text(handover_json(result, {})))
    write(result, folder.detector)


@contextmanager
def enforcer(folder: Folder, terms: str) -> Iterator[tuple[Enforcer, ControlState]]:
    folder.terms.write_text(terms)
    with ControlState(folder.state, folder.secret()) as state:
        yield Enforcer(folder, state, open_terms(folder, keeps_history=True), lambda _: None), state


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "serve")


@pytest.mark.parametrize("mode", ["off", "dry_run"])
def test_nobody_is_held_unless_the_terms_say_on(folder: Folder, mode: str) -> None:
    hand_over(folder, finding("sw-1", names("a")))
    with enforcer(folder, f'version = 1\n[holds]\nmode = "{mode}"\n') as (found, state):
        found.step(NOW)
        found.step(NOW + 20 * SECOND_US)
        assert not found.errors
        assert all_held(state) == []
        told = [event for event in state.events() if event.what == "holds would begin"]
        assert [event.subject for event in told] == (["sw-1"] if mode == "dry_run" else [])
        for kept, erasable in (trail_entry(event, state) for event in told):
            assert kept["accounts"] == len(names("a"))
            assert [one["names"] for one in erasable.values()] == [list(names("a"))]


@pytest.mark.slow
def test_a_candidate_is_held_once_and_dropped_at_once(folder: Folder) -> None:
    with enforcer(folder, ON + "accounts_at_least = 4\n") as (found, state):
        found.step(NOW)
        assert all_held(state) == []  # no findings yet
        hand_over(folder, finding("sw-1", names("a")), finding("sw-2", names("b", 3)))
        found.step(NOW + 1)
        found.step(NOW + SECOND_US)
        (one,) = all_held(state)  # three accounts are too few
        assert one.schedule.accounts == names("a")
        assert one.begun_us == NOW + 1 < one.schedule.start_us
        tables = load_tables(folder.state)
        assert tuple(tables.holds) == one.schedule.accounts
        (event,) = [e for e in state.events() if e.what == "holds begun"]
        assert event.detail["commitment"] == one.schedule.commitment
        kept, _ = trail_entry(event, state)  # in the open, where it cannot be changed later
        assert kept["commitment"] == one.schedule.commitment
        assert "candidate" not in kept
        assert event.detail["start_us"] == one.schedule.start_us
        # it grows: earlier accounts keep their draws, and four join from the next block on
        hand_over(folder, finding("sw-1", names("a", 20)))
        found.step(NOW + 2 * SECOND_US)
        (grown,) = (h.schedule for h in all_held(state))
        blocks = grown.blocks(grown.end_us)
        assert grown.accounts == names("a", 20)
        assert set(load_tables(folder.state).holds) == set(grown.accounts)
        for account in names("a", 20):
            assert grown.begin_us[account] > NOW + 2 * SECOND_US
            if account in one.schedule.begin_us:
                assert [grown.draw(account, b) for b in blocks] == [
                    one.schedule.draw(account, b) for b in blocks
                ]
        (event,) = [e for e in state.events() if e.what == "holds joined"]
        assert event.detail == {"accounts": 4, "from_us": grown.begin_us["a-19"]}
        assert grown.draw("a-19", grown.begin_us["a-19"] // grown.block_us - 1) is None
        # it disappears and returns: it is not held a second time, and its accounts rest
        hand_over(folder)
        found.step(NOW + 3 * SECOND_US)
        assert all_held(state)[0].why_ended == "it is no longer a candidate"
        assert load_tables(folder.state).holds == {}
        hand_over(folder, finding("sw-1", names("a")), finding("sw-3", names("a", 9)))
        found.step(NOW + 4 * SECOND_US)
        assert len(all_held(state)) == 1


def test_holds_of_a_lead_go_on_while_it_grows_and_becomes_a_finding(folder: Folder) -> None:
    hand_over(folder, leads=(lead("lead-1", names("a")), lead("lead-2", names("b"), "many")))
    with enforcer(folder, ON) as (found, state):
        found.step(NOW)
        (one,) = all_held(state)  # a candidate that looks like many people is not held
        assert (one.schedule.candidate, one.schedule.accounts) == ("lead-1", names("a"))
        later = (
            ((), (lead("lead-1", names("a", 5)),)),  # other accounts leave it: the id is the same
            (
                (finding("sw-1", names("a", 12)),),
                (),
            ),  # it becomes a finding
            ((), (lead("lead-7", names("a", 8)),)),  # it splits: one part has half of its accounts
        )
        for second, (campaigns, leads) in enumerate(later, 1):
            hand_over(folder, *campaigns, leads=leads)
            found.step(NOW + second * SECOND_US)
            assert not found.errors
            assert all_held(state) == [one], second
        assert tuple(load_tables(folder.state).holds) == one.schedule.accounts
        hand_over(folder, leads=(lead("lead-7", names("a", 7)),))
        found.step(NOW + 20 * SECOND_US)
        assert [h.why_ended for h in all_held(state)] == ["it is no longer a candidate"]


def test_holds_of_a_group_whose_work_moves_are_drawn_more_often(folder: Folder) -> None:
    leads = lead("lead-1", names("a")), lead("lead-2", names("b"))
    hand_over(folder, leads=leads)
    with enforcer(folder, ON) as (found, state):
        found.step(NOW)
        before = {h.schedule.candidate: h.schedule for h in all_held(state)}
        shown = [
            HoldCandidate(one.id, 1.0, one.accounts, moved_p=p)
            for one, p in zip(leads, (0.09, 0.11), strict=True)
        ]
        hand_over(folder, leads=leads, weak=tuple(shown))
        found.step(NOW + SECOND_US)
        found.step(NOW + 2 * SECOND_US)
        assert not found.errors
        after = {h.schedule.candidate: h.schedule for h in all_held(state)}
        assert after["lead-2"] == before["lead-2"]
        one, was = after["lead-1"], before["lead-1"]
        from_us = (NOW // one.block_us + 1) * one.block_us
        assert (one.denser_one_block_in, one.denser_from_us) == (4, from_us)
        assert schedules_in(folder.state) == tuple(after.values())
        held = load_tables(folder.state).holds["a-00"]
        blocks = range(from_us // one.block_us, from_us // one.block_us + 7 * 96)
        assert sum(held.draw("a-00", b) is True for b in blocks) > 2 * sum(
            was.draw("a-00", b) is True for b in blocks
        )
        (event,) = [e for e in state.events() if e.what == "holds denser"]
        assert event.detail == {"one_block_in": 4, "from_us": from_us}
        ended_us = NOW + 3 * SECOND_US
        end(state, 1, "a test", now_us=ended_us)
        assert len(schedules_in(folder.state, ended_us)) == 2
        assert schedules_in(folder.state, ended_us + 1) == (after["lead-2"],)


def test_holds_that_are_undecided_after_their_days_go_on_and_end_once_decided(folder: Folder) -> None:
    told = lead("lead-1", names("a"))
    with enforcer(folder, ON) as (found, state):
        hand_over(folder, leads=(told,))
        found.step(NOW)
        (was,) = (h.schedule for h in all_held(state))
        week_us = was.start_us + 7 * DAY_US
        shown = HoldCandidate(told.id, 1.0, told.accounts, undecided=True)
        hand_over(folder, leads=(told,), weak=(shown,))
        found.step(week_us - HOUR_US)
        (one,) = all_held(state)
        assert one.schedule == replace(was, days=28)
        (event,) = [e for e in state.events() if e.what == "holds longer"]
        assert event.detail == {"days": 28, "from_us": week_us}
        found.step(week_us + DAY_US)
        assert [h.why_ended for h in all_held(state)] == [None]
        assert not found.errors
        hand_over(folder, leads=(told,))
        found.step(week_us + 2 * DAY_US)
        assert [h.why_ended for h in all_held(state)] == ["its last day has passed"]


def test_a_lead_whose_content_turns_out_to_be_of_many_people_is_let_go(folder: Folder) -> None:
    hand_over(folder, leads=(lead("lead-1", names("a")),))
    with enforcer(folder, ON) as (found, state):
        found.step(NOW)
        hand_over(folder, leads=(lead("lead-1", names("a"), "many"),))
        found.step(NOW + SECOND_US)
        assert [h.why_ended for h in all_held(state)] == ["it is no longer a candidate"]
        assert load_tables(folder.state).holds == {}


def test_new_terms_and_the_last_day_end_what_runs(folder: Folder) -> None:
    hand_over(folder, finding("sw-1", names("a")), finding("sw-2", names("b")))
    with enforcer(folder, ON) as (found, state):
        found.step(NOW)
        first, second = all_held(state)
        found.step(first.schedule.end_us)
        assert {one.why_ended for one in all_held(state)} == {"its last day has passed"}
        assert all_held(state)[0].schedule.blocks(NOW * 2) == first.schedule.blocks(NOW * 2)
        assert second.schedule.candidate == "sw-2"
    with ControlState(folder.state, folder.secret()) as state:
        follow(
            state, loads(ON), [HoldCandidate("sw-9", 0.1, names("c"))], {}, now_us=NOW, tell=lambda _: None
        )
        for text in ("version = 2\n[holds]\nmode = 'dry_run'", ON + "block_minutes = 30\n"):
            leads = [HoldCandidate("sw-9", 0.1, names("c"))]
            follow(state, loads(text), leads, {}, now_us=NOW + 5, tell=lambda _: None)
        assert all_held(state)[-1].why_ended == 'the terms have mode = "dry_run"'
        assert all_held(state)[-1].schedule.end_us == NOW + 5
        end(state, all_held(state)[-1].number, "again", now_us=NOW + 9)
        assert all_held(state)[-1].schedule.end_us == NOW + 5  # it had ended


def test_weak_groups_are_handed_over_and_held(folder: Folder) -> None:
    weak = (
        HoldCandidate("refusals-1", 1e-5, names("w", 4), 0.001, 0),
        HoldCandidate("wording-1", 0.1, names("v", 9), 0.5, 2),
    )
    at = datetime(2026, 11, 25, tzinfo=UTC)
    result = ScanResult("test", ScanTotals(100_000, 100, at, at, 0, 0.0), (), (), weak=weak)
    write_atomically(folder.detector / HANDOVER, to_text(handover_json(result, {})))
    write(result, folder.detector)
    with enforcer(folder, ON) as (found, state):
        found.step(NOW)
        assert not found.errors
        assert [one.schedule.candidate for one in all_held(state)] == [
            "refusals-1"
        ]  # the other costs too much
        assert schedules_in(folder.state) == (all_held(state)[0].schedule,)
    assert schedules_in(folder.path / "nowhere.db") == ()


def test_findings_that_cannot_be_read_change_nothing(folder: Folder) -> None:
    hand_over(folder, finding("sw-1", names("a")))
    with enforcer(folder, ON) as (found, state):
        found.step(NOW)
        (folder.detector / HANDOVER).write_text("{")
        found.step(NOW + 20 * SECOND_US)
        assert "findings" in found.errors
        assert [one.why_ended for one in all_held(state)] == [None]


def test_a_state_of_the_version_before_is_brought_to_the_new_shape(folder: Folder) -> None:
    with sqlite3.connect(folder.state) as db:
        MIGRATIONS[0](db)
        db.execute("PRAGMA user_version = 1")
    with ControlState(folder.state, folder.secret()) as state:
        assert all_held(state) == []
        assert load_tables(folder.state).holds == {}


@pytest.mark.slow
def test_two_schedules_of_a_key_and_a_candidate_are_not_the_same(folder: Folder) -> None:
    """A draw's key depends on the candidate and the start, and can be disclosed without the folder's key."""
    with ControlState(folder.state, folder.secret()) as state:
        leads = [HoldCandidate("sw-1", 0.1, names("a")), HoldCandidate("sw-2", 0.1, names("b"))]
        follow(state, loads(ON), leads, {}, now_us=NOW, tell=lambda _: None)
        one, two = (held.schedule for held in all_held(state))
    assert one.key != two.key
    cells = [(account, block) for account in one.accounts for block in one.blocks(one.end_us)]
    assert [replace(one, key=two.key).draw(*cell) for cell in cells] != [one.draw(*cell) for cell in cells]
    assert json.dumps(one.accounts) == json.dumps(sorted(one.accounts))


def test_held_minutes_are_counted_over_workers_and_days(tmp_path: Path) -> None:
    one, two = Budgets(tmp_path, 0, 2), Budgets(tmp_path, 1, 2)
    minute = 60 * SECOND_US
    for _ in range(3):
        one.add_held(5, NOW)
    two.add_held(5, NOW + minute)
    found = one.spent(5, NOW + minute)
    assert (found.held_minutes_day, found.held_this_minute) == (2, True)
    assert not one.spent(5, NOW + 2 * minute).held_this_minute
    one.add(5, NOW + 3 * minute, 1, 100)
    assert one.spent(5, NOW + 3 * minute).held_minutes_day == 2
    assert one.spent(5, NOW + DAY_US).held_minutes_day == 0
    one.add_held(5, NOW + DAY_US)
    assert two.spent(5, NOW + DAY_US).held_minutes_day == 1
    own = one.place("issued by nobody", None)
    one.add_held(own, NOW)
    assert one.spent(own, NOW).held_minutes_day == 1


def test_what_an_earlier_draw_held_is_let_go_and_stays_to_be_read(folder: Folder) -> None:
    """Version 0.1 held half of the accounts in one block of each window: its test and draw were removed."""
    with sqlite3.connect(folder.state) as db:
        for number, step in enumerate(MIGRATIONS[:2], 1):
            step(db)
            db.execute(f"PRAGMA user_version = {number}")
        for number, ended in ((1, "its last day has passed"), (2, None)):
            row = (number, f"sw-{number}", '["a", "b"]', NOW, 7, 15, 8, b"k" * 32, NOW, ended, 1)
            columns = "number, candidate, accounts, start_us, days, block_minutes, blocks_per_window, key"
            db.execute(
                f"INSERT INTO holds ({columns}, begun_us, why_ended, revision) VALUES"
                " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
    with ControlState(folder.state, folder.secret()) as state:
        assert all_held(state) == []
        assert load_tables(folder.state).holds == {}
        (event,) = [e for e in state.events() if e.what == "holds ended"]
        assert (event.subject, event.detail) == ("2", {"why": "a newer version draws otherwise"})
        follow(state, loads(ON), [HoldCandidate("sw-9", 0.1, names("c"))], {}, now_us=NOW, tell=print)
        assert len(all_held(state)) == 1
    with sqlite3.connect(folder.state) as db:
        kept = db.execute("SELECT number, why_ended FROM holds ORDER BY number").fetchall()
    assert kept == [(1, "its last day has passed"), (2, "a newer version draws otherwise")]
