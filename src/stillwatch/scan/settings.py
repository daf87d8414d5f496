"""The constants of detection as one object: each a field with its unit, its source and its range.

A finding made under other settings than the shipped ones has none of the error rates in docs/benchmarks.md.
What is not here is not meant to be changed: kernels and statistics have their constants where they are used.
"""

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any

from stillwatch.actors import spread
from stillwatch.detectors import lone_harvest
from stillwatch.errors import InputError
from stillwatch.scan import alarms
from stillwatch.scan.parts import PARTS, check_parts
from stillwatch.units import DAY_US


def _constant(
    default: Any, unit: str, meaning: str, source: str, low: float = 0, high: float = math.inf
) -> Any:
    """A field. `low` and `high` bound it, and each of its values where it has several."""
    metadata = {"unit": unit, "meaning": meaning, "source": source, "low": low, "high": high}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class DetectionSettings:
    """How a scan decides: the dial, the parts of the detection, and the constants of its tests.

    Raises: InputError for a value that is out of its range.

    >>> DetectionSettings(window_days=7.0).changes()
    {'window_days': 7.0}
    """

    false_cases_per_10k_account_days: float = _constant(
        1.0,
        "cases per 10,000 account-days",
        "The dial: false cases that the tests of settings may spend.",
        "docs/scan.md",
        1e-6,
        10_000,
    )
    parts: frozenset[str] = _constant(
        PARTS, "names", "The parts of the detection that are at work.", "docs/range-defences.md"
    )
    window_days: float = _constant(
        spread.WINDOW_DAYS,
        "days",
        "How far back accounts that take up new wording are linked.",
        "docs/field.md",
        1,
        28,
    )
    burn_in_days: float = _constant(
        spread.BURN_IN_DAYS,
        "days",
        "What is in use in a log's first days is not new.",
        "docs/evidence.md",
        0,
        28,
    )
    min_entrants: int = _constant(
        spread.MIN_ENTRANTS,
        "accounts",
        "How many must take a fingerprint up within the window before it counts as new and shared.",
        "docs/evidence.md",
        2,
        1_000,
    )
    novelty: float = _constant(
        spread.NOVELTY,
        "ratio",
        "Recent users of a fingerprint for each earlier one, at least.",
        "docs/evidence.md",
        0.1,
        1_000,
    )
    neighbours: int = _constant(
        spread.NEIGHBOURS,
        "accounts",
        "The latest users of a fingerprint that a new one is linked to; bounds the work.",
        "docs/evidence.md",
        1,
        1_000,
    )
    correlation_floor: tuple[float, float, float] = _constant(
        (0.03, 0.08, 0.08),
        "intraclass correlation of model, max_tokens, temperature",
        "Within-group correlation that honest groups are granted at least: a framework may set a default.",
        "docs/stats.md",
        1e-6,
        0.5,
    )
    correlation_ceiling: tuple[float, float, float] = _constant(
        (0.08, 0.15, 0.15),
        "intraclass correlation of model, max_tokens, temperature",
        "And at most: past it, groups staged to look of one mind would hide a campaign among them.",
        "docs/stats.md",
        1e-6,
        0.5,
    )
    alpha_ceiling: float = _constant(
        2e-3,
        "probability",
        "The most that one test of settings may spend; content must speak for one source besides.",
        "docs/evidence.md",
        1e-9,
        0.05,
    )
    looks_before_alarm: int = _constant(
        alarms.PERSISTENT,
        "hourly evaluations",
        "How many within a day must agree before an alarm is raised.",
        "docs/evidence.md",
        1,
        24,
    )
    looks_before_naming: int = _constant(
        alarms.NAMED_AFTER,
        "hourly evaluations",
        "How many must name an account before it is named.",
        "docs/evidence.md",
        1,
        24,
    )
    lone_least_bits: float = _constant(
        lone_harvest.LEAST_BITS,
        "bits",
        "How rare a lone payer's traits must be together.",
        "docs/evidence.md",
        1,
        60,
    )
    lone_least_peers: int = _constant(
        lone_harvest.LEAST_PEERS,
        "payers",
        "Other heavy payers that a lone one is ranked among, at least.",
        "docs/evidence.md",
        2,
        10_000,
    )

    known_pools: tuple[str, ...] = _constant(
        (),
        "paths",
        "Sketches of public sets of prompts (`stillwatch pool`). They raise no finding.",
        "docs/scan.md",
    )

    def __post_init__(self) -> None:
        check_parts(self.parts)
        _check_paths(self.known_pools)
        for one in fields(DetectionSettings):
            if one.name not in ("parts", "known_pools"):
                _check(one, getattr(self, one.name))
        floor, ceiling = self.correlation_floor, self.correlation_ceiling
        if any(low > high for low, high in zip(floor, ceiling, strict=True)):
            raise InputError(f"correlation_floor {floor} is above correlation_ceiling {ceiling}")

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return int(self.window_days * DAY_US)

    @property
    def burn_in_us(self) -> int:
        """The burn-in in microseconds."""
        return int(self.burn_in_days * DAY_US)

    def changes(self) -> dict[str, object]:
        """Give what differs from the shipped settings."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(DetectionSettings)
            if getattr(self, one.name) != one.default
        }

    def caveat(self) -> tuple[str, ...]:
        """What a report must say where these are not the shipped settings."""
        moved = [name for name in self.changes() if name != "known_pools"]  # these change no finding
        changes = [f"{name} {_value_text(getattr(self, name))}" for name in moved]
        if not changes:
            return ()
        return (
            f"These are not the shipped settings ({', '.join(changes)}). The error rates that this report "
            "names were measured under the shipped ones.",
        )

    @staticmethod
    def describe() -> list[dict[str, object]]:
        """Give each setting's name, default, unit, meaning, source and bounds, as rows of a table."""
        return [
            {"name": one.name, "default": one.default} | dict(one.metadata)
            for one in fields(DetectionSettings)
        ]


def _value_text(value: object) -> str:
    return f"without {', '.join(sorted(PARTS - value))}" if isinstance(value, frozenset) else str(value)


def _check_paths(value: object) -> None:
    """Raises: InputError for what are no paths."""
    if not isinstance(value, tuple) or not all(isinstance(path, str) for path in value):
        raise InputError(f"known_pools is {value!r}; give a tuple of paths")


def _check(one: "Field[Any]", value: object) -> None:
    """Raises: InputError for a value that is of another kind than the default, or out of bounds."""
    low, high = one.metadata["low"], one.metadata["high"]
    default: Any = one.default
    several = isinstance(default, tuple)
    values = value if several and isinstance(value, tuple) else (value,)
    whole = isinstance(default, int)
    good = not several or (isinstance(value, tuple) and len(values) == len(default))
    for number in values:
        good = good and isinstance(number, int if whole else int | float) and not isinstance(number, bool)
        good = good and low <= number <= high
    if not good:
        wanted = f"{len(default)} numbers" if several else "a whole number" if whole else "a number"
        raise InputError(
            f"{one.name} is {value!r}; give {wanted} from {low:g} to {high:g} ({one.metadata['unit']})"
        )
