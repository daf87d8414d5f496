"""Rows into Arrow batches of the record."""

from collections.abc import Collection
from contextlib import suppress
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.exchanges import RECORD
from stillwatch.exchanges import ids as row_ids
from stillwatch.exchanges.formats import Row

TEXTS = ("system", "prompt", "completion", "earlier")
ALWAYS = ("time", "account")
ID = RECORD.get_field_index("exchange_id")


def from_rows(rows: list[Row]) -> pa.RecordBatch:
    """Return one batch of rows that `values.tidy` has checked."""
    return pa.RecordBatch.from_arrays(columns_of(rows, RECORD), schema=RECORD)


def columns_of(rows: list[Row], schema: pa.Schema) -> list[pa.Array]:
    """Return the rows' values by column; a column that no row has costs nothing."""
    if rows and set(map(len, rows)) == {len(rows[0])} and len(rows[0]) > 1:
        with suppress(KeyError):  # all rows have the same keys, as from a gateway
            values = zip(*map(itemgetter(*rows[0]), rows), strict=True)
            columns = dict(zip(rows[0], values, strict=True))
            return [
                pa.array(columns[name], type=kind) if name in columns else pa.nulls(len(rows), kind)
                for name, kind in zip(schema.names, schema.types, strict=True)
            ]
    present_names = set().union(*rows)
    return [
        pa.array([row.get(name) for row in rows], type=kind)
        if name in present_names
        else pa.nulls(len(rows), kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]


def finish(batch: pa.RecordBatch, *, columns: Collection[str] | None, keep_text: bool) -> pa.RecordBatch:
    """Add the id to every row and set columns that were not requested to null."""
    wanted = {f.name for f in RECORD if columns is None or f.name in columns or f.name in ALWAYS}
    if not keep_text:
        wanted.difference_update(TEXTS)
    given = batch.column(ID)
    if "exchange_id" in wanted and given.null_count:
        made = row_ids.derive(batch)
        arrays = batch.columns
        arrays[ID] = pc.coalesce(given, made)
        batch = pa.RecordBatch.from_arrays(arrays, schema=RECORD)
    if len(wanted) < len(RECORD):
        arrays = [
            column if field.name in wanted else pa.nulls(batch.num_rows, field.type)
            for field, column in zip(RECORD, batch.columns, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=RECORD)
    return batch
