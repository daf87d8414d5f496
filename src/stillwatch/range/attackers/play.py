"""Shared by attackers: crews with one list of questions, and the distribution of results."""

from collections.abc import Sequence

import numpy as np

from stillwatch.range.attackers import QUEUES, Brief, Evasion, Try, TryResult
from stillwatch.range.attackers.group import Crew, QuestionQueue, Talks
from stillwatch.range.market import Market


class Crews:
    """Crews that work in parallel. Before every hour, the attacker decides which crews there are."""

    def __init__(
        self, brief: Brief, market: Market, rng: np.random.Generator, queue: str = QUEUES[0]
    ) -> None:
        self.brief, self.market, self.rng, self.queue = brief, market, rng, queue
        self.stock = QuestionQueue(brief.items, brief.goal)
        self.talks = Talks(brief.talks, rng)
        self.crews: list[Crew] = []
        self._of: dict[str, Crew] = {}

    def send(self, means: Evasion, quota: int, questions: QuestionQueue | None = None) -> Crew:
        """Start a crew, on questions reserved for it or on the common list."""
        stock = questions or self.stock
        crew = Crew(means, quota, self.brief, self.market, stock, self.talks, self.rng, self.queue)
        self.crews.append(crew)
        return crew

    def cannot_buy(self, means: Evasion) -> bool:
        """Return whether the remaining money buys no such account."""
        return self.market.budget.left_usd < self.market.prices.account(means.kind)

    @property
    def missing(self) -> int:
        """Examples still wanted."""
        return max(0, self.brief.goal - len(self.stock.got))

    def hour(self, at_us: int) -> list[Try]:
        tries: list[Try] = []
        for crew in self.crews:
            if crew.is_finished:
                continue
            due = crew.hour(at_us)
            for name in crew.working:
                self._of[name] = crew
            tries += due
        return tries

    def again(self, refused: Try, until_us: int) -> Try | None:
        return self._of[refused.account].again(refused, until_us)

    def saw(self, results: Sequence[TryResult]) -> None:
        self.stock.saw(results)
        theirs: dict[int, list[TryResult]] = {}
        for s in results:
            theirs.setdefault(id(self._of[s.account]), []).append(s)
        for crew in self.crews:
            of_crew = theirs.get(id(crew))
            if of_crew:
                crew.saw(of_crew, of_crew[-1].at_us)


class Led:
    """Base of attackers that lead crews: it ends when nothing is missing, or when they gave up."""

    def __init__(self, crews: Crews) -> None:
        self._crews = crews
        self._given_up = False

    def again(self, refused: Try, until_us: int) -> Try | None:
        return self._crews.again(refused, until_us)

    def saw(self, results: Sequence[TryResult]) -> None:
        self._crews.saw(results)

    @property
    def given_up(self) -> bool:
        return self._given_up or self._crews.missing == 0
