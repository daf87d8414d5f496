"""Decoded objects into checked rows: asks the formats, counts, and names the place of each refusal."""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TypeVar

from stillwatch.exchanges import NEEDED, envelopes, mapping, server_logs, typed_values
from stillwatch.exchanges.batches import ALWAYS
from stillwatch.exchanges.documents import PAYER, DocumentBudget, DocumentPayer
from stillwatch.exchanges.formats import (
    BODY_ELSEWHERE,
    NO_ACCOUNT,
    UNREAD_DOCUMENTS,
    BodySession,
    Format,
    Item,
    Json,
    MappedSession,
    Refused,
    Row,
    Session,
    openai,
    own,
)
from stillwatch.exchanges.json_text import Good, UndecodableValue
from stillwatch.exchanges.links import LINK
from stillwatch.exchanges.registry import recognise
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.values import Clock, tidy, without_key

TALKS = (
    '[{"role"',
    "[{'role'",
    '[{"content"',
    "[{'content'",
    '{"messages"',
    "{'messages'",
)  # no prompt, a list
DEEP = 8  # nested envelopes that are opened to find a table's first row
SHAPES = 4096  # of records, whose format is cached
PLAIN = (None, own.FORMAT.name, openai.FORMAT.name)  # formats whose fields the owner may rename


class Intake:
    """One `read`'s formats in use, and their state across files."""

    def __init__(
        self, rejects: Rejects, clock: Clock, needs_texts: bool = True, columns: mapping.Columns | None = None
    ) -> None:
        self.columns = columns or {}  # the owner's: field -> the log's column
        self.file = ""
        self.formats: Counter[tuple[str, str]] = Counter()  # (file, format) -> rows
        self.versions: dict[tuple[str, str], str] = {}
        self.found: set[str] = set()  # fields found anywhere under these names
        self.names: tuple[str, ...] = ()  # of the first record that lacked one of them
        self.rejects = rejects
        self.needs_texts = needs_texts  # else records without a prompt column are read, too
        self.clock = clock
        self.documents = DocumentBudget()
        self.used = 0  # objects of the current file that were understood
        self.current: Format | None = None
        self._names: tuple[str, ...] = ()  # of the record that `current` read last
        self.lists = envelopes.NamedLists()
        self._seen: dict[tuple[str, ...], Format] = {}  # by a record's names: its format
        self._sessions: dict[str, Session] = {}

    def new_file(self, file: str = "") -> None:
        self.file = file
        self.used = 0
        self.current = None
        self.lists = envelopes.NamedLists()

    def rows(self, items: Iterable[Good | UndecodableValue], file: str) -> Iterator[tuple[Row, int]]:
        """Yield each good row with the size of the input it was read from."""
        for name, session in self._sessions.items():
            if isinstance(session, BodySession) and session.wants(file):
                for row, size in self._body_rows(session, items, file):
                    self.formats[file, name] += 1
                    yield row, size
                return
        for item in items:
            place = f"{file}:{item.number}"
            if isinstance(item, Good) and item.note:
                self.rejects.note(place, item.note)
            if isinstance(item, UndecodableValue):
                self._refuse(item, place)
                continue
            values = item.value if isinstance(item.value, list) else [item.value]
            if not any(isinstance(value, dict) for value in values):
                named = self.lists.take(values)
                if named is None:
                    self._set_aside()  # the line of names, or of their types
                    continue
                values = named or [item.value]  # [1, 2, 3] is one bad line
            for value in values:
                for row in self.take(value, place, item.raw, item.offset):
                    yield row, len(item.raw)

    def _body_rows(
        self, session: BodySession, items: Iterable[Good | UndecodableValue], file: str
    ) -> Iterator[tuple[Row, int]]:
        """Yield the rows that waited for a file. A client wrote it, so it is never treated as a record."""
        values: list[object] = []
        size = 0
        for item in items:
            if isinstance(item, UndecodableValue):
                self._refuse(item, f"{file}:{item.number}")
            else:
                values.append(item.value)
                size += len(item.raw)
        if values:
            body = values[0] if len(values) == 1 else values  # a stream's events
            payer = DocumentPayer(
                self.documents,
                lambda: _accounts_of_documents(lambda: _snapshot(session).take_body(file, body)),
            )
            for row in self._check_rows(
                _paid_by(payer, lambda: session.take_body(file, body)), file, None, None
            ):
                yield row, size

    def _refuse(self, item: UndecodableValue, place: str) -> None:
        if item.length is None:
            self.rejects.add(place, item.reason, item.raw, offset=item.offset)
        else:
            self.rejects.add_long(place, item.reason, length=item.length, head=item.raw, offset=item.offset)

    def take(
        self,
        value: object,
        place: str,
        raw: bytes | None,
        offset: int | None,
        envelope_fields: dict[str, object] | None = None,
    ) -> Iterator[Row]:
        """Yield the checked rows of one object; a refusal is recorded at `place`.

        envelope_fields: the owner's fields found in an envelope around the object.
        """
        try:
            if not isinstance(value, dict):
                raise Refused(f"is a JSON {_kind(value)}; right would be one object a line")
            mapped: dict[str, object] = {}
            if type(next(iter(value.values()), None)) is dict:
                value = typed_values.plain(value) or value
            format_ = self._known_format(value)
            if self.columns:
                mapped = (envelope_fields or {}) | mapping.find_fields(value, self.columns)
                self.found.update(mapped)
                if not self.names and len(mapped) < len(self.columns):
                    self.names = tuple(value)
                if (mapped or format_) and (format_.name if format_ else None) in PLAIN:
                    renamed = mapping.rename(value, self.columns, mapped)
                    renamed_format = recognise(renamed)  # a renamed body can change the format
                    value, format_, envelope_fields = (
                        (renamed, renamed_format, mapped) if renamed_format else (value, format_, mapped)
                    )
            if format_ is None or (format_ is own.FORMAT and own.plan_of(tuple(value))[1]):
                opened = _open_envelope(format_, value)
                if opened is not None:
                    if not opened:
                        self._set_aside()
                    for inner in opened:
                        yield from self.take(inner, place, raw, offset, mapped)
                    return
                format_ = format_ or self._guess_format(value)
                value = self._without_text(value) if format_ is own.FORMAT else value
            if format_.version is not None and (self.file, format_.name) not in self.versions:
                written_by = format_.version(value)
                if written_by is not None:
                    self.versions[self.file, format_.name] = written_by
            for row in self._check_rows(self._items(format_, value, place, mapped), place, raw, offset):
                self.formats[self.file, format_.name] += 1
                yield row
        except Refused as why:
            self.rejects.add(place, str(why), raw, offset=offset)
        except RecursionError:  # decodable, but too deep for a format to walk
            self.rejects.add(place, "nested too deeply to be a log record", raw, offset=offset)

    def _items(self, format_: Format, value: Json, place: str, mapped: dict[str, object]) -> Iterator[Item]:
        """Yield a format's items of an object; its documents are charged to the accounts in it."""

        def take_items(session: Session) -> Iterator[Item]:
            items = session.take(value, place)
            return _with_given(items, mapped) if mapped and format_.name not in PLAIN else items

        def accounts() -> list[str]:
            session = self._open(format_)
            return _accounts_of_documents(lambda: chain(take_items(session), session.finish()))

        return _paid_by(DocumentPayer(self.documents, accounts), lambda: take_items(self.session(format_)))

    def check_table(self, row: Json) -> None:
        """Raises: Refused for a table of no known format, judged by its first row."""
        names = self.map_names(list(row))
        format_ = recognise(dict.fromkeys(names, "x"))
        if format_ is None and not set(envelopes.AROUND).isdisjoint(names):
            return  # a shipper's table: its records are recognised one by one
        if is_known(row) or is_known(dict.fromkeys(names, "x")):
            return
        if format_ is None or format_.name == own.FORMAT.name:
            if not any(name in own.columns_of(names) for name in NEEDED):
                raise Refused(
                    "is no log of a kind known here: neither JSON, nor a table whose first line names "
                    "columns such as time, account and prompt"
                    + (f"; {mapping.hint(names)}" if mapping.are_names(names) else "")
                )
            wrong = self.wrong(names)
            if wrong:
                raise Refused(wrong)

    def map_names(self, names: list[str]) -> list[str]:
        """Return a table's columns under the record's names. Raises: Refused if a needed one is missing."""
        if not self.columns:
            return names
        format_ = recognise(dict.fromkeys(names, "x"))
        wrong = mapping.absent(self.columns, names)
        if (format_.name if format_ else None) not in PLAIN:
            return names  # another format, with its own names; the rest is looked up per row
        if wrong is not None:  # a common name may mean something else here
            raise Refused(wrong)
        return list(mapping.rename(dict.fromkeys(names, "x"), self.columns))

    def wrong(self, names: list[str]) -> str | None:
        """Return what is wrong with these columns of our own record, as a sentence, or None."""
        if own.textless(names):
            self.rejects.textless += 1
            if not self.needs_texts:
                return None
        return self.explain_names(tuple(names)) if own.missing(names) else None

    def explain_names(self, names: tuple[str, ...]) -> str:
        """Return what is wrong with these names, and what to try if some of them are unknown."""
        if known := server_logs.of_object(dict.fromkeys(names)):
            return known
        wrong = str(own.plan_of(names)[1])
        unknown = any(own.column_of(name) is None for name in names)
        return f"{wrong}; {mapping.hint(names)}" if unknown else wrong

    def explain_unfound(self) -> str | None:
        """Return what is wrong with the owner's names: fields whose column occurred in no record."""
        for session in self._sessions.values():
            self.found.update(getattr(session, "seen", ()))
        fields = [field for field in self.columns if field not in self.found]
        return mapping.explain_unfound(fields, self.columns, self.names) if fields and self.names else None

    def finish(self) -> Iterator[Row]:
        """Yield the rows that formats held back until everything was read."""
        for name, session in self._sessions.items():
            alone = partial(_accounts_of_documents, _snapshot(session).finish)
            payer = DocumentPayer(self.documents, alone)
            for row in self._check_rows(_paid_by(payer, session.finish), name, None, None):
                self.formats["", name] += 1
                yield row

    def session(self, format_: Format) -> Session:
        if format_.name not in self._sessions:
            self._sessions[format_.name] = self._open(format_)
        return self._sessions[format_.name]

    def _open(self, format_: Format) -> Session:
        opened = format_.open()
        if self.columns and isinstance(opened, MappedSession):
            opened.columns = self.columns
        return opened

    def _known_format(self, value: Json) -> Format | None:
        names = tuple(value)
        format_ = self.current if names == self._names else self._seen.get(names)
        if format_ is None or (format_ is not own.FORMAT and not format_.sniff(value)):
            format_ = recognise(value)
            if format_ is None:
                return None
            if len(self._seen) >= SHAPES:  # clients choose some of the keys
                self._seen.clear()
            self._seen[names] = format_
        self.current, self._names = format_, names
        return format_

    def _without_text(self, value: Json) -> Json:
        """Return our record that lacks only its prompt. Raises: Refused if it needs one, or lacks more."""
        if own.textless(list(value)):
            self.rejects.textless += 1
            if not self.needs_texts:
                return {**value, "prompt": None}
        if own.plan_of(tuple(value))[1]:
            raise Refused(self.explain_names(tuple(value)))
        return value

    def _guess_format(self, value: Json) -> Format:
        if self.current is not None and self.current.name in PLAIN:
            return self.current  # so that it reports what is missing
        raise Refused(
            "is no record of a format known here (docs/exchanges.md); right would be an object with time, "
            f"account and prompt; {mapping.hint(tuple(mapping.paths_of(value)))}"
        )

    def _set_aside(self) -> None:
        self.used += 1
        self.rejects.aside += 1

    def _check_rows(
        self, items: Iterator[Item], place: str, raw: bytes | None, offset: int | None
    ) -> Iterator[Row]:
        for item in items:
            if isinstance(item, Refused):
                self.rejects.add(item.place or place, str(item), raw, offset=offset)
            elif item == "aside":
                self._set_aside()
            else:
                assert isinstance(item, dict)
                notes: list[str] = []
                unnamed = bool(item.pop(NO_ACCOUNT, False))
                if item.pop(BODY_ELSEWHERE, False):
                    self.rejects.bodies_elsewhere += 1
                unread = item.pop(UNREAD_DOCUMENTS, None)
                try:
                    row = tidy(item, self.clock, notes)
                except Refused as why:
                    self.rejects.add(place, str(why), raw, offset=offset)
                    continue
                for note in notes:
                    self.rejects.note(place, note)
                self.used += 1
                self.rejects.without_account += unnamed
                if isinstance(unread, tuple):
                    self.rejects.unread_documents.update(unread)
                account = str(row["account"])
                row["account"] = without_key(account)
                self.rejects.named_by_key += row["account"] != account
                prompt = row.get("prompt")
                self.rejects.without_prompt += prompt is None
                self.rejects.talks += isinstance(prompt, str) and prompt.startswith(TALKS)
                yield row


def _open_envelope(format_: Format | None, value: Json) -> list[object] | None:
    """Return the content of an envelope; None for a whole record. Raises: Refused for server logs."""
    if format_ is not None:
        return envelopes.around_part(value)
    if problem := server_logs.of_object(value):
        raise Refused(problem)
    return envelopes.inside(value)


def is_known(obj: Json, depth: int = DEEP) -> bool:
    """Return whether an object is of another format than ours, or an envelope around a whole record."""
    format_ = recognise(obj)
    if format_ is not None:
        return format_ is not own.FORMAT or envelopes.around_part(obj) is not None
    opened = envelopes.inside(obj) if depth else None
    return opened is not None and all(
        isinstance(inner, dict) and (envelopes.is_whole(inner) or is_known(inner, depth - 1))
        for inner in opened
    )


S = TypeVar("S", bound=Session)


def _paid_by(payer: DocumentPayer, items: Callable[[], Iterable[Item]]) -> Iterator[Item]:
    """Yield items whose documents are read at a payer's cost."""
    found: Iterator[Item] | None = None
    while True:
        before = PAYER.get()
        PAYER.set(payer)
        try:
            found = iter(items()) if found is None else found
            item = next(found)
        except StopIteration:
            return
        finally:
            PAYER.set(before)
        yield item


def _accounts_of_documents(items: Callable[[], Iterable[Item]]) -> list[str]:
    """Return the account of each document in some items, in reading order, without reading any."""
    found: list[str] = []
    with suppress(Refused, RecursionError):
        for item in _paid_by(DocumentPayer(), items):
            row = item if isinstance(item, dict) else item.row if isinstance(item, Refused) else None
            if row is not None and isinstance(unread := row.get(UNREAD_DOCUMENTS), tuple):
                documents = [why for why in unread if why != LINK]
                found += [str(row.get("account") or "")] * len(documents)
    return found


def _snapshot(session: S) -> S:
    """Return a copy of a session, so that another that finishes first takes nothing from it."""
    made = copy.copy(session)
    own = getattr(made, "__dict__", {})
    own |= {name: dict(value) for name, value in own.items() if isinstance(value, dict)}
    return made


def _with_given(items: Iterator[Item], given: dict[str, object]) -> Iterator[Item]:
    """Yield items with the owner's fields added, also to those rejected for lack of one."""
    named = mapping.row_of(given)
    try:
        for item in items:
            yield _with_fields(item, named)
    except Refused as why:
        completed = _with_fields(why, named)
        if completed is why:
            raise
        yield completed


def _with_fields(item: Item, named: Row) -> Item:
    """Return a row with the owner's fields, or one rejected only for lack of them; else the item."""
    if isinstance(item, dict):
        return item | named
    if isinstance(item, Refused) and item.row is not None:
        row = item.row | named
        return row if all(row.get(name) is not None for name in ALWAYS) else item
    return item


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {str: "text", bool: "truth value", list: "array"}.get(type(value), "number")
