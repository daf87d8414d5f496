"""The planner: its formula, its minimum, and that its prediction holds when the test itself is run."""

import json

import numpy as np
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.prove import ProveError
from stillwatch.prove.coin.randomise import count_leans, thrown_again
from stillwatch.prove.planner import floor, has_power, needed_coins, smallest_effect


@pytest.mark.slow
def test_the_formula_and_the_floor() -> None:
    assert floor(1e-5) == 17
    one = needed_coins(0.3, 1e-5, 0.8)
    by_hand = ((norm.isf(1e-5) + norm.ppf(0.8)) / 0.3) ** 2
    assert by_hand <= one.coins <= 1.35 * by_hand
    assert one.simulated is not None
    assert one.simulated >= 0.8
    assert needed_coins(9.0, 1e-5, 0.8).coins >= 17
    assert needed_coins(0.3, 1e-5, 0.8, actors=10).coins > one.coins
    huge = needed_coins(0.001, 1e-5, 0.8)
    assert huge.simulated is None
    assert huge.coins > 10_000_000
    assert smallest_effect(one.coins, 1e-5) <= 0.3


@pytest.mark.slow
def test_the_promise_holds_for_the_test_as_it_is_run() -> None:
    plan = needed_coins(0.8, 1e-3, 0.8)
    random = np.random.default_rng(5)
    found = 0
    for seed in range(60):
        counts, towards = count_leans(random.normal(0.8, 1.0, plan.coins))
        found += thrown_again(counts, towards, seed, 20_000)[0] <= 1e-3
    assert found / 60 > 0.8 - 3 * (0.16 / 60) ** 0.5
    assert has_power(0.8, plan.coins + 10, 1e-3)
    assert not has_power(0.8, 9, 1e-3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"effect": 0.0}, "effect 0.0: give one above 0"),
        ({"effect": float("nan")}, "give one above 0"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"power": 1.0}, "power is 1.0"),
        ({"actors": 0}, "there is at least one"),
    ],
)
def test_what_no_test_can_have_is_refused(given: dict[str, float], told: str) -> None:
    with pytest.raises(ProveError, match=told):
        needed_coins(**({"effect": 0.3, "alpha": 1e-5, "power": 0.8} | given))


@pytest.mark.slow
def test_the_verb() -> None:
    done = CliRunner().invoke(
        app, ["prove", "plan", "--effect", "0.5", "--share", "0.1", "--tokens", "300", "--json"]
    )
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["needed"]
    assert row["exchanges"] == 10 * row["coins"]
    assert row["extra_tokens"] == 300 * row["coins"]
    done = CliRunner().invoke(app, ["prove", "plan", "--coins", "10"])
    assert "cannot reach" in done.stdout
    done = CliRunner().invoke(app, ["prove", "plan", "--effect", "-1"])
    assert done.exit_code == 2
