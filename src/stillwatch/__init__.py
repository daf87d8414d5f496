"""Stillwatch watches a model API for unauthorised distillation.

    import stillwatch as sw

    result = sw.scan("logs/*.parquet", accounts="accounts.csv")
    result.campaigns.to_pandas()

What `__all__` names is the public interface. It is loaded when it is first used: the import alone is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillwatch.api.exchanges import Exchanges, read
    from stillwatch.api.live import LiveAlarm, LiveScan
    from stillwatch.api.result import Result, ResultTable
    from stillwatch.api.scanning import scan
    from stillwatch.errors import InputError, StillwatchError
    from stillwatch.scan.live import Keep
    from stillwatch.scan.settings import Settings

__version__ = "0.1.0"
__all__ = [
    "Exchanges",
    "InputError",
    "Keep",
    "LiveAlarm",
    "LiveScan",
    "Result",
    "ResultTable",
    "Settings",
    "StillwatchError",
    "__version__",
    "read",
    "scan",
]
_PLACES = {
    "Exchanges": "stillwatch.api.exchanges",
    "InputError": "stillwatch.errors",
    "Keep": "stillwatch.scan.live",
    "LiveAlarm": "stillwatch.api.live",
    "LiveScan": "stillwatch.api.live",
    "Result": "stillwatch.api.result",
    "ResultTable": "stillwatch.api.result",
    "Settings": "stillwatch.scan.settings",
    "StillwatchError": "stillwatch.errors",
    "read": "stillwatch.api.exchanges",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "scan":  # the package, which can be called: see there
        return importlib.import_module("stillwatch.scan")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    """Give the public names, loaded or not."""
    return sorted({*globals(), *__all__})
