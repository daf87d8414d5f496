"""What a log format is: how it is recognised, and how one of its objects becomes rows of the record.

A format is one file in this folder with a `FORMAT` in it; `registry.py` beside this folder finds it there.
A format knows nothing of files, compression, line numbers or batches, and it never invents a value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from stillwatch.errors import StillwatchError

Json = Mapping[str, object]
# field of the record -> value as the source wrote it; values.tidy() checks and converts
Row = dict[str, object]

NO_ACCOUNT = "no_account"  # a row's mark, no column: its source named no account, and another name stands in
BODY_ELSEWHERE = "body_elsewhere"  # the same: its texts lie in a file of their own, which was not read
UNREAD_DOCUMENTS = "unread_documents"  # the same: of each document in it that was not read, why


class Refused(StillwatchError):
    """This object, or one part of it, cannot become a row. The reader that caught it adds the place."""

    def __init__(self, reason: str, place: str | None = None, *, row: "Row | None" = None) -> None:
        super().__init__(reason)
        self.place = place  # only where the object was read earlier than it is refused
        self.row = row  # where only its time or account is missing: the owner's mapping may have them


# read and understood, but no exchange of its own (a piece, a join row, a span)
ASIDE: Literal["aside"] = "aside"

Item = Row | Refused | Literal["aside"]


class Session(Protocol):
    """One format's memory during one `read`. Only formats that join or re-assemble need any."""

    def take(self, obj: Json, place: str) -> Iterator[Item]: ...

    def finish(self) -> Iterator[Item]: ...


@runtime_checkable
class MappedSession(Session, Protocol):
    """A session whose records lie deep inside its objects: it applies the owner's names itself."""

    columns: Mapping[str, str]


@runtime_checkable
class BodySession(Session, Protocol):
    """A session whose records may keep their bodies in files of their own."""

    def wants(self, file: str) -> bool:
        """Whether a record that was read names this file as its body."""

    def take_body(self, file: str, body: object) -> Iterator[Item]: ...


@dataclass(frozen=True)
class Format:
    name: str  # as it stands in messages and docs
    order: int  # asked in this order: the more particular first
    sniff: Callable[[Json], bool]  # is this object one of ours? cheap: keys only
    open: Callable[[], Session]
    version: Callable[[Json], str | None] | None = None  # what an object says of the software that wrote it
    bodies: re.Pattern[str] | None = None  # of files that may be bodies of its records: they are read last
    protobuf: str | None = None  # module that turns this format's protobuf bytes into objects, if it has such


@dataclass(frozen=True)
class Stateless:
    """A session for formats in which each object stands alone."""

    rows: Callable[[Json], Iterator[Item]]

    def take(self, obj: Json, place: str) -> Iterator[Item]:
        return self.rows(obj)

    def finish(self) -> Iterator[Item]:
        return iter(())
