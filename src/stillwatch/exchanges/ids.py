"""Exchange ids from a row's content, for sources without any: the same row always gets the same id.

128 bits from two 64-bit lanes of multiply-and-xor over each column's bytes (the mixing of wyhash, Wang Yi
2019). Fast, the same on every machine, and *not* cryptographic: a client that chooses texts could make two
collide, except that the time and the account, which it does not choose, are mixed in. Rows equal in every
column get one id and count once: in a log without ids, with times no finer than a second, true repetitions
within a second merge.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges import RECORD

Words = NDArray[np.uint64]
UNNAMED = ("exchange_id", "earlier")  # the second was added later: rows keep their ids

_K1 = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd


def derive(batch: pa.RecordBatch) -> pa.Array:
    """Return ids for a batch in the RECORD schema, from every column but UNNAMED; nulls add nothing."""
    rows = batch.num_rows
    state = np.empty((rows, 2), dtype=np.uint64)
    state[:, 0], state[:, 1] = 1, 2
    for index, field in enumerate(RECORD):
        column = batch.column(index)
        if field.name in UNNAMED or column.null_count == rows:
            continue
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        # mixes in the column: the same text in another column is another row
        name = np.where(valid, np.uint64(index + 1), np.uint64(0))
        kernels.row_numbers(state, name, valid, rows)
        if pa.types.is_string(field.type):
            _, starts, data = column.buffers()
            offsets = np.frombuffer(starts, dtype=np.int32)[column.offset : column.offset + rows + 1]
            text = np.frombuffer(data or b"", dtype=np.uint8)
            kernels.row_texts(state, text, offsets.astype(np.int64), valid, rows)
        else:
            kernels.row_numbers(state, _as_words(column), valid, rows)
    state[:, 0] ^= state[:, 1] * _K1  # couples the lanes, so that all 128 bits count
    lanes = np.ascontiguousarray(state.astype(">u8")).view(np.uint8).tobytes().hex()
    return pa.array([f"row_{lanes[i : i + 32]}" for i in range(0, 32 * rows, 32)], pa.string())


def _as_words(column: pa.Array) -> Words:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    wide = values.astype(np.float64) if values.dtype.kind == "f" else values.astype(np.int64)
    return np.ascontiguousarray(wide).view(np.uint64)
