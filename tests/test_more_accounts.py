"""A finding's wording and settings name the rest of its pool, and no account that lacks one of the two."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from scan_world import Crowd, honest, log_of, sentence, stage
from stillwatch.actors import ActorContext
from stillwatch.scan.more_accounts import KnownGroup, MoreAccounts, more_accounts
from stillwatch.scan.pipeline import Options, scan_log

FRAME = "weigh the two replies below with care and state {} the better one and nothing besides"
OWN: dict[str, Any] = {"model": "mira-think", "temperature": 0.7, "max_tokens": 4096}


def send(
    crowd: Crowd, prefix: str, many: int, begin_day: float = 0.0, frame: str = FRAME, **columns: Any
) -> list[str]:
    """Accounts that send one template around a text of their own, each twelve times within eight days."""
    rng, names = random.Random(prefix), [f"{prefix}-{k:02}" for k in range(many)]
    for name in names:
        for _ in range(12):
            text = frame.format(sentence(rng, 12)) if frame else sentence(rng, 30)
            crowd.says(
                name, 24 * (begin_day + 8 * rng.random()), text, status=200, output_tokens=400, **columns
            )
        crowd.known.append({"account": name, "payment": f"{name}-card"})
    return names


def sought(crowd: Crowd, known: Sequence[str]) -> tuple[ActorContext, MoreAccounts | None]:
    crowd.rows.sort(key=lambda row: row["time"])
    actor, context = stage(crowd, known)
    (more,) = more_accounts(context, [KnownGroup(actor.accounts, actor.rows)])
    return context, more


def beyond(crowd: Crowd, known: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the accounts outside a group that send its wording: all of them, and those with its settings."""
    context, more = sought(crowd, known)
    if more is None:
        return set(), set()
    return names_of(context, more.tenants), names_of(context, more.tenants[more.alike])


def names_of(context: ActorContext, codes: np.ndarray) -> set[str]:
    return {context.log.accounts[int(code)] for code in codes}


@pytest.fixture(scope="module")
def others() -> Crowd:
    made = Crowd(7)
    honest(made, 250, days=9.0)
    return made


@pytest.fixture
def crowd(others: Crowd) -> Crowd:
    """The other accounts, as a crowd that a test may add to."""
    made = Crowd(7, [*others.rows], [*others.known])
    made.rng.setstate(others.rng.getstate())
    return made


def test_the_rest_of_a_pool_is_found_from_a_few_of_its_accounts(crowd: Crowd) -> None:
    pool = send(crowd, "pool", 30, **OWN)
    assert beyond(crowd, pool[:6]) == (set(pool[6:]), set(pool[6:]))


@pytest.mark.parametrize("setting", [{"temperature": 0.0}, {"max_tokens": 512}])
def test_one_setting_alone_is_not_enough(crowd: Crowd, setting: dict[str, Any]) -> None:
    pool, users = send(crowd, "pool", 8, **OWN), send(crowd, "user", 8, **OWN | setting)
    assert beyond(crowd, pool[:6]) == (set(pool[6:] + users), set(pool[6:]))


@pytest.mark.parametrize("default", ["temperature", "max_tokens"])
def test_settings_that_the_pool_leaves_at_the_default_name_nobody(crowd: Crowd, default: str) -> None:
    pool = send(crowd, "pool", 30, **OWN | {default: None})
    assert beyond(crowd, pool[:6]) == (set(), set())


def test_wording_that_many_others_send_names_nobody(crowd: Crowd) -> None:
    pool = send(crowd, "pool", 12, **OWN)
    send(crowd, "public", 60, **OWN | {"temperature": 1.0})
    assert beyond(crowd, pool[:6])[1] == set()


def test_the_settings_without_the_wording_name_nobody(crowd: Crowd) -> None:
    pool = send(crowd, "pool", 12, **OWN)
    send(crowd, "other", 12, frame="", **OWN)
    assert beyond(crowd, pool[:6]) == (set(pool[6:]), set(pool[6:]))


def test_of_several_groups_each_gets_its_own(crowd: Crowd) -> None:
    pool = send(crowd, "pool", 12, **OWN)
    second = send(
        crowd, "second", 12, frame="as a strict marker of essays grade {} from one to ten in words", **OWN
    )
    drawn = send(crowd, "drawn", 12, frame="", **OWN)
    crowd.rows.sort(key=lambda row: row["time"])
    _, context = stage(crowd, pool[:6])
    code = {name: k for k, name in enumerate(context.log.accounts)}
    groups = []
    for names in (pool[:6], second[:6], drawn[:6]):
        accounts = np.array(sorted(code[name] for name in names), np.int32)
        groups.append(KnownGroup(accounts, context.rows_of(accounts)))
    first, other, none = more_accounts(context, groups)
    assert first is not None
    assert other is not None
    assert names_of(context, first.tenants) == set(pool[6:])
    assert names_of(context, other.tenants) == set(second[6:])
    assert none is None
    assert more_accounts(context, []) == []


@pytest.mark.parametrize(("begin", "later"), [(4.0, False), (0.0, True)], ids=["after them", "with them"])
def test_who_had_the_wording_long_before_the_group_is_told_apart(
    crowd: Crowd, begin: float, later: bool
) -> None:
    """A pool that sends a program's template must not add the program's users."""
    send(crowd, "user", 8, **OWN)
    pool = send(crowd, "pool", 6, begin_day=begin, **OWN)
    _, more = sought(crowd, pool)
    assert more is not None
    assert len(more.tenants) == 8
    assert more.alike.all()
    assert bool(more.later.any()) is later


@pytest.mark.slow
def test_refused_work_names_a_part_and_its_wording_the_rest(crowd: Crowd) -> None:
    """The pool's wording was in use when the log began, so that no other rule can find it."""
    pool = send(crowd, "pool", 26, **OWN)
    readers = send(crowd, "reader", 4, **OWN | {"temperature": 0.2})
    rng = random.Random(3)
    part = pool[:12]
    for row in rng.sample([row for row in crowd.rows if row["account"] in part], 40):
        row["status"] = 429
        again = {
            "exchange_id": f"again-{row['exchange_id']}",
            "time": row["time"] + timedelta(seconds=rng.uniform(5, 60)),
        }
        crowd.rows.append(
            row | again | {"account": rng.choice([a for a in part if a != row["account"]]), "status": 200}
        )
    crowd.rows.sort(key=lambda row: row["time"])
    result = scan_log(log_of(crowd.table()), crowd.accounts(), options=Options(threads=1))
    (case,) = result.campaigns
    assert case.reasons[0].detector == "failover"
    assert set(case.accounts) == set(pool)
    assert set(case.own_reactions) <= set(part)
    assert not set(case.firm) - set(part)  # wording and settings are the client's choice
    assert not set(readers) & set(case.accounts)
    taken_up = [case.named_at[a] for a in part if a in case.own_reactions]
    assert min(case.named_at[a] for a in pool[12:]) >= min(taken_up)
