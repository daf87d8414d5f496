"""Groups by new settings: a pool without common wording, and honest people who adopt the same settings."""

import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from scan_world import START, Crowd, honest, log_of, sentence, words
from stillwatch.actors.behaviour import EmergingRows
from stillwatch.scan import ScanResult
from stillwatch.scan.new_settings import NAME, first_uses
from stillwatch.scan.parts import NEW_SETTINGS, PARTS
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.stats.dealing import deal

SETTINGS = {"max_tokens": 18_000, "temperature": 0.9}
DAYS = 10.0


def crowd_of(seed: int, people: int = 300) -> Crowd:
    crowd = Crowd(seed)
    honest(crowd, people, DAYS)
    return crowd


def newcomers(
    crowd: Crowd,
    many: int,
    *,
    own_subjects: bool,
    each: int = 30,
    record: dict[str, Any] | None = None,
    **columns: Any,
) -> list[str]:
    """Accounts that adopt SETTINGS on day 6. They share no wording; each has its own subject, or none."""
    rng = random.Random(crowd.seed + 1)
    columns = {"model": "mira-think", "user_agent": "node/4", **SETTINGS, **columns}
    names = [f"new-{rng.getrandbits(40):010x}" for _ in range(many)]
    for k, name in enumerate(names):
        subject = words(1000 + k, 40)
        for n in range(each):
            text = " ".join(rng.choices(subject, k=14)) if own_subjects else sentence(rng, 14)
            hour = 24 * (6.0 + 3.5 * (n + rng.random()) / each)
            crowd.says(name, hour, text, status=200, output_tokens=900, turn=1, **columns)
        made = START + timedelta(days=rng.uniform(-200, 5))
        crowd.known.append({"account": name, "payment": f"card-{name}", "created": made, **(record or {})})
    return names


def scanned(crowd: Crowd, parts: frozenset[str] = PARTS) -> ScanResult:
    return scan_log(log_of(crowd.table()), crowd.accounts(), options=Options(threads=1, parts=parts))


def named_accounts(result: ScanResult) -> set[str]:
    return {account for campaign in result.campaigns for account in campaign.accounts}


@pytest.mark.slow
@pytest.mark.parametrize("many", [5, 8, 20])
def test_a_pool_without_shared_wording_is_found_by_its_settings(many: int) -> None:
    crowd = crowd_of(many)
    pool = set(newcomers(crowd, many, own_subjects=False))
    assert not named_accounts(scanned(crowd, PARTS - {NEW_SETTINGS})), "wording alone finds it not"
    result = scanned(crowd)
    assert named_accounts(result) == pool
    (found,) = result.campaigns
    assert "output limit (18000) and temperature (0.9)" in found.reasons[0].text
    assert found.reasons[0].detector == NAME
    assert 5 <= (found.reasons[0].n or 0) <= many
    assert found.alarm_at < START + timedelta(days=9)


@pytest.mark.slow
def test_a_scan_of_the_log_so_far_says_the_same() -> None:
    crowd = crowd_of(3)
    newcomers(crowd, 8, own_subjects=False)
    whole = scanned(crowd).campaigns[0]
    crowd.rows = [row for row in crowd.rows if row["time"] < whole.alarm_at + timedelta(hours=1)]
    assert scanned(crowd).campaigns[0].alarm_at == whole.alarm_at


@pytest.mark.slow
def test_who_had_the_settings_before_is_not_named_beside_a_pool_that_copies_them() -> None:
    crowd = crowd_of(9)
    bystander = crowd.rows[0]["account"]
    for row in crowd.rows:
        if row["account"] == bystander:
            row |= SETTINGS
    for k in range(20):
        crowd.says(bystander, 6 + 10 * k, status=200, output_tokens=900, user_agent="node/4", **SETTINGS)
    pool = set(newcomers(crowd, 24, own_subjects=False))
    assert named_accounts(scanned(crowd)) == pool


@pytest.mark.slow
@pytest.mark.parametrize("many", [5, 8, 40])
def test_strangers_with_subjects_of_their_own_are_not_named(many: int) -> None:
    crowd = crowd_of(many)
    newcomers(crowd, many, own_subjects=True)
    assert not named_accounts(scanned(crowd))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "record", "lead"),
    [
        ({"user_agent": "inkwell-plugin/2.1"}, {}, ""),
        ({}, {"email_domain": "uni.ac.at"}, "teaching institutions"),
        ({}, {"payment": "sponsor"}, "one payment instrument"),
    ],
    ids=["users of one product", "a class", "an event"],
)
def test_one_source_with_an_honest_explanation_is_not_named(
    columns: dict[str, Any], record: dict[str, Any], lead: str
) -> None:
    crowd = crowd_of(5)
    users = set(newcomers(crowd, 12, own_subjects=False, record=record, **columns))
    result = scanned(crowd)
    assert not named_accounts(result)
    # users of templates among the people are leads by content: invented words depend on no account
    assert any(lead in one.text for one in result.leads if users.intersection(one.accounts)) == bool(lead)


@pytest.mark.slow
@pytest.mark.parametrize(
    "columns",
    [{"max_tokens": 1024, "temperature": 0.7}, {"max_tokens": None, "temperature": None}],
    ids=["settings that people had before", "no settings"],
)
def test_settings_that_are_not_new_make_no_group(columns: dict[str, Any]) -> None:
    crowd = crowd_of(6)
    newcomers(crowd, 10, own_subjects=False, **columns)
    assert not named_accounts(scanned(crowd))


@pytest.mark.slow
def test_a_log_without_user_agents_cannot_tell_software_and_makes_no_group() -> None:
    crowd = crowd_of(7)
    newcomers(crowd, 10, own_subjects=False)
    for row in crowd.rows:
        row["user_agent"] = None
    assert not named_accounts(scanned(crowd))


def test_first_uses_are_those_of_each_tenant_and_value() -> None:
    rng = np.random.default_rng(3)
    tenant = rng.integers(0, 9, 500).astype(np.int32)
    code, value_of = rng.integers(0, 12, 500).astype(np.int32), rng.integers(-1, 5, 12)
    rows = EmergingRows(*deal(tenant, 11), np.arange(500), np.zeros(0, np.int64))
    uses = [(int(p), int(value_of[c])) for p, c in zip(tenant, code, strict=True)]
    expected = [k for k, use in enumerate(uses) if use[1] >= 0 and use not in uses[:k]]
    assert first_uses(rows, code, value_of).tolist() == expected
