"""The SQLAlchemy tables, for reading and writing. `migrations` creates them."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    LargeBinary,
    MetaData,
    Table,
    Text,
    any_,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from stillwatch.conversion import convert

METADATA = MetaData()
Record = TypeVar("Record")
LONGEST_KEY = 1_000  # bytes; an entry of PostgreSQL's B-tree holds 2,704
_ESCAPE = "\x1a"  # "substitute": introduces what could not be stored as it is


class Words(TypeDecorator[str]):
    r"""Arbitrary text, although PostgreSQL rejects NUL and all databases reject lone surrogates.

    Such text is stored escaped, and read back unchanged. Two different texts never become one.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else to_stored(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else read_back(value)


KINDS: dict[str, type[TypeEngine[Any]] | type[Words]] = {
    "N": BigInteger, "W": Words, "T": Text, "F": Double, "B": LargeBinary,
}  # fmt: skip


def to_stored(text: str) -> str:
    """Return the stored form of a text."""
    halves = not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)
    if not halves and "\x00" not in text and not text.startswith(_ESCAPE):
        return text
    return _ESCAPE + text.encode("utf-8", "surrogatepass").hex()


def read_back(text: str) -> str:
    """Return the text of a stored form."""
    if not text.startswith(_ESCAPE):
        return text
    return bytes.fromhex(text[1:]).decode("utf-8", "surrogatepass")


def key_of(account: str) -> str:
    """Return the key of an account: its name in stored form, or a digest if an index could not hold it."""
    name = to_stored(account)
    data = name.encode("utf-8")
    if len(data) <= LONGEST_KEY:
        return name
    return f"{_ESCAPE}#{hashlib.blake2b(data, digest_size=32).hexdigest()}"


def among(db: Connection, column: Column[Any], keys: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a column is one of many keys, as one parameter instead of thousands."""
    if db.dialect.name == "postgresql":
        return column == any_(literal(list(keys), ARRAY(Text)))
    listed = func.json_each(json.dumps(list(keys), ensure_ascii=False)).table_valued("value")
    return column.in_(select(cast(listed.c.value, Text)))


def record_of(kind: type[Record], row: Mapping[Any, Any], **read: Any) -> Record:
    """Return a row as a record: each field is the column of its name, or its value in `read`."""
    values = {str(name): value for name, value in row.items()} | read
    return convert(values, kind)


def table(metadata: MetaData, name: str, columns: str) -> Table:
    """Make a table of columns, each with the letter of its type, in order."""
    pairs = (column.split(":") for column in columns.split())
    return Table(name, metadata, *(Column(column, KINDS[kind]) for column, kind in pairs))


meta = table(METADATA, "meta", "name:W value:N")
installation = table(METADATA, "installation", "id:T")
cases = table(
    METADATA,
    "cases",
    "id:W opened_us:N updated_us:N campaign:W title:W p_value:F score_bits:F exchanges:N "
    "output_tokens:N first_us:N last_us:N members:N victims:N cleared:N reopened:N raised_by:W "
    "permission:W merged_into:W split_from:W state:W verdict:W owner:W due_us:N suppressed_until_us:N "
    "suppressed_by:W suppressed_why:W appeal:W revision:N",
)
members = table(
    METADATA,
    "members",
    "case_id:W key:T account:W since_us:N last_us:N finding:N provisional:N exchanges:N verdict:W "
    "moved_to:W home:T tied:N",
)
findings = table(
    METADATA,
    "findings",
    "finding:N case_id:W at_us:N source:W campaign:W digest:W alarm_us:N p_value:F exchanges:N "
    "output_tokens:N accounts:N",
)
evidence = table(METADATA, "evidence", "finding:N case_id:W context:T campaign:B held:N")
spoken = table(METADATA, "spoken", "case_id:W detector:W first_us:N last_us:N bits:F raised:N")
detector_states = table(
    METADATA, "detector_states", "change:N detector:W at_us:N who:W state:W text:W measured:T"
)
hours = table(METADATA, "hours", "case_id:W hour_us:N exchanges:N output_tokens:N")
person_links = table(METADATA, "person_links", "link:N at_us:N name:W other:W is_one:N who:W why:W")
identity_marks = table(METADATA, "identity_marks", "name:W kind:T digest:T since_us:N")
identity_keys = table(METADATA, "identity_keys", "sealed:T")  # at most one row
leads = table(
    METADATA,
    "leads",
    "lead:W at_us:N source:W until_us:N exchanges:N answer_tokens:N document:T latest:N case_id:W",
)
acts = table(
    METADATA, "acts", "act:N case_id:W at_us:N who:W verb:W text:W sets:T undoes:N in_force:N revision:N"
)
