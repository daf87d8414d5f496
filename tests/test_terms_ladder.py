"""The action after a finding: the strictest rule that fits, a person if the policy requires one, a delay."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.terms import Ladder, Rung, Step
from stillwatch.terms.ladder import LadderCampaign, proposals
from stillwatch.terms.load import default_text, loads

KEY = b"k" * 32
ALARM_US = 1_790_000_000_000_000
FOUND = LadderCampaign("sw-1", ALARM_US, p_value=1e-5, accounts=10, exchanges=500, output_tokens=100_000)
LONE = replace(FOUND, accounts=1, lone=True)


def rung(step: Step, act: bool = True, **conditions: object) -> Rung:
    return Rung(step, act, f"rule {step.name.lower()}", **conditions)  # type: ignore[arg-type]


def steps(ladder: Ladder, found: LadderCampaign = FOUND, now_us: int = ALARM_US) -> list[tuple[Step, bool]]:
    return [(one.step, one.automatic) for one in proposals(ladder, found, now_us, KEY)]


def test_by_default_a_group_finding_is_only_proposed_and_a_lone_payer_only_watched() -> None:
    assert steps(Ladder()) == [(Step.WATCH, False)]
    assert steps(Ladder(), LONE) == [(Step.WATCH, True)]
    shipped = loads(default_text()).ladder
    assert steps(shipped) == [(Step.THROTTLE, False)]
    assert steps(shipped, replace(FOUND, exchanges=99)) == [(Step.WATCH, False)]
    assert steps(shipped, LONE) == [(Step.WATCH, True), (Step.THROTTLE, False)]


@pytest.mark.parametrize("step", list(Step)[1:])
def test_mode_act_does_not_reach_groups_without_the_owner_s_explicit_word(step: Step) -> None:
    text = "version = 1\n[ladder]\nmode = 'act'\nalter_replies = true\n[[ladder.rule]]\n"
    text += f"step = '{step.name.lower()}'"
    assert steps(loads(text).ladder) == [(step, False)]
    (only,) = proposals(loads(text).ladder, FOUND, ALARM_US, KEY)
    assert "a group finding alone is only proposed" in only.why
    assert steps(loads(text).ladder, LONE) == [(step, True)]
    willing = text.replace("[ladder]", "[ladder]\nact_on_group_findings = true")
    assert steps(loads(willing).ladder) == [(step, True)]


def test_the_strictest_that_fits() -> None:
    ladder = Ladder(
        act_on_group_findings=True,
        rungs=(
            rung(Step.WATCH),
            rung(Step.THROTTLE, p_value_at_most=1e-4),
            rung(Step.STRIP, exchanges_at_least=501),
            rung(Step.MARK, output_tokens_at_least=100_001),
            rung(Step.BLOCK, age_at_least_s=60),
        ),
    )
    assert steps(ladder) == [(Step.THROTTLE, True)]
    assert steps(ladder, replace(FOUND, p_value=1e-3)) == [(Step.WATCH, True)]
    assert steps(ladder, replace(FOUND, exchanges=501)) == [(Step.STRIP, True)]
    assert steps(ladder, replace(FOUND, output_tokens=100_001)) == [(Step.MARK, True)]
    assert steps(ladder, now_us=ALARM_US + 60_000_000) == [(Step.BLOCK, True)]
    assert steps(Ladder(rungs=(rung(Step.BLOCK, p_value_at_most=0),))) == []


def test_a_step_that_hits_many_or_is_only_rehearsed_is_proposed() -> None:
    ladder = Ladder(rungs=(rung(Step.WATCH), rung(Step.BLOCK)), act_on_group_findings=True, max_accounts=9)
    assert steps(ladder) == [(Step.WATCH, True), (Step.BLOCK, False)]
    (_, block) = proposals(ladder, FOUND, ALARM_US, KEY)
    assert block.why == (
        "rule block: p = 1e-05, 500 exchanges, 100,000 output tokens, 0 s after the alarm; "
        "only proposed: it affects 10 accounts, more than max_accounts = 9"
    )
    assert steps(replace(ladder, max_accounts=10)) == [(Step.BLOCK, True)]
    assert steps(replace(ladder, dry_run=True)) == [(Step.BLOCK, False)]


def test_delays_are_the_same_at_every_look_and_lie_where_they_should() -> None:
    ladder = Ladder(
        rungs=(rung(Step.WATCH), rung(Step.BLOCK)), act_on_group_findings=True, delay_s=100, jitter_s=50
    )
    dues = set()
    for number in range(200):
        found = replace(FOUND, campaign=f"sw-{number}")
        (one,) = proposals(ladder, found, ALARM_US, KEY)
        (again,) = proposals(ladder, found, ALARM_US + 10**9, KEY)
        assert one.due_us == again.due_us
        dues.add(one.due_us - ALARM_US)
    assert min(dues) >= 100_000_000
    assert 140_000_000 < max(dues) < 150_000_000
    assert len(dues) == 200
    (other,) = proposals(ladder, FOUND, ALARM_US, b"another key")
    assert other.due_us not in {proposals(ladder, FOUND, ALARM_US, KEY)[0].due_us}
    watching = proposals(Ladder(act_on_group_findings=True, delay_s=100, jitter_s=50), FOUND, ALARM_US, KEY)
    assert watching[0].due_us == ALARM_US  # it has no noticeable effect


RUNGS = st.lists(
    st.builds(
        rung,
        st.sampled_from(list(Step)[1:]),
        st.booleans(),
        p_value_at_most=st.floats(0, 1),
        exchanges_at_least=st.integers(0, 1000),
    ),
    max_size=5,
).map(tuple)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(RUNGS, st.integers(0, 20), st.booleans(), st.booleans(), st.floats(0, 1), st.integers(0, 1000))
def test_what_is_taken_was_allowed_and_more_evidence_never_softens_it(
    rungs: tuple[Rung, ...], max_accounts: int, dry_run: bool, groups: bool, p_value: float, exchanges: int
) -> None:
    ladder = Ladder(rungs, act_on_group_findings=groups, max_accounts=max_accounts, dry_run=dry_run)
    found = replace(FOUND, p_value=p_value, exchanges=exchanges)
    wanted = proposals(ladder, found, ALARM_US, KEY)
    assert len(wanted) <= 2
    by_name = {one.name: one for one in rungs}
    for one in wanted:
        if one.automatic:
            assert any(r.act and r.step == one.step for r in rungs)
            assert groups
            assert not dry_run
            assert one.step is Step.WATCH or found.accounts <= max_accounts
        assert one.rule in by_name
    if len(wanted) == 2:
        assert wanted[0].automatic
        assert not wanted[1].automatic
        assert wanted[1].step > wanted[0].step
    worse = proposals(ladder, replace(found, p_value=0, exchanges=1000), ALARM_US, KEY)
    assert max((one.step for one in worse), default=0) >= max((one.step for one in wanted), default=0)
