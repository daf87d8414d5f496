"""Signals: what detectors and clues have in common, and how they are found.

A signal is one module, in its package of this project or in an installed package that lists it as an entry
point. Its file holds everything that titles, alerts, exports and the checker of bundles need to know of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from stillwatch.errors import InputError
from stillwatch.plugins import blamed_on, named_modules

Event = Mapping[str, Any]  # a line of a bundle's events.ndjson: docs/bundle.md


@dataclass(frozen=True)
class Signal:
    """What a signal means to readers; a module's `SIGNAL`. Every field is optional."""

    title: str = ""  # completes "37 accounts took 1,972 answers, ..."
    capability: str = ""  # what was asked for
    atlas: tuple[str, str, str] | None = None  # MITRE ATLAS 5.6.0: id, name, what the mapping rests on
    order: int = 100  # of several signals the lowest gives the title and is listed first
    not_recomputed: str = ""  # why a bundle lacks the data that its numbers are computed from


class BundleEvidence(Protocol):
    """What a signal's `recompute` may use of a bundle (`OpenedBundle` in cases/bundle/bundle_events.py).

    The function is copied into every bundle and runs alone there, on Python 3.9. It may use these, the
    standard library's `math`, `statistics`, `Counter` and `defaultdict`, and no name of its own module.
    """

    named: Sequence[int]  # the finding's accounts, as numbers into `accounts`
    accounts: Sequence[Event]
    events: Sequence[Event]  # of the finding's accounts
    harvest: Sequence[Event]  # those that count for the finding
    answered: Sequence[Event]
    others: Mapping[str, Any]  # population.json

    def share(self, flags: Sequence[bool]) -> dict[str, float]: ...

    def lexical(self, bit: int) -> dict[str, float]: ...

    def setting(self, name: str) -> dict[str, float]: ...

    def tied_by_setting(self, name: str) -> list[float]: ...

    def networks(self) -> Mapping[int, float]: ...

    def signups(self) -> dict[str, float]: ...

    def customer(self, account: int) -> int: ...

    def refused_texts(self) -> Mapping[int, int]: ...

    def moved_texts(self) -> Sequence[tuple[int, int]]: ...

    def numbers(self, detector: str) -> Mapping[str, Any]: ...

    def chance_of(self, positive: int, items: int, rate: float) -> float: ...

    def quantile(self, values: Sequence[float], q: float) -> float: ...


@cache
def signal_modules(package: str, group: str, function: str, *texts: str) -> tuple[Any, ...]:
    """Return every module of a package that has `function`, then those that installed packages add, by name.

    texts: further attributes that each must have.

    Raises: InputError for an entry point that cannot be loaded or is not a signal, and for a name that is
    taken.
    """
    found = named_modules(package, group, "signals", function, dict.fromkeys(("NAME", *texts), str))
    for module in found:
        if not isinstance(signal_of(module), Signal):
            raise InputError(f"{group}: the SIGNAL of {module.NAME} is no stillwatch.signals.Signal")
    return tuple(found)


@contextmanager
def blamed_on_its_package(module: Any) -> Iterator[None]:
    """Run a signal. Raises: InputError that names its package, for errors in one that is installed."""
    if str(getattr(module, "__name__", "stillwatch.")).startswith("stillwatch."):
        yield
        return
    with blamed_on(f"the signal {module.NAME} of the package {module.__name__} failed", module.__file__):
        yield


def signal_of(module: Any) -> Signal:
    """Return what a module declares as its signal's meaning."""
    found: Signal = getattr(module, "SIGNAL", Signal())
    return found
