"""Plays a composed log through a gateway: each row is a request at its event time, with evaluations between.

It only moves the clock and sends.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from stillwatch.range.live.attack import Errand, LiveAttacker
from stillwatch.range.live.clients import REFUSED, LiveClients, Row
from stillwatch.range.live.defender import RangeGateway
from stillwatch.units import DAY_US


@dataclass(frozen=True)
class LogRow:
    """One row of the log, and its side."""

    at_us: int
    row: Row
    covert: bool
    honest: bool  # not from a campaign's account


@dataclass
class Honest:
    """The results of honest people."""

    sent: int = 0
    refused: int = 0
    turned_away: set[str] = field(default_factory=set)


@dataclass
class LivePlayback:
    """One span of event time at one gateway.

    `look_us` returns the time from one evaluation to the next; `tell` receives the event time once a day.
    """

    gateway: RangeGateway
    clients: LiveClients
    attacker: LiveAttacker | None
    look_us: Callable[[], int]
    tell: Callable[[int], None]
    honest: Honest = field(default_factory=Honest)
    _later: list[tuple[int, int, Errand]] = field(default_factory=list)  # by time, then by arrival

    def run(self, lines: list[LogRow], from_us: int, until_us: int) -> None:
        """Play the lines from one time to another."""
        look_at, told_at, place, order = from_us + self.look_us(), from_us, 0, 0
        while True:
            line_at = lines[place].at_us if place < len(lines) else until_us
            errand_at = self._later[0][0] if self._later else until_us
            now = min(line_at, errand_at, until_us)
            while look_at <= now:
                self.gateway.settle(look_at)
                look_at += self.look_us()
            if now >= told_at:
                self.tell(told_at)
                told_at += DAY_US
            if now >= until_us:
                break
            if errand_at <= line_at:
                errand: Errand | None = heapq.heappop(self._later)[2]
            else:
                errand = self._begin(lines[place])
                place += 1
            if errand is not None and errand.at_us > now:
                order += 1
                heapq.heappush(self._later, (errand.at_us, order, errand))
            elif errand is not None:
                retry = self._send(errand)
                if retry is not None:
                    order += 1
                    heapq.heappush(self._later, (retry.at_us, order, retry))
        self.gateway.settle(until_us)

    def _begin(self, line: LogRow) -> Errand | None:
        """Send an honest line at once; return the attacker's as an errand."""
        if line.covert and self.attacker is not None:
            return self.attacker.errand(line.row, line.at_us)
        self._move(line.at_us)
        heard = self.clients.honest(line.row, line.row["account"])
        if line.honest:
            self.honest.sent += 1
            if heard.status == REFUSED:
                self.honest.refused += 1
                self.honest.turned_away.add(line.row["account"])
        return None

    def _send(self, errand: Errand) -> Errand | None:
        """Send one errand; if a new account takes over, return its first request."""
        assert self.attacker is not None
        self._move(errand.at_us)
        heard = self.clients.covert(errand.row, errand.account, errand.leave_after)
        fresh = self.attacker.hears(errand, heard, self.gateway.now_us)
        if fresh is None:
            return None
        self.clients.keys |= self.gateway.issue([fresh.account])
        return self.attacker.errand(errand.row, self.gateway.now_us)

    def _move(self, at_us: int) -> None:
        self.gateway.go_on()
        self.gateway.hand[0] = max(self.gateway.now_us, at_us)
