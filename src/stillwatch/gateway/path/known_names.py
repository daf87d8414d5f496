"""A cache of what follows from a short name alone, such as a JSON key or a header.

Clients and servers repeat the same few names, and each is looked up several times a request.
"""

from collections.abc import Callable
from typing import TypeVar

MOST, LONGEST = 4_096, 64  # names, and characters of one: clients can invent names
_Name = TypeVar("_Name", str, bytes)
_Value = TypeVar("_Value")


class KnownNames(dict[_Name, _Value]):
    """`known[name]` is `of(name)`.

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
