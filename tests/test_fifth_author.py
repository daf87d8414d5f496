"""The fifth author's world: its parts, without the corpora."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import fifth_author as fifth
from fourth_author import Account, Request, Settings, fail_and_retry, new_account

pytestmark = pytest.mark.slow  # a world is composed once, and its script does not change


def account(name: str, **changes: object) -> Account:
    settings = Settings("lumen-4", 0.0, 8192, True)
    one = new_account(np.random.default_rng(1), name, "mcp_agent", settings, "agent/1", 100)
    one.start = 0.0
    return replace(one, state={}, **changes)


@pytest.mark.parametrize("product", fifth.PRODUCTS, ids=lambda product: product.kind)
def test_every_product_carries_the_texts_of_its_person(product: fifth.Product) -> None:
    rng = np.random.default_rng(2)
    own = {name: choices[0] for name, choices in product.own.items()}
    pieces = [("rivets hold the hull", "yard/hull.md"), ("the keel is oak", "yard/keel.md")]
    for late in (False, True):
        unit = fifth.render(rng, product, own, pieces[: product.parts[1]], late)
        assert "rivets hold the hull" in unit[0].prompt
        assert "{" not in (unit[0].system or "")
        assert product.parts[1] == 1 or "the keel is oak" in unit[1].prompt


def test_settings_change_on_their_days_and_a_retired_model_is_answered_by_its_heir() -> None:
    rng, log = np.random.default_rng(3), fifth.ChangingLog(1)
    one = account("x")
    one.state["changes"] = [
        (4.0, {"max_tokens": 16000, "user_agent": "agent/2"}),
        (12.0, {"model": "lumen-3"}),
    ]
    for day in (3.0, 5.0, 13.0):
        log.add(rng, one, day, [Request("hello")])
    assert [row["max_tokens"] for row in log.rows] == [8192, 16000, 16000]
    assert [row["user_agent"] for row in log.rows] == ["agent/1", "agent/2", "agent/2"]
    assert [row["model"] for row in log.rows] == ["lumen-4", "lumen-4", "lumen-4-lite"]


def test_a_firm_that_balances_its_load_asks_again_at_its_own_accounts_only() -> None:
    rng, log = np.random.default_rng(4), fifth.ChangingLog(1)
    pool = [account(f"firm {at}") for at in range(5)]
    others = [account(f"other {at}") for at in range(5)]
    for one in pool:
        one.state["pool"] = "balanced 0"
    for at in range(2000):
        log.add(rng, (pool + others)[at % 10], at / 150, [Request(f"order {at}")])
    accounts = {one.name: one for one in pool + others}
    pools = {"balanced 0": [one.name for one in pool], "mcp_agent": [one.name for one in others]}
    fail_and_retry(log, accounts, pools, {}, ((3.0, 5.0),), {"balanced 0": 1.0, "mcp_agent": 0.0})
    failed = {row["prompt"]: row["account"] for row in log.rows if row["status"] != 200}
    again = [row for row in log.rows if row["status"] == 200 and row["prompt"] in failed]
    firm = set(pools["balanced 0"])
    assert len(again) > 50
    for row in again:
        before = failed[row["prompt"]]
        assert (row["account"] in firm) == (before in firm)
        assert (row["account"] != before) == (before in firm)


def test_no_two_orders_for_kernels_are_alike() -> None:
    orders = fifth.kernels(np.random.default_rng(5), 800)
    assert len(set(orders)) == 800
    assert fifth.bare_trace(
        "Imagine it.\n\n[Task]\nWhy?\n\n[Completed response]\nSo.\n\n[Internal reasoning]"
    ).startswith("Why?")


def test_same_settings_change_nothing_but_the_settings_of_the_named_campaigns() -> None:
    from same_settings import SETTINGS, with_same_settings

    table = pa.table(
        {
            "exchange_id": ["a", "b", "c", "d"],
            "model": ["m", "n", "m", "n"],
            "max_tokens": pa.array([1, None, 1, 9], pa.int32()),
            "temperature": [0.5, None, 0.5, 1.0],
            "prompt": ["w", "x", "y", "z"],
        }
    )
    found = with_same_settings(table, {"a": "g1", "b": "g1", "c": "g1"})
    assert found.schema == table.schema
    assert found.drop_columns(list(SETTINGS)) == table.drop_columns(list(SETTINGS))
    assert found.to_pylist()[1] == table.to_pylist()[1] | {"model": "m", "max_tokens": 1, "temperature": 0.5}
    assert found.to_pylist()[3] == table.to_pylist()[3]
