"""Cells of three accounts: each cell has a subject and a wording of its own.

Knows: that wording emerges only at four tenants, and that one source shows by how its subjects spread over
accounts. Does: twenty cells. Each has questions of its own, the largest subjects first (several small ones if
none is large enough), one wrapper, accounts bought for it, and so their settings. When all three accounts of
a cell are stopped, another cell continues its questions in another wording. Cannot: hide that every cell asks
one model for the same kind of answer.
Source: campaigns in worlds by other authors, 2026 (docs/benchmarks.md); docs/evidence.md, "An
    adversary who reads this".
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from stillwatch.range.attackers import Evasion, Try
from stillwatch.range.attackers.play import Crews, Led
from stillwatch.range.campaigns.dealing import topics_of

NAME = "cells"
CELLS = 20
MEANS = Evasion(accounts=3, per_account_day=25.6, hours="human", words="group", replace=False)


def subjects(questions: Sequence[str], cells: int, each: int) -> Iterator[list[int]]:
    """Yield for each cell at least `each` questions by index, of one subject if one has so many.

    Questions without a subject come last.
    """
    topics = topics_of(questions)
    size = Counter(topic for topic in topics if topic)
    order = sorted(range(len(questions)), key=lambda i: (-size[topics[i]], topics[i]))
    cell: list[int] = []
    for n, i in enumerate(order):
        cell.append(i)
        ends = n + 1 == len(order) or topics[order[n + 1]] != topics[i] or not topics[i]
        if ends and len(cell) >= each and cells:
            cells -= 1
            yield cell
            cell = []


class CellWork(Led):
    """One crew for each subject, replaced when it is stopped."""

    def __init__(self, crews: Crews) -> None:
        super().__init__(crews)
        each = -(-crews.brief.goal // CELLS)
        pools = [crews.stock.set_aside(cell) for cell in subjects(crews.brief.items, CELLS, each)]
        self._cells = [(questions, crews.send(MEANS, each, questions)) for questions in pools]

    def hour(self, at_us: int) -> list[Try]:
        for n, (questions, crew) in enumerate(self._cells):
            if crew.bought and not crew.working and crew.quota > crew.got:
                self._cells[n] = questions, self._crews.send(MEANS, crew.quota - crew.got, questions)
        return self._crews.hour(at_us)

    @property
    def given_up(self) -> bool:
        works = any(crew.working for _, crew in self._cells)
        return super().given_up or (self._crews.cannot_buy(MEANS) and not works)


begin = CellWork
