"""Decides when the next request may go out: limits per minute, requested pauses, concurrency."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

WINDOW_S = 61.0  # a minute, and a second for delays on the way
FIRST_WAIT_S = 0.5


class Pace:
    """The pace of requests to one teacher. Times are in seconds of one steady clock."""

    def __init__(
        self,
        requests: int,
        tokens: int,
        at_once: int,
        longest_wait_s: float,
        clock: Callable[[], float],
        draw: random.Random,
        stop: asyncio.Event,
    ) -> None:
        self._requests, self._tokens = requests, tokens
        self._longest_s = longest_wait_s
        self._clock = clock
        self._draw = draw
        self._stop = stop
        self._sent: deque[list[float]] = deque()  # [when, tokens]
        self._until = 0.0
        self._pauses = 0
        self._most = at_once
        self._allowed = float(at_once)
        self._under_way = 0
        self.waits = ""

    def went_before(self, sent: Iterable[tuple[float, int]]) -> None:
        """Count the requests of an earlier process within the last minute."""
        self._sent.extend([at, float(tokens)] for at, tokens in sent)

    async def turn(self, tokens: int) -> list[float] | None:
        """Wait until a request of this size may go out; end it with `back`. None: stop."""
        while (wait := self._wait_s(tokens)) > 0 and not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(wait, 5.0))
        if self._stop.is_set():
            return None
        self.waits = ""
        entry = [self._clock(), float(tokens)]
        self._sent.append(entry)
        self._under_way += 1
        return entry

    def correct_tokens(self, entry: list[float], tokens: int) -> None:
        """Replace a request's estimated tokens by the actual ones."""
        entry[1] = float(tokens)

    def back(self) -> None:
        self._under_way -= 1

    def count_answer(self) -> None:
        """Note an answer: the pauses sufficed, so concurrency may rise a little."""
        self._pauses = 0
        self._allowed = min(self._most, self._allowed + 1 / self._allowed)

    def pause(self, asked_s: float | None) -> float:
        """Slow down: wait as long as the teacher asks, or longer each time; halve the concurrency."""
        now = self._clock()
        if now >= self._until:
            self._pauses += 1
            self._allowed = max(1.0, self._allowed / 2)
        wait = self.backoff_s(self._pauses)
        if asked_s is not None:  # respected, unless it says "at once" again and again
            least = wait if self._pauses > 2 else FIRST_WAIT_S / 4
            wait = max(asked_s * (1 + 0.1 * self._draw.random()), least)
        self._until = max(self._until, now + wait)
        return self._until - now

    def backoff_s(self, tries: int) -> float:
        """Return the wait before another try: doubled each time, drawn between half and all of it."""
        most = min(self._longest_s, FIRST_WAIT_S * 2 ** min(tries, 30))
        return most * (0.5 + 0.5 * self._draw.random())

    def _wait_s(self, tokens: int) -> float:
        now = self._clock()
        while self._sent and self._sent[0][0] <= now - WINDOW_S:
            self._sent.popleft()
        if now < self._until:
            self.waits = "the teacher asked for a pause"
            return self._until - now
        if self._under_way >= int(self._allowed):
            return 0.02
        if self._requests and len(self._sent) >= self._requests:
            self.waits = f"{self._requests} requests a minute"
            return self._sent[0][0] + WINDOW_S - now + 0.001
        reserved = sum(entry[1] for entry in self._sent) if self._tokens else 0.0
        if self._tokens and self._sent and reserved + tokens > self._tokens:
            self.waits = f"{self._tokens} tokens a minute"
            return self._sent[0][0] + WINDOW_S - now + 0.001
        return 0.0
