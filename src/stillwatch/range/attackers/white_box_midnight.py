"""The white box that knows the end of a day: it uses the allowance twice, before midnight and after it.

Knows: as `white_box`; and that a limit's day is a day in UTC. Does: one account asks, two hours before
midnight, until it is refused; that measures a day's allowance. It buys accounts for the rest at two such days
each. They send from an hour before midnight on, and continue after it. Streams are cut after most of the
answer, since an allowance counts what was delivered. If a day allows less than before, more accounts are
bought at once. Cannot: as `white_box`; nor do anything about a limit that does not reset at midnight.
Source: terms may count a day from midnight to midnight in UTC (docs/terms.md), as most providers' limits do.
"""

from dataclasses import replace

from stillwatch.range.attackers import Try
from stillwatch.range.attackers.play import Crews, Led
from stillwatch.range.attackers.white_box import BELOW_LONE, LEAST, MEANS, SURVIVES
from stillwatch.units import HOUR_US

NAME = "white_box_midnight"
PROBES_AT, SENDS_AT = 22, 23  # hours of a day, UTC
DROP = 0.9  # share of streams that are cut
SPARE = 1.3  # requests per account and day, for each that the probe got through: answers differ in length
PROBE = replace(MEANS, accounts=1, per_account_day=BELOW_LONE, drop=DROP)


class Midnight(Led):
    """A probe, then enough accounts for each to be used up on every day of the plan.

    nights: midnights in the plan; more of them need fewer accounts and take longer. wait_hours: from the
    first request until an account has a day's allowance again.
    """

    def __init__(self, crews: Crews, nights: int = 1, wait_hours: int = 24 - SENDS_AT) -> None:
        super().__init__(crews)
        self._nights, self._wait_hours = nights, wait_hours
        self._means = PROBE
        self._last_hour_us = 0  # of the plan

    def hour(self, at_us: int) -> list[Try]:
        crews, clock = self._crews.crews, at_us // HOUR_US % 24
        if not crews:
            if clock == PROBES_AT:
                self._crews.send(PROBE, self._crews.missing)
        elif len(crews) == 1:
            if clock == SENDS_AT:
                self._plan(at_us)
        elif self._crews.missing:
            if clock == (SENDS_AT + self._wait_hours) % 24:
                for crew in crews:
                    crew.extend(self._crews.missing)  # a new day's allowance
            self._go_on(at_us)
        return self._crews.hour(at_us)

    def _plan(self, at_us: int) -> None:
        """Buy accounts for all that is missing; the probe's has used this day and works on the others."""
        probe, days = self._crews.crews[0], self._nights + 1
        self._last_hour_us = at_us + (self._wait_hours + 1 + 24 * (self._nights - 1)) * HOUR_US
        if probe.refused and not probe.losses:
            each = max(LEAST, probe.got)
            self._buy(-(-(self._crews.missing - each * self._nights) // (each * days)), round(SPARE * each))
            return
        if probe.losses:
            self._means = replace(self._means, kind="aged")
        probe.quota = probe.got  # no limit was met: then the rule for lone harvesters is the limit
        self._buy(-(-self._crews.missing // BELOW_LONE), BELOW_LONE)

    def _go_on(self, at_us: int) -> None:
        """Continue if the goal was missed: buy others in the last hour, aged ones if some were stopped."""
        last = self._crews.crews[-1]
        stopped = any(crew.losses > SURVIVES for crew in self._crews.crews)
        if not (stopped or at_us >= self._last_hour_us):
            return
        if stopped:
            self._means = replace(self._means, kind="aged")
        each = max(LEAST, last.got // max(1, last.bought * (self._nights + 1)))
        for crew in self._crews.crews:
            crew.quota = crew.got
        self._buy(-(-self._crews.missing // each), round(SPARE * each))
        self._last_hour_us = at_us + 2 * HOUR_US

    def _buy(self, accounts: int, each: int) -> None:
        self._given_up = self._crews.cannot_buy(self._means)
        means = replace(self._means, accounts=max(1, accounts), per_account_day=each)
        self._crews.send(means, self._crews.missing)


begin = Midnight
