"""Limits requests that use no model, so that they crowd no others out of the detector's memory.

Listings and refusals cost their sender almost nothing and are rows like all others: one key could push weeks
of all exchanges out of the detector's memory. The segments keep every row.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.units import HOUR_US

MOST = 1_000  # of one account in one hour
HOURS = 24  # hours that are counted: later rows are rare
ASKS = pa.array(["chat", "text_completion", "embeddings"])  # operations that use a model


class Thinning:
    """Takes tables in the order in which they arrive, and returns them without the excess."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._had: Counter[tuple[str, int]] = Counter()
        self._newest = 0
        self.left_out = 0

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table without an account's rows beyond `most` an hour that use no model."""
        if "outcome" not in table.column_names or "operation" not in table.column_names:
            return table
        asks = pc.and_(
            pc.or_kleene(pc.is_in(table["operation"], value_set=ASKS), pc.is_null(table["operation"])),
            pc.not_equal(pc.fill_null(table["outcome"], ""), "refused"),
        )
        keep = asks.to_numpy(zero_copy_only=False).astype(bool)
        idle = np.flatnonzero(~keep)
        if len(idle) == 0:
            return table
        accounts = table["account"].take(pa.array(idle)).to_pylist()
        hours = (table["time"].cast(pa.int64()).to_numpy()[idle] // HOUR_US).tolist()
        for at, key in zip(idle.tolist(), zip(accounts, hours, strict=True), strict=True):
            self._had[key] += 1
            keep[at] = self._had[key] <= self._most
        if max(hours) > self._newest:
            self._newest = max(hours)
            oldest = self._newest - HOURS
            self._had = Counter({key: n for key, n in self._had.items() if key[1] >= oldest})
        left_out = int(len(keep) - keep.sum())
        self.left_out += left_out
        return table.filter(pa.array(keep)) if left_out else table
