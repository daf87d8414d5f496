"""Stillwatch watches a model API for unauthorised distillation.

    import stillwatch as sw

    result = sw.scan("logs/*.parquet", accounts="accounts.csv")
    result.campaigns.to_pandas()

`__all__` lists the public interface. Each name is loaded on first use, so the import alone is cheap.
`__init__.pyi` declares the same names to type checkers.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
_PLACES = {  # public name -> its module, and its name there
    "Exchanges": ("stillwatch.api.exchanges", "Exchanges"),
    "InputError": ("stillwatch.errors", "InputError"),
    "Keep": ("stillwatch.scan.live", "Keep"),
    "LiveAlarm": ("stillwatch.api.live", "LiveAlarm"),
    "LiveScan": ("stillwatch.api.live", "LiveScanner"),
    "ResultTable": ("stillwatch.api.result", "ResultTable"),
    "ScanReport": ("stillwatch.api.result", "ScanReport"),
    "Settings": ("stillwatch.scan.settings", "DetectionSettings"),
    "StillwatchError": ("stillwatch.errors", "StillwatchError"),
    "read": ("stillwatch.api.exchanges", "read"),
}
__all__ = ["__version__", "scan", *_PLACES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "scan":  # the package, which can be called: see there
        return importlib.import_module("stillwatch.scan")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _PLACES[name]
    value = globals()[name] = getattr(importlib.import_module(module), there)
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
