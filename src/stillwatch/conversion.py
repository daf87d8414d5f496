"""Documents as typed records, by msgspec, in processes of several threads.

msgspec writes a type's fields down when it first meets the type. A thread that meets it at the same moment
reads fields that are not written yet, and the process crashes (seen with msgspec 0.22). So the first
conversion to each type is made alone.
"""

from threading import Lock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_MET: set[Any] = set()
_MEETING = Lock()


def convert(document: Any, kind: type[T]) -> T:
    """Give a document as a type's value.

    Raises: msgspec.ValidationError for one that does not fit.
    """
    if kind in _MET:
        return msgspec.convert(document, kind)
    with _MEETING:
        try:
            return msgspec.convert(document, kind)
        finally:
            _MET.add(kind)
