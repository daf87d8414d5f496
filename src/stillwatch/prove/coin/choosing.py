"""Which pairs are put to a suspect, and in what order: fixed before it is asked, and blind to the coins.

A pair is left out only for what is the same however its coin fell: a tie, an actor with more than are wanted.
"""

import hashlib
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

    def told(self) -> str:
        """What the protocol's digest covers: the prompt, both answers, and no coin."""
        answers = [answer.text for answer in self.pair.answers]
        return json.dumps([self.id, self.actor, list(self.messages), answers])


@dataclass(frozen=True)
class Chosen:
    """The pairs under test, in the order in which they are asked."""

    puts: tuple[Put, ...]
    ties: dict[str, int]  # by actor
    left_out: dict[str, int]  # beyond what was wanted of an actor
    too_few: dict[str, int]  # actors with so few pairs that nothing could come of them

    @property
    def actors(self) -> tuple[str, ...]:
        return tuple(sorted({put.actor for put in self.puts}))


def choose(
    pairs: Iterable[Pair], actor_of: ActorOf, most: int, seed: int, only: tuple[str, ...] = ()
) -> Chosen:
    """Choose up to `most` pairs of each actor, by a hash of the pair's number and a seed.

    Raises: ProveError where nothing is left to test, with why.
    """
    by_actor: dict[str, list[Put]] = {}
    ties: dict[str, int] = {}
    seen = 0
    for pair in pairs:
        seen += 1
        actor = actor_of(pair)
        if only and actor not in only:
            continue
        if pair.tie:
            ties[actor] = ties.get(actor, 0) + 1
        else:
            by_actor.setdefault(actor, []).append(Put(pair, actor))
    if not seen:
        raise ProveError("the ledger holds no pairs: no coin was thrown, or none had two answers")
    missing = [name for name in only if name not in by_actor and name not in ties]
    if missing:
        known = ", ".join(sorted({*by_actor, *ties})) or "none"
        raise ProveError(f"{missing[0]!r} is no actor of this ledger's accounts; there are: {known}")
    too_few = {actor: len(puts) for actor, puts in by_actor.items() if len(puts) < LEAST}
    kept = {actor: puts for actor, puts in by_actor.items() if actor not in too_few}
    if not kept:
        told = (
            ", ".join(f"{actor} {n}" for actor, n in sorted(too_few.items())) or f"{sum(ties.values())} ties"
        )
        raise ProveError(
            f"too few pairs to test anybody ({told}); an actor needs {LEAST} with two different answers, and "
            "`stillwatch prove plan` says how many an effect takes"
        )
    puts = [put for some in kept.values() for put in sorted(some, key=lambda put: _place(put, seed))[:most]]
    left_out = {actor: len(some) - most for actor, some in kept.items() if len(some) > most}
    return Chosen(tuple(sorted(puts, key=lambda put: _place(put, seed))), ties, left_out, too_few)


def _place(put: Put, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{put.id}".encode()).digest()
