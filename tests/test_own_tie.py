"""An account's statement contains its own evidence, never its group's p-value."""

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from scan_world import Crowd, log_of, scene, sentence, stage
from stillwatch.actors import Actor, ActorContext
from stillwatch.report.explain import explain, print_explanation
from stillwatch.report.findings import EVIDENCE, load, write
from stillwatch.scan import AccountVerdict, OwnTie, ScanResult
from stillwatch.scan.measured import FIRM
from stillwatch.scan.own_tie import own_ties
from stillwatch.scan.parts import TEST_NAME
from stillwatch.scan.pipeline import scan_log
from test_report_world import result


def tied(actor: Actor, world: ActorContext) -> dict[str, OwnTie]:
    unnamed = np.ones(len(world.log.accounts), bool)
    unnamed[actor.accounts] = False
    return {world.log.accounts[a]: tie for a, tie in own_ties(actor, world, unnamed).items()}


def pool(wordings: dict[str, list[str]], people: int = 40) -> tuple[Actor, ActorContext]:
    """Accounts that each send their wordings ten times, among people who send other texts."""
    crowd = Crowd(3)
    crowd.people("h", people, lambda k: range(0, 200, 20))
    for k, (account, templates) in enumerate(wordings.items()):
        for n in range(10):
            for template in templates:
                crowd.says(account, 150 + n + k / 100, f"{template} {sentence(crowd.rng, 3)}")
    return stage(crowd, list(wordings))


def test_it_is_a_rank_among_the_accounts_that_no_finding_names() -> None:
    shared = sentence(Crowd(11).rng, 14)
    ties = tied(*pool({f"p{k}": [shared] for k in range(6)}))
    assert set(ties) == {f"p{k}" for k in range(6)}
    for tie in ties.values():
        assert (tie.carrying, tie.sent, tie.as_strong) == (10, 10, 0)
        assert tie.markers >= 2
        assert tie.p_value == 1 / (tie.unnamed + 1)
        assert 30 <= tie.unnamed <= 40  # accounts active since then


def test_wording_that_too_few_others_of_the_group_share_ties_nobody() -> None:
    """Four accounts share a template: each has three others. With three accounts each has two."""
    rng = Crowd(12).rng
    wide, narrow = sentence(rng, 14), sentence(rng, 14)
    ties = tied(*pool({f"p{k}": [wide] for k in range(4)} | {f"q{k}": [narrow] for k in range(3)}))
    assert all(ties[f"p{k}"].p_value is not None for k in range(4))
    for k in range(3):
        assert (ties[f"q{k}"].carrying, ties[f"q{k}"].p_value) == (0, None)


def test_where_the_group_has_no_wording_of_its_own_there_is_no_p_value() -> None:
    actor, world = pool({f"p{k}": [sentence(Crowd(20 + k).rng, 14)] for k in range(6)})
    ties = tied(replace(actor, own_fingerprints=np.zeros(0, np.int64)), world)
    assert [tie.p_value for tie in ties.values()] == [None] * 6


def test_unnamed_users_of_the_same_wording_weaken_it() -> None:
    shared = sentence(Crowd(13).rng, 14)
    actor, world = pool({f"p{k}": [shared] for k in range(12)})
    fewer = replace(actor, accounts=actor.accounts[:9])
    for tie in tied(fewer, world).values():
        assert tie.p_value == (1 + 3) / (1 + tie.unnamed)


@pytest.fixture(scope="module")
def scanned() -> ScanResult:
    planted = scene(1, people=300)
    return scan_log(log_of(planted.table), planted.accounts)


@pytest.mark.slow
def test_an_account_in_a_finding_carries_its_own_p_value(scanned: ScanResult, tmp_path: Path) -> None:
    (found,) = scanned.campaigns
    mine = {v.account: v.p_value for v in scanned.accounts if v.campaign == found.id}
    assert mine == {a: found.own_ties[a].p_value for a in found.accounts}
    for p_value in mine.values():
        assert p_value is None or p_value >= 1 / (scanned.scanned.accounts - len(mine) + 1)
        assert p_value != found.p_value
    write(scanned, tmp_path)
    read = load(tmp_path)
    assert read.campaigns[0].own_ties == found.own_ties


@pytest.mark.slow
def test_a_report_of_an_earlier_version_gives_no_account_its_group_s_p_value(
    scanned: ScanResult, tmp_path: Path
) -> None:
    (found,) = scanned.campaigns
    old = tuple(replace(v, p_value=found.p_value) if v.campaign else v for v in scanned.accounts)
    write(replace(scanned, accounts=old), tmp_path)
    evidence = json.loads((tmp_path / EVIDENCE).read_text())
    for one in evidence["campaigns"]:
        del one["own_ties"]
    (tmp_path / EVIDENCE).write_text(json.dumps(evidence))
    read = load(tmp_path)
    assert {v.p_value for v in read.accounts if v.campaign} == {None}
    assert [v.p_value for v in read.accounts if not v.campaign] == [
        pytest.approx(v.p_value) for v in sorted(old, key=lambda v: v.account) if not v.campaign
    ]


def explained(made: ScanResult, account: str) -> str:
    console = Console(width=300, record=True, file=StringIO())
    print_explanation(explain(made, account), console)
    return console.export_text()


def test_explain_keeps_the_account_s_evidence_and_the_group_s_apart() -> None:
    made = result(300)
    group = next(c for c in made.campaigns if c.id == "c-b20d55")
    account = "org1-key-05"
    raised = replace(group.reasons[0], detector=TEST_NAME)
    group = replace(
        group,
        reasons=(raised, *group.reasons[1:]),
        own_ties={account: OwnTie(7, 9, 21, 2, 599)},
        firm=(account,),
    )
    verdict = AccountVerdict(account, group.own_ties[account].p_value, group.id, None, 12, "")
    made = replace(
        made,
        campaigns=(group,),
        accounts=(verdict, *(v for v in made.accounts if v.account != account)),
    )
    own, _, rest = explained(made, account).partition("\nCampaign c-b20d55")
    for words in (
        "p-value 0.005",
        "2 of 599 accounts that no finding names",
        "7 of the 9 exchanges",
        "21 pieces",
        "observed by us",
        "Level: firm",
        re.search(r"[\d,]+ of [\d,]+ were honest", FIRM)[0],
    ):
        assert words in own
    assert "the group's, not any account's" in rest
    weak = replace(made, campaigns=(replace(group, own_ties={account: OwnTie(0, 0, 0, 0, 599)}, firm=()),))
    own, _, _ = explained(weak, account).partition("\nCampaign c-b20d55")
    assert "no p-value of its own" in own
    assert "Level: named, not firm" in own
