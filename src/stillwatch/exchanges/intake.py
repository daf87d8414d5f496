"""Decoded objects into checked rows: asks the formats, keeps the count, names the place of what is refused.

It does not know files or compression, nor what any one format looks like.
"""

from collections.abc import Iterable, Iterator

from stillwatch.exchanges import NEEDED, envelopes
from stillwatch.exchanges.column_names import ColumnNames
from stillwatch.exchanges.formats import Format, Item, Json, Refused, Row, Session, own
from stillwatch.exchanges.json_text import Good, UndecodableValue
from stillwatch.exchanges.registry import recognise
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.values import Clock, tidy

MANY = 6  # keys shown of an object that nobody recognises


class Intake:
    """One `read`'s formats in use, and what they remember across files."""

    def __init__(
        self, rejects: Rejects, clock: Clock, needs_texts: bool = True, names: ColumnNames | None = None
    ) -> None:
        self.rejects = rejects
        self.names = names or ColumnNames()
        self.needs_texts = needs_texts  # else records without a prompt column are read, too
        self.clock = clock
        self.used = 0  # objects of the current file that were understood
        self.current: Format | None = None
        self._sessions: dict[str, Session] = {}

    def new_file(self) -> None:
        self.used = 0
        self.current = None

    def rows(self, items: Iterable[Good | UndecodableValue], file: str) -> Iterator[tuple[Row, int]]:
        """Yield each good row with the size of what it was read from."""
        for item in items:
            place = f"{file}:{item.number}"
            if isinstance(item, Good) and item.note:
                self.rejects.note(place, item.note)
            if isinstance(item, UndecodableValue):
                if item.length is None:
                    self.rejects.add(place, item.reason, item.raw, offset=item.offset)
                else:
                    self.rejects.add_long(
                        place, item.reason, length=item.length, head=item.raw, offset=item.offset
                    )
                continue
            for value in item.value if isinstance(item.value, list) else [item.value]:
                for row in self.take(value, place, item.raw, item.offset):
                    yield row, len(item.raw)

    def take(self, value: object, place: str, raw: bytes | None, offset: int | None) -> Iterator[Row]:
        """The checked rows of one object; what is refused is recorded at `place`."""
        try:
            if not isinstance(value, dict):
                raise Refused(f"is a JSON {_kind(value)}; right would be one object a line")
            found: Format | None
            if self.names.are_in(value):
                value, found = self.names.row(value), own.FORMAT
            else:
                found = None if self.names else self._known_format(value)
            if found is None:
                opened = envelopes.inside(value)
                if opened is not None:
                    for inner in opened:
                        yield from self.take(inner, place, raw, offset)
                    return
                found = self._guess_format(value)
            if found.name == own.FORMAT.name and "prompt" not in value and own.textless(list(value)):
                self.rejects.textless += 1
                if not self.needs_texts:
                    value = {**value, "prompt": None}
            yield from self._check_rows(self.session(found).take(value, place), place, raw, offset)
        except Refused as why:
            self.rejects.add(place, str(why), raw, offset=offset)
        except RecursionError:  # decoded, but deeper than a format's own walk
            self.rejects.add(place, "nested too deeply to be a log record", raw, offset=offset)

    def check_header(self, names: list[str]) -> None:
        """Raises: Refused when a table of these columns is of no known format."""
        if self.names:
            wrong = self.wrong([name for name in self.names.rename(names) if name is not None])
            if wrong:
                raise Refused(wrong)
            return
        found = recognise(dict.fromkeys(names, "x"))
        if found is None or found.name == own.FORMAT.name:
            if not any(name in own.columns_of(names) for name in NEEDED):
                raise Refused(
                    "is no log of a kind known here: neither JSON, nor a table whose first line names "
                    "columns such as time, account and prompt"
                )
            wrong = self.wrong(names)
            if wrong:
                raise Refused(wrong)

    def wrong(self, names: list[str]) -> str | None:
        """What is wrong with these columns of our own record, as a sentence, or None."""
        if own.textless(names):
            self.rejects.textless += 1
            if not self.needs_texts:
                return None
        return own.missing(names)

    def finish(self) -> Iterator[Row]:
        """The rows that formats held back until everything was seen."""
        for name, session in self._sessions.items():
            yield from self._check_rows(session.finish(), name, None, None)

    def session(self, found: Format) -> Session:
        if found.name not in self._sessions:
            self._sessions[found.name] = found.open()
        return self._sessions[found.name]

    def _known_format(self, value: Json) -> Format | None:
        if self.current is not None and self.current.sniff(value):
            return self.current
        found = recognise(value)
        if found is not None:
            self.current = found
        return found

    def _guess_format(self, value: Json) -> Format:
        if self.names:
            self.names.rename(list(value))  # says which column is missing
        if self.current is not None:
            return self.current  # let it say what is missing
        keys = ", ".join(repr(key[:24]) for key in list(value)[:MANY])
        more = ", ..." if len(value) > MANY else ""
        raise Refused(
            f"is no record of a format known here (its keys: {keys or 'none'}{more}); right would be an "
            "object with time, account and prompt, or one of the sources in docs/exchanges.md"
        )

    def _check_rows(
        self, items: Iterator[Item], place: str, raw: bytes | None, offset: int | None
    ) -> Iterator[Row]:
        for item in items:
            if isinstance(item, Refused):
                self.rejects.add(item.place or place, str(item), raw, offset=offset)
            elif item == "aside":
                self.used += 1
                self.rejects.aside += 1
            else:
                assert isinstance(item, dict)
                notes: list[str] = []
                try:
                    row = tidy(item, self.clock, notes)
                except Refused as why:
                    self.rejects.add(place, str(why), raw, offset=offset)
                    continue
                for note in notes:
                    self.rejects.note(place, note)
                self.used += 1
                self.rejects.without_prompt += row.get("prompt") is None
                yield row


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {str: "text", bool: "truth value", list: "array"}.get(type(value), "number")
