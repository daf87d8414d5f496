"""Defences by name.

A module of this package with `NAME` and `open_watch(accounts, clean_until_us, seed, dial)` is found
automatically, and so is one with `defences(dial)`, which offers several. Your own can be in a file anywhere:
its name is then the path, such as "./mine.py".
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pyarrow as pa

from stillwatch.errors import InputError
from stillwatch.plugins import load_file, modules_of
from stillwatch.range.defences import Calibrated, Defence, DefenceWatch, LogJudgement, LogToJudge
from stillwatch.range.defences.hours import judge_log, set_thresholds
from stillwatch.range.defences.together import Together

FIRST = (
    "none", "limits", "allowance", "reasoning_allowance", "ceiling", "volume", "prada", "mmd_window",
    "isolation_forest", "prefix", "stillwatch",
)  # fmt: skip
NEEDS = ("NAME", "open_watch")
WANTED = "a defence is a Python file with NAME and open_watch: docs/range-defences.md"
DIAL = 1.0  # false cases per 10,000 account-days


@dataclass(frozen=True)
class Bound:
    """A module's defence with a false-positive budget."""

    NAME: str
    dial: float
    _open: Callable[..., DefenceWatch]
    _judge: Callable[..., LogJudgement] | None

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> DefenceWatch:
        """Start a watch."""
        return self._open(accounts, clean_until_us, seed, self.dial)

    def judge(self, log: LogToJudge) -> LogJudgement:
        """Judge a whole log, by the module's own `judge(watch, exchanges)` or hour by hour."""
        watch = self.open_watch(log.accounts, log.clean_until_us, log.seed)
        set_thresholds(self, watch, log.calibration, log.clean_until_us, log.seed)
        return (self._judge or judge_log)(watch, log.exchanges)


def defence(name: str, false_cases_per_10k_account_days: float = DIAL) -> Defence:
    """Return a defence by its name, or from a file by its path (`*.py`), with a false-positive budget.

    Names joined by a plus, such as "stillwatch+allowance", combine several defences.

    Raises: InputError for an unknown name, or a file without a defence.
    """
    if not false_cases_per_10k_account_days > 0:
        raise InputError(
            f"{false_cases_per_10k_account_days} false cases per 10,000 account-days: a budget is above 0"
        )
    if "+" in name and not name.endswith(".py"):
        parts = [part.strip() for part in name.split("+")]
        if not all(parts):
            raise InputError(f"{name!r} is no defence: a name stands on either side of a plus")
        if len(set(parts)) < len(parts):
            raise InputError(f"{name!r} is no defence: it names one twice")
        return Together(name, tuple(defence(part, false_cases_per_10k_account_days) for part in parts))
    if name.endswith(".py"):
        return _bound(load_file(Path(name), NEEDS, WANTED), false_cases_per_10k_account_days)
    defences = _every(false_cases_per_10k_account_days)
    if name not in defences:
        raise InputError(f"{name!r} is no defence: {', '.join(names())} or an ablation of stillwatch")
    return defences[name]


def has_threshold(name: str) -> bool:
    """Return whether a defence has a threshold that is set on clean days."""
    return isinstance(defence(name).open_watch(None, 0, 0), Calibrated)


def names() -> tuple[str, ...]:
    """Return every defence that is no ablation, in the order of a table."""
    return tuple(name for name in _every(DIAL) if ":" not in name)


def ablations() -> tuple[str, ...]:
    """Return the ablations of stillwatch."""
    return tuple(name for name in _every(DIAL) if ":" in name)


def expand_names(wanted: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return names with "all" and "ablations" expanded, each once.

    Raises: InputError for an unknown name.
    """
    out: dict[str, None] = {}
    for name in wanted:
        for each in {"all": names(), "ablations": ("stillwatch", *ablations())}.get(name, (name,)):
            defence(each)
            out[each] = None
    return tuple(out)


def _every(dial: float) -> dict[str, Defence]:
    by_name: dict[str, Defence] = {}
    for module in modules_of("stillwatch.range.defences"):
        if hasattr(module, "defences"):
            by_name |= module.defences(dial)
        elif hasattr(module, "open_watch"):
            by_name[module.NAME] = _bound(module, dial)
    return {name: by_name[name] for name in dict.fromkeys((*FIRST, *by_name)) if name in by_name}


def _bound(module: ModuleType, dial: float) -> Bound:
    return Bound(module.NAME, dial, module.open_watch, getattr(module, "judge", None))
