"""What a log format is: how it is recognised, and how its objects become rows of the record.

A format is one file in this folder that defines `FORMAT`; `registry.py` beside this folder finds it. It deals
with single objects, not with files or compression, and never invents a value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from stillwatch.errors import StillwatchError

Json = Mapping[str, object]
# field of the record -> value as the source wrote it; values.tidy() checks and converts
Row = dict[str, object]

NO_ACCOUNT = "no_account"  # a row's mark, not a column: the source named no account; another name stands in
BODY_ELSEWHERE = "body_elsewhere"  # same: its texts are in a separate file that was not read
UNREAD_DOCUMENTS = "unread_documents"  # same: for each document in it that was not read, the reason


class Refused(StillwatchError):
    """This object, or one part of it, cannot become a row. The reader that catches it adds the place."""

    def __init__(self, reason: str, place: str | None = None, *, row: "Row | None" = None) -> None:
        super().__init__(reason)
        self.place = place  # only if the object was read earlier than it is rejected
        self.row = row  # if only its time or account is missing: the owner's mapping may supply them


# read and understood, but not an exchange of its own (a piece, a join row, a span)
ASIDE: Literal["aside"] = "aside"

Item = Row | Refused | Literal["aside"]


class Session(Protocol):
    """One format's state during one `read`. Only formats that join or reassemble need any."""

    def take(self, obj: Json, place: str) -> Iterator[Item]: ...

    def finish(self) -> Iterator[Item]: ...


@runtime_checkable
class MappedSession(Session, Protocol):
    """A session whose records lie deep inside its objects: it applies the owner's names itself."""

    columns: Mapping[str, str]


@runtime_checkable
class BodySession(Session, Protocol):
    """A session whose records may have their bodies in separate files."""

    def wants(self, file: str) -> bool:
        """Return whether a record already read names this file as its body."""

    def take_body(self, file: str, body: object) -> Iterator[Item]: ...


@dataclass(frozen=True)
class Format:
    name: str  # as used in messages and docs
    order: int  # tried in this order: the more specific first
    sniff: Callable[[Json], bool]  # is this an object of the format? cheap: checks keys only
    open: Callable[[], Session]
    version: Callable[[Json], str | None] | None = None  # the software version that an object names
    bodies: re.Pattern[str] | None = None  # files that may be bodies of its records: they are read last
    protobuf: str | None = None  # module that decodes this format's protobuf bytes into objects, if any


@dataclass(frozen=True)
class Stateless:
    """A session for formats in which each object stands alone."""

    rows: Callable[[Json], Iterator[Item]]

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        return self.rows(obj)

    def finish(self) -> Iterator[Item]:
        return iter(())
