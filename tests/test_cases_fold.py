"""Findings become cases: one actor over time, merged, split, returned, suppressed; on both databases."""

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

import cases_world as world
from cases_world import NOW_US, campaign, everything, later, names, only, result
from stillwatch.cases import CaseState, RecordNotFound, Verdict, handling, reading, tables
from stillwatch.cases.evidence import Input, digest, latest, pack, unpack
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.report.findings import load, write
from stillwatch.scan import Follower, SettingTest

HOUR = world.HOUR_US


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with world.store_with(world.nothing, tmp_path, request.param) as made:
        yield made


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    with world.store_with(world.nothing, tmp_path) as made:
        yield made


def close(store: Store, case_id: str, verdict: Verdict, now_us: int = NOW_US) -> None:
    handling.close(store, case_id, verdict, who="ann", why="looked", now_us=now_us)


# --- one actor, one case ---


@pytest.mark.slow
def test_a_finding_opens_a_case_with_what_the_finding_says(store: Store) -> None:
    folded = fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "march")
    case = store.case(only(store))
    assert folded.opened == [case.id]
    assert (case.state, case.verdict, case.campaign, case.members) == (CaseState.NEW, None, "sw-1", 40)
    assert (case.exchanges, case.output_tokens) == (400, 200_000)
    assert case.accounts == names(0, 40)
    assert (case.raised_by, case.p_value) == ("coordinated_harvest", 1e-6)
    assert (case.first_us, case.last_us) == (world.START_US + 10 * HOUR, world.START_US + 13 * HOUR)
    assert case.due_us == NOW_US + 24 * HOUR
    assert latest(store, case.id).campaign == campaign("sw-1", names(0, 40))


def test_the_same_findings_folded_twice_change_nothing(store: Store) -> None:
    found = result(campaign("sw-1", names(0, 40)), campaign("sw-2", names(50, 60), p=1e-4))
    fold(store, found, NOW_US, "march")
    before = everything(store)
    again = fold(store, found, NOW_US + HOUR, "march again")
    assert again.unchanged == 2
    assert everything(store) == before


def test_findings_of_a_report_folder_are_those_of_the_scan(lite: Store, tmp_path: Path) -> None:
    found = result(campaign("sw-1", names(0, 40), p=1.234567890123e-7))
    fold(lite, found, NOW_US, "scan")
    write(found, tmp_path / "report")
    before = everything(lite)
    assert fold(lite, load(tmp_path / "report"), NOW_US + 1, "report").unchanged == 1
    assert everything(lite) == before


@pytest.mark.slow
def test_an_actor_keeps_its_case_while_ids_and_accounts_change(store: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(store, result(first), NOW_US, "serve")
    case_id = only(store)
    # it grows, then half of it is replaced, twice: finally none of the first accounts is left
    for step in range(1, 8):
        moved = campaign(f"sw-{step + 1}", names(20 * step, 20 * step + 40), first_hour=10 + 3 * step)
        fold(store, result(moved), NOW_US + step * HOUR, "serve")
        assert only(store) == case_id
    case = store.case(case_id)
    assert case.members == 180
    assert case.campaign == "sw-8"
    assert case.exchanges == 25 * 100  # hours 10 to 34, each once
    with store.reading() as db:
        assert len(db.execute(select(tables.evidence.c.finding)).all()) == 1  # of the latest finding


def test_an_account_that_is_tied_by_more_than_before_is_news(lite: Store) -> None:
    loose = replace(campaign("sw-1", names(0, 40)), firm=names(0, 10))
    fold(lite, result(loose), NOW_US, "serve")
    assert reading.targets(lite, only(lite)).accounts == names(0, 10)
    fold(lite, result(replace(loose, firm=names(0, 30))), NOW_US + 1, "serve")
    assert reading.targets(lite, only(lite)).accounts == names(0, 30)


def test_accounts_that_the_latest_finding_does_not_name_are_not_acted_on(lite: Store) -> None:
    fold(lite, result(campaign("sw-1", names(0, 40))), NOW_US, "serve")
    fold(lite, result(campaign("sw-2", names(20, 60), first_hour=20)), NOW_US + 1, "serve")
    case_id = only(lite)
    assert lite.case(case_id).members == 60
    hit = reading.targets(lite, case_id)
    assert hit.accounts == names(20, 60)
    assert hit.left_out == {"not named by the latest finding": 20}


@pytest.mark.slow
def test_two_actors_who_share_a_bystander_are_two_cases(store: Store) -> None:
    fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "serve")
    fold(store, result(campaign("sw-2", (*names(100, 140), "acct_00003"))), NOW_US + 1, "serve")
    found = {c.campaign: c for c in reading.queue(store, reading.Filter(), NOW_US).cases}
    assert found["sw-1"].members == 40
    assert found["sw-2"].members == 40  # the bystander still belongs to the first case
    assert [a.case.campaign for a in reading.account(store, "acct_00003") if a.member.actor] == ["sw-1"]


def test_a_lone_payer_that_turns_out_to_be_of_a_pool_keeps_its_case(lite: Store) -> None:
    fold(lite, result(campaign("sw-1", ("solo",))), NOW_US, "serve")
    case_id = only(lite)
    fold(lite, result(campaign("sw-2", ("solo", *names(0, 40)))), NOW_US + 1, "serve")
    assert only(lite) == case_id
    assert lite.case(case_id).members == 41


def test_an_older_scan_adds_what_it_knows_and_does_not_put_the_clock_back(store: Store) -> None:
    fold(store, result(campaign("sw-2", names(0, 40), first_hour=50)), NOW_US, "april")
    case_id = only(store)
    fold(store, result(campaign("sw-1", names(30, 60), first_hour=10, p=1e-9)), NOW_US + 1, "march")
    case = store.case(case_id)
    assert (case.campaign, case.p_value, case.members) == ("sw-2", 1e-6, 60)
    assert case.exchanges == 800
    assert latest(store, case_id).campaign.id == "sw-2"
    assert reading.targets(store, case_id).accounts == names(0, 40)  # not the older one's


def test_a_weaker_finding_that_adds_nothing_is_not_recorded(lite: Store) -> None:
    fold(lite, result(campaign("sw-1", names(0, 40))), NOW_US, "serve")
    before = everything(lite)
    # the window moved on: fewer hours and accounts, nothing new
    moved = campaign("sw-2", names(0, 30), first_hour=12, hours=2, p=1e-5)
    assert fold(lite, result(moved), NOW_US + 1, "serve").unchanged == 1
    assert everything(lite) == before


# --- merge and split ---


@pytest.mark.slow
def test_one_actor_who_had_two_cases_has_the_older_one(store: Store) -> None:
    fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "serve")
    old = only(store)
    fold(store, result(campaign("sw-2", names(100, 190))), NOW_US + 1, "serve")
    both = campaign("sw-3", (*names(0, 40), *names(100, 190)), first_hour=12, an_hour=300)
    folded = fold(store, result(both), NOW_US + 2, "serve")
    case = store.case(old)
    assert [target for _, target in folded.merged] == [old]
    assert only(store) == old
    assert (case.members, case.campaign) == (130, "sw-3")
    # hours 10 and 11 of both, then what the joint finding counts
    assert case.exchanges == 2 * 200 + 4 * 300
    gone = folded.merged[0][0]
    assert store.case(gone).merged_into == old
    assert store.case(gone).members == 0


@pytest.mark.slow
def test_one_actor_who_turns_out_to_be_two_has_two_cases_and_the_larger_keeps_the_first(store: Store) -> None:
    fold(store, result(campaign("sw-1", names(0, 100), an_hour=100)), NOW_US, "serve")
    first = only(store)
    a, b = campaign("sw-a", names(0, 70), an_hour=70), campaign("sw-b", names(70, 100), an_hour=30)
    folded = fold(store, result(a, b), NOW_US + 1, "serve")
    (new,) = folded.opened
    assert store.case(first).accounts == names(0, 70)
    assert store.case(new).accounts == names(70, 100)
    assert store.case(new).split_from == first
    assert (store.case(first).exchanges, store.case(new).exchanges) == (280, 120)
    before = everything(store)
    fold(store, result(a, b), NOW_US + 2, "serve")
    assert everything(store) == before


@pytest.mark.slow
def test_what_findings_merge_and_split_again_and_again_does_not_make_new_cases(lite: Store) -> None:
    a, b = campaign("sw-a", names(0, 70)), campaign("sw-b", names(100, 140))
    fold(lite, result(a, b), NOW_US, "serve")
    ids = {c.id for c in reading.queue(lite, reading.Filter(), NOW_US).cases}
    for step in range(1, 5):
        hours = {"first_hour": 10 + 5 * step}
        joint = campaign(f"sw-j{step}", (*names(0, 70), *names(100, 140)), **hours)
        fold(lite, result(joint), NOW_US + step * HOUR, "serve")
        assert len(reading.queue(lite, reading.Filter(), NOW_US).cases) == 1
        again = (
            campaign(f"sw-a{step}", names(0, 70), **hours),
            campaign(f"sw-b{step}", names(100, 140), **hours),
        )
        fold(lite, result(*again), NOW_US + step * HOUR + 1, "serve")
        assert {c.id for c in reading.queue(lite, reading.Filter(), NOW_US).cases} == ids


@pytest.mark.slow
def test_what_a_person_took_apart_findings_do_not_merge_again(lite: Store) -> None:
    fold(lite, result(campaign("sw-1", names(0, 40)), campaign("sw-2", names(100, 140))), NOW_US, "serve")
    joint = campaign("sw-3", (*names(0, 40), *names(100, 140)), first_hour=20)
    folded = fold(lite, result(joint), NOW_US + 1, "serve")
    ((gone, kept),) = folded.merged
    act = next(a for a in reading.acts(lite, kept) if a.verb == "merge")
    handling.undo(lite, kept, act.id, who="ann", why="two customers of one reseller", now_us=NOW_US + 2)
    more = later(joint, "sw-4", ["new"], p_value=1e-8)
    assert fold(lite, result(more), NOW_US + 3, "serve").merged == []
    assert lite.case(gone).members == 40
    assert lite.case(kept).members == 41


@pytest.mark.slow
def test_what_a_person_merged_findings_do_not_split_again(lite: Store) -> None:
    a, b = campaign("sw-1", names(0, 40)), campaign("sw-2", names(100, 130))
    folded = fold(lite, result(a, b), NOW_US, "serve")
    one, two = folded.opened
    handling.merge(lite, two, one, who="ann", why="same wording, same card", now_us=NOW_US + 1)
    a2, b2 = later(a, "sw-3", ["x"], p_value=1e-9), later(b, "sw-4", ["y"], p_value=1e-9)
    fold(lite, result(a2, b2), NOW_US + 2, "serve")
    assert only(lite) == one
    assert lite.case(one).members == 72


# --- returning actors ---


@pytest.mark.slow
def test_an_actor_that_comes_back_after_a_ban_with_new_accounts_re_opens_its_case(store: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(store, result(first), NOW_US, "serve")
    case_id = only(store)
    close(store, case_id, Verdict.TRUE)
    assert store.case(case_id).state == CaseState.CLOSED
    # the pool behind the pool: the scan's window still holds the old accounts
    back = later(first, "sw-2", names(100, 130), timeline=campaign("x", ("a",), hours=90).timeline)
    folded = fold(store, result(back), NOW_US + 1, "serve")
    case = store.case(case_id)
    assert folded.came_back == [case_id]
    assert (case.state, case.verdict, case.reopened, case.members) == (CaseState.OPEN, Verdict.TRUE, 1, 70)
    told = next(a for a in reading.acts(store, case_id) if a.verb == "came back")
    assert told.text.startswith("30 accounts and ")
    assert reading.targets(store, case_id).accounts == case.accounts


@pytest.mark.slow
def test_closed_cases_stay_closed_when_nothing_new_came(store: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(store, result(first), NOW_US, "serve")
    case_id = only(store)
    close(store, case_id, Verdict.TRUE)
    again = replace(first, id="sw-2", p_value=1e-9)  # a surer finding of the same hours
    assert fold(store, result(again), NOW_US + 1, "serve").came_back == []
    assert store.case(case_id).state == CaseState.CLOSED


@pytest.mark.slow
def test_the_hour_in_which_a_live_case_is_closed_does_not_re_open_it(lite: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    now_us = world.START_US + 14 * HOUR + HOUR // 3  # at 14:20; the harvest was seen until 14:00
    fold(lite, result(first), now_us, "serve")
    case_id = only(lite)
    close(lite, case_id, Verdict.TRUE, now_us)
    until_the_ban = campaign("sw-2", names(0, 40), hours=5)
    assert fold(lite, result(until_the_ban), now_us + HOUR, "serve").came_back == []
    an_hour_later = campaign("sw-3", names(0, 40), hours=6)
    assert fold(lite, result(an_hour_later), now_us + 2 * HOUR, "serve").came_back == [case_id]


@pytest.mark.slow
def test_a_dismissed_case_comes_back_when_it_has_grown_and_has_to_be_judged_anew(lite: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(lite, result(first), NOW_US, "serve")
    case_id = only(lite)
    close(lite, case_id, Verdict.FALSE)
    little = campaign("sw-2", names(0, 45), hours=6)
    assert fold(lite, result(little), NOW_US + 1, "serve").came_back == []
    assert lite.case(case_id).verdict == Verdict.FALSE
    doubled = campaign("sw-3", names(0, 45), hours=8)
    assert fold(lite, result(doubled), NOW_US + 2, "serve").came_back == [case_id]
    case = lite.case(case_id)
    assert (case.state, case.verdict) == (CaseState.OPEN, None)


def test_something_else_than_accounts_can_tie_a_campaign_to_a_closed_case(lite: Store) -> None:
    fold(lite, result(campaign("sw-1", names(0, 40))), NOW_US, "march")
    case_id = only(lite)
    close(lite, case_id, Verdict.TRUE)
    fresh = campaign("sw-9", names(500, 540), first_hour=200)
    folded = fold(lite, result(fresh), NOW_US + 1, "april", returning={"sw-9": case_id})
    assert folded.came_back == [case_id]
    assert lite.case(case_id).members == 80
    with pytest.raises(RecordNotFound):
        fold(lite, result(campaign("sw-8", names(900, 910))), NOW_US, "x", returning={"sw-8": "case-nowhere"})


@pytest.mark.slow
def test_a_suppressed_case_is_measured_and_nobody_is_told_until_it_expires(store: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(store, result(first), NOW_US, "serve")
    case_id = only(store)
    handling.suppress(
        store,
        case_id,
        owner="bo",
        until_us=NOW_US + 10 * HOUR,
        who="ann",
        why="their red team",
        now_us=NOW_US,
    )
    close(store, case_id, Verdict.SUSPICIOUS)
    grown = later(first, "sw-2", names(40, 90), timeline=campaign("x", ("a",), hours=90).timeline)
    folded = fold(store, result(grown), NOW_US + HOUR, "serve")
    assert (folded.suppressed, folded.came_back, folded.updated) == ([case_id], [], [])
    case = store.case(case_id)
    assert (case.members, case.state, case.suppressed_by) == (90, CaseState.CLOSED, "bo")
    more = later(grown, "sw-3", names(90, 95))
    assert fold(store, result(more), NOW_US + 11 * HOUR, "serve").came_back == [case_id]
    assert reading.queue(store, reading.Filter(suppressed=False), NOW_US + 11 * HOUR).total == 1


def test_a_permission_suppresses_while_the_finding_names_it(lite: Store) -> None:
    allowed = campaign("sw-1", names(0, 40), suppressed_by="permission: synthetic data")
    fold(lite, result(allowed), NOW_US, "serve")
    case_id = only(lite)
    assert lite.case(case_id).permission == "permission: synthetic data"
    assert reading.queue(lite, reading.Filter(suppressed=False), NOW_US).total == 0
    fold(lite, result(replace(allowed, suppressed_by=None)), NOW_US + 1, "serve")
    assert lite.case(case_id).permission is None
    assert reading.queue(lite, reading.Filter(suppressed=False), NOW_US).total == 1


# --- victims and cleared accounts ---


@pytest.mark.slow
def test_a_victim_is_never_the_actor_again_by_what_findings_say(store: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(store, result(first), NOW_US, "serve")
    case_id = only(store)
    stolen = ["acct_00003", "acct_00007"]
    handling.judge_accounts(
        store, case_id, stolen, Verdict.VICTIM, who="ann", why="keys on a paste site", now_us=NOW_US
    )
    fold(store, result(later(first, "sw-2", ["new"])), NOW_US + 1, "serve")
    case = store.case(case_id)
    assert (case.members, case.victims) == (39, 2)
    assert not set(stolen) & set(case.accounts)
    hit = reading.targets(store, case_id)
    assert not set(stolen) & set(hit.accounts)
    assert hit.left_out == {"victim": 2}


def test_a_victim_of_one_actor_ties_no_other_to_him_and_is_not_acted_on_there(lite: Store) -> None:
    fold(lite, result(campaign("sw-1", names(0, 5))), NOW_US, "serve")
    first = only(lite)
    handling.judge_accounts(
        lite, first, names(0, 3), Verdict.VICTIM, who="ann", why="stolen keys", now_us=NOW_US
    )
    fold(lite, result(campaign("sw-2", (*names(0, 3), *names(50, 60)))), NOW_US + 1, "serve")
    second = next(c for c in reading.queue(lite, reading.Filter(), NOW_US).cases if c.id != first)
    assert second.members == 13
    hit = reading.targets(lite, second.id)
    assert hit.accounts == names(50, 60)
    assert hit.left_out == {"victim in another case": 3}


@pytest.mark.slow
def test_a_campaign_of_accounts_that_were_all_cleared_is_known_again(lite: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(lite, result(first), NOW_US, "serve")
    case_id = only(lite)
    handling.judge_accounts(
        lite, case_id, first.accounts, Verdict.FALSE, who="ann", why="a class", now_us=NOW_US
    )
    assert lite.case(case_id).members == 0
    again = campaign("sw-2", names(0, 40), first_hour=20)
    assert fold(lite, result(again), NOW_US + 1, "serve").opened == []
    assert reading.targets(lite, case_id).accounts == ()


# --- between two full evaluations ---


@pytest.mark.slow
def test_followers_are_provisional_until_a_full_look_names_them_or_does_not(lite: Store) -> None:
    first = campaign("sw-1", names(0, 40))
    fold(lite, result(first), NOW_US, "serve")
    case_id = only(lite)
    at = world.START + timedelta(hours=20)
    new = [Follower(name, "sw-1", at, at, 4) for name in ("follower-1", "follower-2")]
    fold(lite, result(first, followers=new), NOW_US + 1, "serve")
    found, total = reading.members_of(lite, case_id, which="provisional")
    assert total == 2
    assert all(m.actor for m in found)
    before = everything(lite)
    fold(lite, result(first, followers=new), NOW_US + 2, "serve")
    assert everything(lite) == before
    fold(lite, result(later(first, "sw-2", ["follower-1"])), NOW_US + HOUR, "serve")
    assert "follower-1" in lite.case(case_id).accounts
    assert "follower-2" not in lite.case(case_id).accounts
    assert reading.members_of(lite, case_id, which="provisional")[1] == 0


# --- odd names, damage, properties ---


ODD = (
    "",
    "\x00",
    "\ud800lone",
    "\x1aescape",
    "pay\u202egnp",
    "<img src=x>",
    "a\nb",
    "%_\\",
    "é",
    "𝕏" * 400,
    "x" * 1_000_000,
)


@pytest.mark.slow
def test_odd_names_come_back_as_they_were_and_never_become_one(store: Store) -> None:
    odd = campaign("sw-\ud800", sorted(ODD))
    fold(store, result(odd), NOW_US, "serve \x00")
    case_id = only(store)
    assert set(store.case(case_id).accounts) == set(ODD)
    kept = latest(store, case_id).campaign
    assert replace(kept, links=()) == replace(odd, links=())
    assert set(kept.links) == set(odd.links)
    for name in ODD:
        assert [a.case.id for a in reading.account(store, name)] == [case_id]
    handling.judge_accounts(store, case_id, ODD[:3], Verdict.VICTIM, who="ann", why="odd", now_us=NOW_US)
    assert store.case(case_id).victims == 3


def test_evidence_is_read_back_as_it_was() -> None:
    for c in (campaign("sw-1", names(0, 9)), campaign("sw-\udfff", names(0, 2))):
        assert unpack(pack(c)) == c


def test_evidence_of_a_version_that_kept_no_tests_is_read() -> None:
    c = replace(campaign("sw-1", names(0, 3)), tested=(SettingTest("max_tokens", None, 9, 9, 0.1, 3, 0.08),))
    assert unpack(pack(c)) == c
    old = json.loads(zlib.decompress(pack(c)))
    del old["tested"]
    assert unpack(zlib.compress(json.dumps(old).encode())) == replace(c, tested=())


def test_the_digest_is_of_what_was_found_not_of_the_next_milestone() -> None:
    c = campaign("sw-1", names(0, 9))
    assert digest(c) == digest(replace(c, next_milestone=None))
    assert digest(c) != digest(replace(c, accounts=names(0, 8)))
    assert digest(c) == digest(replace(c, accounts=tuple(reversed(c.accounts))))


def test_a_failure_in_the_middle_leaves_no_trace(lite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(lite)

    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("stillwatch.cases.fold.keep", fail)
    with pytest.raises(RuntimeError):
        fold(lite, result(campaign("sw-1", names(0, 40))), NOW_US, "serve")
    assert everything(lite) == before


def test_inputs_and_source_are_kept_with_the_finding(lite: Store) -> None:
    fold(
        lite,
        result(campaign("sw-1", names(0, 40))),
        NOW_US,
        "march.parquet",
        inputs=[Input("march.parquet", "ab" * 32, 12)],
        settings={"false_cases_per_10k_account_days": 0.5},
    )
    found = latest(lite, only(lite))
    assert found.finding.source == "march.parquet"
    assert found.context["inputs"] == [{"name": "march.parquet", "sha256": "ab" * 32, "bytes": 12}]
    assert found.context["settings"] == {"false_cases_per_10k_account_days": 0.5}


def scans_in_any_order(path: Path, seed: int) -> None:
    """Add random findings over one small pool, twice; check that homes and counts agree."""
    rng = random.Random(seed)
    with Store(f"sqlite:///{path}") as store:
        for step in range(6):
            pool = list(names(0, 60))
            rng.shuffle(pool)
            found, at = [], 0
            for i in range(rng.randint(1, 3)):
                size = rng.randint(1, 25)
                accounts = tuple(sorted(pool[at : at + size]))
                at += size
                p = 10.0 ** -rng.randint(4, 9)
                found.append(campaign(f"sw-{step}-{i}", accounts, first_hour=step * 3, p=p))
            fold(store, result(*found), NOW_US + step, "serve")
            with store.reading() as db:
                m = tables.members.c
                homes = [home for home in db.execute(select(m.home)).scalars() if home is not None]
                assert len(homes) == len(set(homes))
                for row in db.execute(select(tables.cases)).mappings():
                    mine = db.execute(select(m.home).where(m.case_id == row["id"])).scalars()
                    assert row["members"] == sum(home is not None for home in mine)
            assert {a for c in found for a in c.accounts} <= set(homes)  # every named account has a home
            before = everything(store)
            fold(store, result(*found), NOW_US + step + 100, "serve")
            assert everything(store) == before
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_account_is_the_actors_in_one_case_at_most(tmp_path: Path, seed: int) -> None:
    scans_in_any_order(tmp_path / "cases.db", seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 200))
def test_every_account_is_the_actors_in_one_case_at_most_many_times(tmp_path: Path, seed: int) -> None:
    scans_in_any_order(tmp_path / "cases.db", seed)
