"""A batch with our own columns, in any Arrow types, converted into the record one column at a time.

Same rules as `values.py`; falls back to single rows only if a column cannot be converted as a whole.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.exchanges import RECORD
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.values import (
    BOOLS,
    CHOSEN,
    CONVERT,
    FLOATS,
    INTS,
    SECRET,
    WORDED,
    Clock,
    as_text,
    as_time,
    check_time,
    without_key,
)

ACCOUNT = RECORD.get_field_index("account")
Bad = dict[int, str]  # row in the batch -> reason for rejection
Notes = list[tuple[int, str]]  # row in the batch -> client-chosen value that was left empty


def convert(
    batch: pa.RecordBatch, plan: dict[str, str], clock: Clock, notes: Notes | None = None
) -> tuple[pa.RecordBatch, Bad]:
    """Convert `batch`; `plan` maps each record column present to its written name.

    Returns the good rows and the rejected ones. Values left empty are appended to `notes`.

    Raises: Refused if a column has an impossible type.
    """
    bad: Bad = {}
    arrays = []
    for field in RECORD:
        written = plan.get(field.name)
        if written is None:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(written)
        if pa.types.is_dictionary(column.type):
            column = _decode(column)
        try:
            wrong_cells: Bad = {}
            arrays.append(_column(field, column, clock, wrong_cells))
            worded = field.name in WORDED and _is_text(column.type)
            if notes is not None and (worded or field.name in CHOSEN):
                notes.extend(wrong_cells.items())
            else:
                bad = wrong_cells | bad
        except Refused as why:
            raise Refused(f"column '{written}' is of type {column.type}: {why}") from None
    _check_required(arrays, bad, clock)
    converted = pa.RecordBatch.from_arrays(arrays, schema=RECORD)
    if bad:
        keep = np.ones(batch.num_rows, dtype=bool)
        keep[list(bad)] = False
        converted = converted.filter(pa.array(keep))
    return converted, bad


def _column(field: pa.Field, column: pa.Array, clock: Clock, bad: Bad) -> pa.Array:
    if pa.types.is_null(column.type) or (
        pa.types.is_floating(column.type)
        and _no_nan(column).null_count == len(column)  # an empty column in pandas
    ):
        return pa.nulls(len(column), field.type)
    if field.name == "time":
        return _time(column, clock, bad)
    if field.name == "tools" and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return pc.list_value_length(column).cast(pa.int32())
    if field.name in INTS:
        return _ints(field, column, bad)
    if field.name in FLOATS:
        return _floats(field, column, bad)
    if field.name in BOOLS:
        return column if pa.types.is_boolean(column.type) else _by_row(field, column, bad)
    return _texts(field, column, bad)


def without_keys(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """Apply `values.without_key` to a batch's accounts; return it and how many rows that changed."""
    accounts = batch.column(ACCOUNT)
    changed = pc.sum(pc.match_substring_regex(accounts, SECRET)).as_py() or 0
    if not changed:
        return batch, 0
    coded = accounts.dictionary_encode()
    names = pa.array([without_key(name) for name in coded.dictionary.to_pylist()], type=pa.string())
    return batch.set_column(ACCOUNT, RECORD.field(ACCOUNT), names.take(coded.indices)), changed


def _decode(column: pa.DictionaryArray) -> pa.Array:
    """Remove a column's dictionary encoding. Arrow cannot take views out of one (polars' categories)."""
    values = column.dictionary
    if pa.types.is_string_view(values.type):
        column = pa.DictionaryArray.from_arrays(column.indices, values.cast(pa.large_string()))
    return column.dictionary_decode()


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _texts(field: pa.Field, column: pa.Array, bad: Bad) -> pa.Array:
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        try:  # names stored as numbers: pandas' columns with a gap, BigQuery's NUMERIC
            column = _no_nan(column).cast(pa.int64()) if pa.types.is_floating(column.type) else column
        except pa.ArrowInvalid:
            raise Refused("right would be text") from None
        return _by_row(field, column, bad)
    if not (_is_text(column.type) or pa.types.is_integer(column.type) or _is_binary(column.type)):
        raise Refused("right would be text")
    try:
        text = column.cast(pa.string())
        text.validate(full=True)  # Parquet promises UTF-8 but does not check it
        return text
    except pa.ArrowInvalid:
        return _by_row(field, column.cast(pa.binary()), bad)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _ints(field: pa.Field, column: pa.Array, bad: Bad) -> pa.Array:
    if pa.types.is_floating(column.type):
        column = _no_nan(column)
    if _is_number(column.type):
        low, high = INTS[field.name]
        if field.name == "latency_ms" and pa.types.is_floating(column.type):
            column = pc.round(column)
        try:
            whole_numbers = column.cast(pa.int64())
            span = pc.min_max(whole_numbers).as_py()
            if span["min"] is None or (span["min"] >= low and span["max"] <= high):
                return whole_numbers.cast(field.type)
        except pa.ArrowInvalid:
            pass
        return _by_row(field, column, bad)
    if _is_text(column.type):
        return _by_row(field, column, bad)
    raise Refused("right would be whole numbers")


def _floats(field: pa.Field, column: pa.Array, bad: Bad) -> pa.Array:
    if _is_text(column.type):
        return _by_row(field, column, bad)
    if not _is_number(column.type):
        raise Refused("right would be numbers")
    numbers = _no_nan(column.cast(pa.float64(), safe=False))
    if pc.any(pc.is_inf(numbers)).as_py():
        return _by_row(field, numbers, bad)
    return numbers


def _no_nan(column: pa.Array) -> pa.Array:
    """Replace NaN, NumPy's way of writing null, by null."""
    nan = pc.is_nan(column)
    return pc.if_else(nan, None, column) if pc.any(nan).as_py() else column


def _by_row(field: pa.Field, column: pa.Array, bad: Bad) -> pa.Array:
    convert_one: Callable[[object], object] = CONVERT.get(field.name, lambda value: as_text(_utf8(value)))
    return pa.array(_each(column, convert_one, field.name, bad), type=field.type)


def _utf8(value: object) -> object:
    try:
        return value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise Refused("is not UTF-8") from None


def _each(column: pa.Array, convert_value: Callable[[object], object], name: str, bad: Bad) -> list[object]:
    values: list[object] = []
    if _is_text(column.type):
        column = column.cast(pa.binary())  # invalid UTF-8 must fail per row, not per column
        convert_text, convert_value = convert_value, lambda value: convert_text(_utf8(value))
    for row, value in enumerate(column.to_pylist()):
        try:
            values.append(None if value is None else convert_value(value))
        except Refused as why:
            bad.setdefault(row, str(why) if name == "time" else f"column {name} {why}")
            values.append(None)
    return values


def _time(column: pa.Array, clock: Clock, bad: Bad) -> pa.Array:
    kind = column.type
    target = pa.timestamp("us", tz="UTC")
    if pa.types.is_timestamp(kind):
        if kind.tz is None and not clock.assume_utc:
            raise Refused(
                "a time without a zone; right would be timestamp[us, tz=UTC] (or say that such times are "
                "UTC: --assume-utc, in Python assume_utc=True)"
            )
        return column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(target)
    if pa.types.is_integer(kind):
        raw = column.cast(pa.int64(), safe=False)
        values = raw.fill_null(0).to_numpy(zero_copy_only=False)
        size = np.abs(values)
        unit = np.select([size < 10**11, size < 10**14, size < 10**17], [1_000_000, 1_000, 1], default=0)
        us = np.where(unit == 0, values // 1000, values * unit)
        return pa.array(us, type=pa.int64(), mask=raw.is_null().to_numpy(zero_copy_only=False)).cast(target)
    if _is_text(kind) or pa.types.is_floating(kind):
        times = _each(column, lambda value: as_time(value, clock), "time", bad)
        return pa.array(times, type=pa.int64()).cast(target)
    raise Refused("right would be a timestamp with a zone, ISO 8601 text or an epoch number")


def _check_required(arrays: list[pa.Array], bad: Bad, clock: Clock) -> None:
    time = arrays[RECORD.get_field_index("time")]
    account = arrays[RECORD.get_field_index("account")]
    us = time.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((us < clock.first_us) | (us > clock.last_us)):
        index = int(row)
        if index in bad:
            continue
        if not time[index].is_valid:
            bad[index] = "column time is empty; every exchange needs one"
            continue
        try:
            check_time(int(us[index]), clock)
        except Refused as why:
            bad[index] = str(why)
    empty = pc.fill_null(pc.equal(account, ""), True).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(empty):
        bad.setdefault(int(row), "column account is empty; every exchange needs one")
