"""Which upstream models may answer to a name, following aliases and fallbacks."""

from functools import lru_cache
from typing import NamedTuple

from stillwatch.lineage.skeleton import skeleton
from stillwatch.terms import Models

LONGEST_MODEL = 512  # characters; longer names would only make lookups expensive


class Hop(NamedTuple):
    """One upstream target; `names` leads from the requested name to it."""

    names: tuple[str, ...]

    @property
    def target(self) -> str:
        return self.names[-1]


def hops(models: Models, name: str) -> list[Hop]:
    """Return every target that may answer to a name, the intended one first.

    The upstream may or may not treat a name that resembles an alias ("Team_Fast" for "team-fast") as that
    alias: then both are targets. So is each of "a,b": LiteLLM asks all of them and takes the first answer.
    """
    names = [name]
    if "," in name and len(name) <= LONGEST_MODEL:
        names.extend(part.strip() for part in name.split(",") if part.strip())
    if not models.aliases and not models.fallbacks:
        return [Hop((called_name,)) for called_name in names]
    waiting = list(
        dict.fromkeys(
            (*names, *(alike for called_name in names for alike in _look_alikes(models, called_name)))
        )
    )
    seen = set(waiting)
    hop_of: dict[tuple[str, ...], Hop] = {}
    for called_name in waiting:  # grows during iteration
        chain = _chain(models, called_name)
        hop_of.setdefault(chain, Hop(chain))
        for called in chain:
            others = [other for other in models.fallbacks.get(called, ()) if other not in seen]
            seen.update(others)
            waiting.extend(others)
    return list(hop_of.values())


def _chain(models: Models, name: str) -> tuple[str, ...]:
    """Return the name and its chain of aliases. Cycles are refused when the policy is loaded."""
    names = [name]
    while (target := models.aliases.get(names[-1])) is not None and target not in names:
        names.append(target)
    return tuple(names)


def _look_alikes(models: Models, name: str) -> tuple[str, ...]:
    """Return names in the tables that differ only in spelling."""
    if name in models.aliases or name in models.fallbacks or len(name) > LONGEST_MODEL:
        return ()
    return _by_skeleton(tuple(models.aliases), tuple(models.fallbacks)).get(skeleton(name), ())


@lru_cache(maxsize=16)
def _by_skeleton(*tables: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    names_of: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(entry for table in tables for entry in table):
        key = skeleton(name)
        names_of[key] = (*names_of.get(key, ()), name)
    return names_of
