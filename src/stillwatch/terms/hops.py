"""Which upstream models may answer under a name: aliases and fallbacks followed. It knows no bans."""

from functools import lru_cache
from typing import NamedTuple

from stillwatch.lineage.skeleton import skeleton
from stillwatch.terms import Models

LONGEST_MODEL = 512  # characters; a longer name is no name but a way to make looking it up dear


class Hop(NamedTuple):
    """One upstream target; `names` ends with it and begins with what leads there."""

    names: tuple[str, ...]

    @property
    def target(self) -> str:
        return self.names[-1]


def hops(models: Models, name: str) -> list[Hop]:
    """Every target that may answer to a name, first the one that should.

    A name that only resembles an alias ("Team_Fast" for "team-fast") may be taken for it by the upstream, or
    not: then both are targets. So is each of "a,b": LiteLLM asks all of them and takes the first answer.
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
    for called_name in waiting:  # grows while it is walked
        chain = _chain(models, called_name)
        hop_of.setdefault(chain, Hop(chain))
        for called in chain:
            others = [other for other in models.fallbacks.get(called, ()) if other not in seen]
            seen.update(others)
            waiting.extend(others)
    return list(hop_of.values())


def _chain(models: Models, name: str) -> tuple[str, ...]:
    """The name, what it stands for, what that stands for. Cycles are refused when terms are loaded."""
    names = [name]
    while (target := models.aliases.get(names[-1])) is not None and target not in names:
        names.append(target)
    return tuple(names)


def _look_alikes(models: Models, name: str) -> tuple[str, ...]:
    """Names in the tables that are the same but for spelling."""
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
