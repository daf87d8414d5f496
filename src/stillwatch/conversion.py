"""Documents as typed records, by msgspec, safe in processes with several threads.

msgspec records a type's fields when it first meets the type. A second thread that meets the type at the same
moment reads incomplete fields, and the process crashes (seen with msgspec 0.22). So the first conversion to
each type holds a lock.
"""

from threading import Lock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_MET: set[Any] = set()
_MEETING = Lock()


def convert(document: Any, kind: type[T]) -> T:
    """Return a document as a value of a type.

    Raises: msgspec.ValidationError if it does not fit.
    """
    if kind in _MET:
        return msgspec.convert(document, kind)
    with _MEETING:
        try:
            return msgspec.convert(document, kind)
        finally:
            _MET.add(kind)
