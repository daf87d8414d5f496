"""Chooses the pairs to put to a suspect, and their order, before it is asked and blind to the coins.

A pair is left out only for reasons independent of its coin: a tie, or an actor with more than wanted.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass

from stillwatch.coin import Pair
from stillwatch.prove import ProveError
from stillwatch.prove.coin.actors import ActorOf
from stillwatch.prove.suspect import Messages

LEAST = 8  # coins; fewer cannot reach p < 0.004 however they fall


@dataclass(frozen=True)
class Put:
    """A pair under test."""

    pair: Pair
    actor: str

    @property
    def id(self) -> str:
        return self.pair.id

    @property
    def messages(self) -> Messages:
        return self.pair.messages

    def digest_input(self) -> str:
        """Return what the protocol's digest covers: the prompt and both answers, without the coin."""
        answers = [answer.text for answer in self.pair.answers]
        return json.dumps([self.id, self.actor, list(self.messages), answers])


@dataclass(frozen=True)
class Chosen:
    """The pairs under test, in the order in which they are asked."""

    puts: tuple[Put, ...]
    ties: dict[str, int]  # by actor
    left_out: dict[str, int]  # beyond the number wanted of an actor
    too_few: dict[str, int]  # actors with too few pairs for any result

    @property
    def actors(self) -> tuple[str, ...]:
        return tuple(sorted({put.actor for put in self.puts}))


def choose(
    pairs: Iterable[Pair], actor_of: ActorOf, most: int, seed: int, only: tuple[str, ...] = ()
) -> Chosen:
    """Choose up to `most` pairs of each actor, by a hash of the pair's number and a seed.

    Raises: ProveError if nothing is left to test, with the reason.
    """
    by_actor: dict[str, _Most] = {}
    ties: dict[str, int] = {}
    known: set[str] = set()
    for pair in pairs:
        actor = actor_of(pair)
        known.add(actor)
        if only and actor not in only:
            continue
        if pair.tie:
            ties[actor] = ties.get(actor, 0) + 1
        else:
            by_actor.setdefault(actor, _Most(most)).add(_place(pair.id, seed), Put(pair, actor))
    if not known:
        raise ProveError("the ledger holds no pairs: no coin was thrown, or none had two answers")
    missing = [name for name in only if name not in known]
    if missing:
        there = ", ".join(sorted(known)[:20])
        raise ProveError(f"{missing[0]!r} is no actor of this ledger's accounts; there are: {there}")
    too_few = {actor: chosen.seen for actor, chosen in by_actor.items() if chosen.seen < LEAST}
    kept = {actor: chosen for actor, chosen in by_actor.items() if actor not in too_few}
    if not kept:
        few = (
            ", ".join(f"{actor} {n}" for actor, n in sorted(too_few.items())) or f"{sum(ties.values())} ties"
        )
        raise ProveError(
            f"too few pairs to test anybody ({few}); an actor needs {LEAST} with two "
            "different answers, and `stillwatch prove plan` says how many an effect takes"
        )
    placed = sorted(
        (placed_pair for chosen in kept.values() for placed_pair in chosen.places()),
        key=lambda placed_pair: placed_pair[0],
    )
    left_out = {actor: chosen.seen - most for actor, chosen in kept.items() if chosen.seen > most}
    return Chosen(tuple(put for _, put in placed), ties, left_out, too_few)


class _Most:
    """The first `most` pairs by place, so that a ledger of millions is never held in memory."""

    def __init__(self, most: int) -> None:
        self.seen = 0
        self._most = most
        self._heap: list[tuple[int, int, Put]] = []

    def add(self, place: bytes, put: Put) -> None:
        self.seen += 1
        entry = (-int.from_bytes(place, "big"), self.seen, put)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def places(self) -> list[tuple[int, Put]]:
        return [(-place, put) for place, _, put in self._heap]


def _place(pair: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{pair}".encode()).digest()
