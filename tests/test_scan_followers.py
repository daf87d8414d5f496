"""Accounts that take up a campaign's wording and do little else: a later pool is named, strangers are not."""

import random

import pytest

from scan_world import Crowd, honest, log_of, pool, sentence
from stillwatch.scan.pipeline import Options, scan_log

FRAMES = ["weigh each of the following replies with care | state the better one and nothing besides"]


def users(crowd: Crowd, name: str, like: bool) -> set[str]:
    """Eight customers who send only the campaign's template, from its third day on."""
    rng, taken = random.Random(name), set()
    for k in range(8):
        account = f"{name}-{k}"
        own = {"model": "mira-think", "temperature": 0.7, "max_tokens": 4096}
        if not like:
            own = {
                "model": rng.choice(["mira-small", "mira-base"]),
                "temperature": 0.0,
                "max_tokens": 256 + k,
            }
        for _ in range(24):
            head, _, tail = FRAMES[0].partition(" | ")
            text = f"{head} {sentence(rng, 15)} {tail}"
            crowd.says(
                account, 24 * (8 + 2 * rng.random()), text, status=200, output_tokens=400, turn=1, **own
            )
        crowd.known.append({"account": account, "payment": f"{account}-card"})
        taken.add(account)
    return taken


@pytest.mark.slow
@pytest.mark.parametrize("like", [True, False], ids=["its settings", "settings of their own"])
def test_who_takes_the_wording_up_is_named_only_with_a_setting_of_the_campaign(like: bool) -> None:
    crowd = Crowd(5)
    honest(crowd, 250, days=11.0)
    planted = set(pool(crowd, "p", begin_day=6.0, days=5.0, stock=FRAMES))
    later = users(crowd, "later", like)
    crowd.rows.sort(key=lambda row: row["time"])
    result = scan_log(log_of(crowd.table()), crowd.accounts(), options=Options(threads=1))
    named = {account for campaign in result.campaigns for account in campaign.accounts}
    assert len(named & planted) >= 0.9 * len(planted)
    assert len(named & later) == (len(later) if like else 0)
