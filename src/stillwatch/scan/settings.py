"""The constants of detection as one object: each a field with its unit, its source and its range.

A finding made under other settings than the shipped ones has none of the error rates in docs/benchmarks.md.
The constants of kernels and statistics are not meant to be changed, and stay where they are used.
"""

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any

from stillwatch.actors import spread
from stillwatch.detectors import lone_harvest
from stillwatch.errors import InputError
from stillwatch.scan import alarms, explanations
from stillwatch.scan.parts import PARTS, check_parts
from stillwatch.units import DAY_US

ANY = (0, math.inf)


def _constant(default: Any, unit: str, bounds: tuple[float, float], source: str, meaning: str) -> Any:
    """Return a field. `bounds` apply to it, or to each of its values if it has several."""
    metadata = {"unit": unit, "meaning": meaning, "source": source, "low": bounds[0], "high": bounds[1]}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class DetectionSettings:
    """The settings of a scan: the false-positive budget, the parts of the detection, the tests' constants.

    Raises: InputError for a value out of its range.

    >>> DetectionSettings(window_days=7.0).changes()
    {'window_days': 7.0}
    """

    false_cases_per_10k_account_days: float = _constant(
        1.0, "cases per 10,000 account-days", (1e-6, 10_000), "docs/scan.md",
        "The dial: false cases that the tests of settings may spend.",
    )  # fmt: skip
    parts: frozenset[str] = _constant(
        PARTS, "names", ANY, "docs/range-defences.md",
        "The parts of the detection that are at work.",
    )  # fmt: skip
    window_days: float = _constant(
        spread.WINDOW_DAYS, "days", (1, 28), "docs/field.md",
        "How far back accounts that take up new wording are linked.",
    )  # fmt: skip
    burn_in_days: float = _constant(
        spread.BURN_IN_DAYS, "days", (0, 28), "docs/evidence.md",
        "What is in use in a log's first days is not new.",
    )  # fmt: skip
    min_entrants: int = _constant(
        spread.MIN_ENTRANTS, "accounts", (2, 1_000), "docs/evidence.md",
        "How many must take a fingerprint up within the window before it counts as new and shared.",
    )  # fmt: skip
    novelty: float = _constant(
        spread.NOVELTY, "ratio", (0.1, 1_000), "docs/evidence.md",
        "Recent users of a fingerprint for each earlier one, at least.",
    )  # fmt: skip
    neighbours: int = _constant(
        spread.NEIGHBOURS, "accounts", (1, 1_000), "docs/evidence.md",
        "The latest users of a fingerprint that a new one is linked to; bounds the work.",
    )  # fmt: skip
    correlation_floor: tuple[float, float, float] = _constant(
        (0.03, 0.08, 0.08), "intraclass correlation of model, max_tokens, temperature",
        (1e-6, 0.5), "docs/stats.md",
        "Within-group correlation that honest groups are granted at least: a framework may set a default.",
    )  # fmt: skip
    correlation_ceiling: tuple[float, float, float] = _constant(
        (0.08, 0.15, 0.15), "intraclass correlation of model, max_tokens, temperature",
        (1e-6, 0.5), "docs/stats.md",
        "And at most: past it, groups staged to look of one mind would hide a campaign among them.",
    )  # fmt: skip
    alpha_ceiling: float = _constant(
        2e-3, "probability", (1e-9, 0.05), "docs/evidence.md",
        "The most that one test of settings may spend; content must speak for one source besides.",
    )  # fmt: skip
    short_answer_tokens: int = _constant(
        explanations.SHORT, "output tokens", (0, 4_096), "docs/evidence.md",
        "A group that is mostly given complete answers of fewer stays a lead. 0: none does.",
    )  # fmt: skip
    looks_before_alarm: int = _constant(
        alarms.PERSISTENT, "hourly evaluations", (1, 24), "docs/evidence.md",
        "How many within a day must agree before an alarm is raised.",
    )  # fmt: skip
    looks_before_naming: int = _constant(
        alarms.NAMED_AFTER, "hourly evaluations", (1, 24), "docs/evidence.md",
        "How many must name an account before it is named.",
    )  # fmt: skip
    lone_least_bits: float = _constant(
        lone_harvest.LEAST_BITS, "bits", (1, 60), "docs/evidence.md",
        "How rare a lone payer's traits must be together.",
    )  # fmt: skip
    lone_least_peers: int = _constant(
        lone_harvest.LEAST_PEERS, "payers", (2, 10_000), "docs/evidence.md",
        "Other heavy payers that a lone one is ranked among, at least.",
    )  # fmt: skip

    known_pools: tuple[str, ...] = _constant(
        (), "paths", ANY, "docs/scan.md",
        "Sketches of public sets of prompts (`stillwatch pool`). They raise no finding.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_parts(self.parts)
        _check_paths(self.known_pools)
        for setting in fields(DetectionSettings):
            if setting.name not in ("parts", "known_pools"):
                _check(setting, getattr(self, setting.name))
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
        """Return what differs from the shipped settings."""
        return {
            setting.name: getattr(self, setting.name)
            for setting in fields(DetectionSettings)
            if getattr(self, setting.name) != setting.default
        }

    def caveat(self) -> tuple[str, ...]:
        """Return what a report must state if these are not the shipped settings."""
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
        """Return each setting's name, default, unit, meaning, source and bounds, as rows of a table."""
        return [
            {"name": setting.name, "default": setting.default} | dict(setting.metadata)
            for setting in fields(DetectionSettings)
        ]


def _value_text(value: object) -> str:
    return f"without {', '.join(sorted(PARTS - value))}" if isinstance(value, frozenset) else str(value)


def _check_paths(value: object) -> None:
    """Raises: InputError for values that are no paths."""
    if not isinstance(value, tuple) or not all(isinstance(path, str) for path in value):
        raise InputError(f"known_pools is {value!r}; give a tuple of paths")


def _check(setting: "Field[Any]", value: object) -> None:
    """Raises: InputError for a value of another type than the default, or out of bounds."""
    low, high = setting.metadata["low"], setting.metadata["high"]
    default: Any = setting.default
    several = isinstance(default, tuple)
    values = value if several and isinstance(value, tuple) else (value,)
    integer = isinstance(default, int)
    valid = not several or (isinstance(value, tuple) and len(values) == len(default))
    for number in values:
        valid = valid and isinstance(number, int if integer else int | float) and not isinstance(number, bool)
        valid = valid and low <= number <= high
    if not valid:
        expected = f"{len(default)} numbers" if several else "a whole number" if integer else "a number"
        raise InputError(
            f"{setting.name} is {value!r}; give {expected} from {low:g} to {high:g} "
            f"({setting.metadata['unit']})"
        )
