"""The ladder: the actions that findings require under the policy, and the accounts that are unaffected."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.cases import DetectorState
from stillwatch.gateway.control.ladder import (
    Proposal,
    WantedStep,
    climb,
    permitted_accounts,
    reconcile,
    standing,
)
from stillwatch.scan import Campaign, Harvest, Reason
from stillwatch.scan.parts import LONE_HARVEST, TEST_NAME
from stillwatch.terms import EnforcementStatus, Ladder, Permission, Rung, Step

ALARM = datetime(2026, 11, 25, 9, tzinfo=UTC)
NOW = int((ALARM + timedelta(hours=2)).timestamp() * 1e6)
SECRET = b"s" * 32
WATCH = Rung(Step.WATCH, act=True, name="ladder.rule 1")
THROTTLE = Rung(Step.THROTTLE, act=True, name="ladder.rule 2", exchanges_at_least=500)
BLOCK = Rung(Step.BLOCK, act=False, name="ladder.rule 3", p_value_at_most=1e-6)
LADDER = Ladder(rungs=(WATCH, THROTTLE, BLOCK), act_on_group_findings=True, max_accounts=5)
WILLING = Ladder(act_on_group_findings=True)


def campaign(*accounts: str, **more: object) -> Campaign:
    taken = Harvest(1_000, 500_000)
    named = accounts or ("a", "b", "c")
    made = Campaign("sw-1", ALARM, 1e-9, 30.0, named, taken, taken, (), (), firm=named)
    return replace(made, **more)  # type: ignore[arg-type]


def asked(
    found: Campaign, ladder: Ladder = LADDER, **more: object
) -> list[tuple[str, tuple[str, ...], bool]]:
    nothing = {"standings": {}, "decided": {}, "permitted": frozenset()}
    nothing |= {"secret": SECRET, "now_us": NOW}
    wanted = climb([found], ladder, **(nothing | more))  # type: ignore[arg-type]
    return [(w.step.name, w.accounts, w.due_us is not None) for w in wanted]


def test_the_strictest_step_that_acts_and_the_strictest_that_asks() -> None:
    assert asked(campaign()) == [("THROTTLE", ("a", "b", "c"), True), ("BLOCK", ("a", "b", "c"), False)]


def test_a_rung_asks_for_all_its_conditions() -> None:
    small = campaign(harvest=Harvest(499, 1))
    assert asked(small) == [("WATCH", ("a", "b", "c"), True), ("BLOCK", ("a", "b", "c"), False)]
    assert asked(replace(small, p_value=1e-5)) == [("WATCH", ("a", "b", "c"), True)]
    later = replace(WATCH, age_at_least_s=7_201)
    assert asked(small, replace(WILLING, rungs=(later,))) == []
    assert asked(small, replace(WILLING, rungs=(later,)), now_us=NOW + 1_000_000) == [
        ("WATCH", ("a", "b", "c"), True)
    ]


def test_a_permission_takes_accounts_out_and_a_permitted_campaign_whole() -> None:
    assert asked(campaign(suppressed_by="permission: synthetic-data")) == []
    assert asked(campaign(), WILLING, permitted=frozenset("ab")) == [("WATCH", ("c",), True)]


def test_who_is_loosely_tied_is_proposed() -> None:
    assert asked(campaign(firm=("a", "b")), WILLING) == [
        ("WATCH", ("a", "b"), True),
        ("WATCH", ("c",), False),
    ]


def test_a_detector_does_what_people_let_it_do() -> None:
    raised = campaign(reasons=(Reason(TEST_NAME, "they act as one", 30.0),))
    assert asked(raised, WILLING) == [("WATCH", ("a", "b", "c"), True)]
    assert asked(raised, WILLING, detectors={TEST_NAME: DetectorState.SHADOW}) == []
    assert asked(raised, WILLING, detectors={TEST_NAME: DetectorState.ALERT}) == [
        ("WATCH", ("a", "b", "c"), False)
    ]
    assert asked(raised, WILLING, detectors={TEST_NAME: DetectorState.ACT}) == asked(raised, WILLING)


def test_a_rule_may_be_of_lone_payers_or_of_groups_alone() -> None:
    """A single account's p-value is a rank: no rule for groups applies to it."""
    lone = campaign("a", p_value=0.03, reasons=(Reason(LONE_HARVEST, "it harvests alone", 12.0),))
    group = campaign(reasons=(Reason(TEST_NAME, "they act as one", 30.0),))
    verify = Rung(Step.VERIFY, act=True, name="ladder.rule 1", p_value_at_most=0.05, lone=True)
    block = Rung(Step.BLOCK, act=True, name="ladder.rule 2", p_value_at_most=0.05, lone=False)
    ladder = replace(WILLING, rungs=(verify, block))
    assert asked(lone, ladder) == [("VERIFY", ("a",), True)]
    assert asked(group, ladder) == [("BLOCK", ("a", "b", "c"), True)]
    assert asked(lone, Ladder(rungs=(replace(verify, lone=None),))) == [("VERIFY", ("a",), True)]


def test_without_the_explicit_setting_a_group_waits_for_a_person_and_a_lone_payer_does_not() -> None:
    lone = campaign("a", reasons=(Reason(LONE_HARVEST, "it harvests alone", 12.0),))
    group = campaign(reasons=(Reason(TEST_NAME, "they act as one", 30.0),))
    ladder = replace(LADDER, act_on_group_findings=False)
    assert asked(group, ladder) == [("BLOCK", ("a", "b", "c"), False)]
    assert asked(group, replace(ladder, rungs=(THROTTLE,))) == [("THROTTLE", ("a", "b", "c"), False)]
    assert asked(group, replace(ladder, rungs=(WATCH,))) == [("WATCH", ("a", "b", "c"), False)]
    assert asked(lone, ladder) == [("THROTTLE", ("a",), True), ("BLOCK", ("a",), False)]


def test_permissions_hold_for_an_account_or_an_organisation_until_they_end() -> None:
    given = [
        Permission("synthetic-data", "ciso", NOW + 1, account="a"),
        Permission("synthetic-data", "ciso", NOW, account="b"),
        Permission("red_team", "ciso", NOW + 1, org="Lab"),
    ]
    assert permitted_accounts(given, {"c": "Lab", "d": None, "e": "Else"}, NOW) == {"a", "c"}


def test_standings_only_rise() -> None:
    stands = {"a": EnforcementStatus(Step.BLOCK, 0), "b": EnforcementStatus(Step.WATCH, 0)}
    assert asked(campaign(), standings=stands) == [
        ("THROTTLE", ("b", "c"), True),
        ("BLOCK", ("b", "c"), False),
    ]


def test_a_step_on_too_many_accounts_waits_however_slowly_they_came() -> None:
    stands = {f"a{k}": EnforcementStatus(Step.THROTTLE, 0) for k in range(5)}
    wanted = asked(campaign(*(f"a{k}" for k in range(6))), standings=stands)
    assert wanted == [("WATCH", ("a5",), True), ("BLOCK", tuple(f"a{k}" for k in range(6)), False)]
    assert asked(
        campaign(*(f"a{k}" for k in range(6))), replace(WILLING, rungs=(THROTTLE,), max_accounts=5)
    ) == [("THROTTLE", tuple(f"a{k}" for k in range(6)), False)]


def test_watching_hits_nobody_and_has_no_limit() -> None:
    many = tuple(f"a{k:03}" for k in range(500))
    assert asked(campaign(*many), replace(WILLING, max_accounts=0)) == [("WATCH", many, True)]


def test_dry_run_takes_no_step() -> None:
    assert [acts for _, _, acts in asked(campaign(), replace(LADDER, dry_run=True))] == [False]


def test_where_a_person_decided_only_a_stricter_step_is_proposed() -> None:
    decided = {"a": Step.THROTTLE, "b": Step.CLEAR}
    assert asked(campaign(), decided=decided) == [
        ("THROTTLE", ("c",), True),
        ("THROTTLE", ("b",), False),
        ("BLOCK", ("a", "b", "c"), False),
    ]


def test_nothing_alters_answers_by_default() -> None:
    assert {rung.step for rung in Ladder().rungs} == {Step.WATCH}


def test_delay_and_jitter_hold_only_for_what_is_felt() -> None:
    late = replace(LADDER, delay_s=3_600, jitter_s=86_400)
    alone = {"standings": {}, "decided": {}, "permitted": frozenset(), "now_us": NOW}

    def due(step: Step, secret: bytes) -> int:
        rung = Rung(step, act=True, name="r")
        (want,) = climb([campaign()], replace(late, rungs=(rung,)), secret=secret, **alone)  # type: ignore[arg-type]
        assert want.due_us is not None
        return want.due_us

    alarm_us = int(ALARM.timestamp() * 1e6)
    assert due(Step.WATCH, SECRET) <= NOW
    throttle = due(Step.THROTTLE, SECRET)
    assert alarm_us + 3_600_000_000 <= throttle < alarm_us + (3_600 + 86_400) * 1_000_000
    assert throttle == due(Step.THROTTLE, SECRET) != due(Step.THROTTLE, b"t" * 32)


FIRST = WantedStep("sw-1", Step.THROTTLE, "r", "w", ("a", "b"), NOW + 60)


def test_a_growing_campaign_keeps_its_due_time_under_a_new_name() -> None:
    (new,) = reconcile([], [FIRST], now_us=NOW).new
    kept = replace(new, proposal=1)
    grown = replace(FIRST, campaign="sw-2", accounts=("a", "b", "c"), due_us=NOW + 90)
    found = reconcile([kept], [grown], now_us=NOW + 30)
    assert (found.new, found.gone) == ((), ())
    assert found.changed == (replace(kept, wanted=replace(grown, due_us=NOW + 60)),)


def test_the_same_again_writes_nothing() -> None:
    kept = Proposal(1, NOW, FIRST)
    again = replace(FIRST, why="the same with newer figures")
    assert reconcile([kept], [again], now_us=NOW) == reconcile([], [], now_us=NOW)


def test_what_is_no_longer_asked_for_is_gone_and_what_changes_kind_begins_anew() -> None:
    kept = Proposal(1, NOW, FIRST)
    assert reconcile([kept], [], now_us=NOW).gone == (kept,)
    waits = replace(FIRST, due_us=None)
    found = reconcile([kept], [waits], now_us=NOW)
    assert (found.gone, found.new) == ((kept,), (Proposal(0, NOW, waits),))


def test_a_mark_is_the_actor_s_own_and_keyed() -> None:
    want = WantedStep("sw-1", Step.MARK, "r", "w", ("a",), None)
    mark = standing(want, secret=SECRET, now_us=NOW).mark
    assert mark is not None
    assert mark != standing(want, secret=b"t" * 32, now_us=NOW).mark
    assert mark != standing(replace(want, campaign="sw-2"), secret=SECRET, now_us=NOW).mark
    assert standing(replace(want, step=Step.BLOCK), secret=SECRET, now_us=NOW).mark is None


steps = st.sampled_from([s for s in Step if s])
rungs = st.builds(
    Rung,
    step=steps,
    act=st.booleans(),
    name=st.just("r"),
    p_value_at_most=st.floats(0, 1),
    exchanges_at_least=st.integers(0, 2_000),
)
names = st.sampled_from("abcdefgh")


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.lists(st.frozensets(names, min_size=1), max_size=4),
    st.builds(
        Ladder,
        rungs=st.lists(rungs, max_size=4).map(tuple),
        act_on_group_findings=st.booleans(),
        max_accounts=st.integers(0, 8),
    ),
    st.dictionaries(names, steps.map(lambda s: EnforcementStatus(s, 0))),
    st.dictionaries(names, st.sampled_from(list(Step))),
    st.frozensets(names),
)
def test_whatever_the_findings_the_rules_hold(
    groups: list[frozenset[str]],
    ladder: Ladder,
    standings: dict[str, EnforcementStatus],
    decided: dict[str, Step],
    allowed: frozenset[str],
) -> None:
    found = [campaign(*sorted(g), id=f"sw-{k}") for k, g in enumerate(groups)]
    wanted = climb(
        found, ladder, standings=standings, decided=decided, permitted=allowed, secret=SECRET, now_us=NOW
    )
    for want in wanted:
        assert want.accounts
        assert allowed.isdisjoint(want.accounts)
        assert all(a not in standings or standings[a].step < want.step for a in want.accounts)
        assert all(decided.get(a, Step.CLEAR) < want.step or a not in decided for a in want.accounts)
        if want.due_us is not None:
            assert decided.keys().isdisjoint(want.accounts)
            assert ladder.act_on_group_findings  # all of these are groups
            assert want.step is Step.WATCH or len(want.accounts) <= ladder.max_accounts
            assert any(r.act and r.step == want.step for r in ladder.rungs)
