"""What follows from a short name alone, computed once: of a JSON key, of a header. It knows neither.

Clients and servers write few names again and again, and each is asked about several times a request.
"""

from collections.abc import Callable
from typing import TypeVar

MOST, LONGEST = 4_096, 64  # names, and characters of one: clients make names up
_Name = TypeVar("_Name", str, bytes)
_Value = TypeVar("_Value")


class KnownNames(dict[_Name, _Value]):
    """`known[name]` gives `of(name)`.

    >>> KnownNames(str.lower)["User"]
    'user'
    """

    def __init__(self, of: Callable[[_Name], _Value]) -> None:
        super().__init__()
        self._of: Callable[[_Name], _Value] = of

    def __missing__(self, name: _Name) -> _Value:
        value = self._of(name)
        if len(self) < MOST and len(name) <= LONGEST:
            self[name] = value
        return value
