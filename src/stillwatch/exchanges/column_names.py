"""Which column of a log holds which column of the record, as a person says it. It reads no log.

Where names are said, the log is taken for one in our own record's shape: no other format is recognised in it.
"""

from collections.abc import Collection, Mapping, Sequence

from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.formats import Refused


class ColumnNames:
    """Names of the record's columns in one log: {"account": "tenant_name"}. Empty where none are said.

    The named column counts, and nothing else does for it: neither a column that has the record's own name nor
    one that an alias would find. Otherwise two rows of one log could name two payers.
    """

    def __init__(
        self, columns: Mapping[str, object] | None = None, *, known: Collection[str] | None = None
    ) -> None:
        """Check the names. known: the columns that can be named, those of the record by default.

        Raises: InputError for a column that does not exist, or one name for two columns.
        """
        known = RECORD.names if known is None else known
        self.columns: dict[str, str] = {}
        written: dict[str, str] = {}
        for column, name in (columns or {}).items():
            if column not in known:
                raise InputError(f"columns: there is no column {column!r}; right would be {', '.join(known)}")
            if not isinstance(name, str) or not name:
                raise InputError(
                    f"columns: {column!r} is {name!r}; right would be a column's name in the log"
                )
            if name in written:
                raise InputError(
                    f"columns: {name!r} is named for {written[name]!r} and for {column!r}; copy the column, "
                    "or leave one out"
                )
            self.columns[column], written[name] = name, column
        self._column_of = written

    def __bool__(self) -> bool:
        return bool(self.columns)

    def are_in(self, names: Collection[str]) -> bool:
        """Whether a record with these names has any of the columns that are named."""
        return any(name in self._column_of for name in names)

    def rename(self, names: Sequence[str]) -> list[str | None]:
        """The name of each column of a table by the record; None for a column that must not count.

        Raises: Refused where the table lacks a column that is named.
        """
        for column, name in self.columns.items():
            if name not in names:
                has = ", ".join(repr(one) for one in names[:12]) + (", ..." if len(names) > 12 else "")
                raise Refused(
                    f"has no column {name!r}, which is named for '{column}'; it has {has or 'none'}"
                )
        return [self._column_of.get(name, None if name in self.columns else name) for name in names]

    def row(self, obj: Mapping[str, object]) -> dict[str, object]:
        """One record of a log under the record's names; a named column that it lacks is null."""
        rest = {
            name: value
            for name, value in obj.items()
            if name not in self.columns and name not in self._column_of
        }
        return {column: obj.get(name) for column, name in self.columns.items()} | rest
