"""What a fleet guarantees while hosts restart, parts fail and clocks differ: small runs of the benchmark."""

from collections.abc import Callable

import pytest

from fleet_failures import Missing, Outcome, by_minute, failures, rolling, skew
from stillwatch.gateway.settings import GatewaySettings

AWAY_S = 4.0


def figures_of(run: Callable[[], Outcome]) -> dict[str, object]:
    """Return the figures of a run without a broken guarantee."""
    try:
        found = run()
    except Missing as why:
        pytest.skip(str(why))
    print(found.figures)
    assert found.broken == []
    return found.figures


@pytest.mark.slow
def test_a_rolling_restart_refuses_nobody() -> None:
    figures = figures_of(lambda: rolling(0, clients=2))
    assert figures["SIGTERM"]
    assert figures["SIGUSR2"]
    assert figures["answers"]


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_whatever_dies_or_is_away() -> None:
    figures = figures_of(lambda: failures(0, clients=2, away_s=AWAY_S, seed=1))
    assert figures["acknowledged"]


@pytest.mark.slow
def test_promises_hold_though_a_clock_is_five_seconds_ahead() -> None:
    figures = figures_of(lambda: skew(0))
    assert len(figures["answers of each minute"]) > 1  # type: ignore[arg-type]


def test_a_gateway_serves_on_before_it_stops_where_others_serve() -> None:
    alone = GatewaySettings("http://127.0.0.1:9")
    in_fleet = GatewaySettings("http://127.0.0.1:9", state="postgresql://h/d", shared="/mnt/x", gateway="a")
    assert (alone.shutdown_delay(), in_fleet.shutdown_delay()) == (0.0, 5.0)
    assert GatewaySettings("http://127.0.0.1:9", shutdown_delay_s=20).shutdown_delay() == 20


def test_answers_of_a_slower_clock_are_of_the_old_minute_only_as_far_as_that_has_room() -> None:
    late = [(118.0, False)] * 3  # by the clock that is ahead they came in minute 2
    assert by_minute([(65.0, True), *late, *[(121.0, True)] * 40], 42) == {1: 4, 2: 40}
    assert by_minute([*[(65.0, True)] * 42, *late, *[(121.0, True)] * 40], 42) == {1: 42, 2: 43}
