"""The public names and their types, see `__init__.py`."""

from stillwatch.api.exchanges import Exchanges as Exchanges
from stillwatch.api.exchanges import read as read
from stillwatch.api.live import LiveAlarm as LiveAlarm
from stillwatch.api.live import LiveScanner as LiveScan
from stillwatch.api.result import ResultTable as ResultTable
from stillwatch.api.result import ScanReport as ScanReport
from stillwatch.api.scanning import scan as scan
from stillwatch.errors import InputError as InputError
from stillwatch.errors import StillwatchError as StillwatchError
from stillwatch.scan.live import Keep as Keep
from stillwatch.scan.settings import DetectionSettings as Settings

__version__: str
__all__ = [
    "Exchanges",
    "InputError",
    "Keep",
    "LiveAlarm",
    "LiveScan",
    "ResultTable",
    "ScanReport",
    "Settings",
    "StillwatchError",
    "__version__",
    "read",
    "scan",
]
