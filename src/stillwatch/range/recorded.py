"""Records an attacker's requests in the log, like any composed request."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.range.attackers import Try
from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.market import HeldAccount
from stillwatch.range.placing import PlaceCapture
from stillwatch.range.rows import exchange_row
from stillwatch.units import DAY_US, time_of, us

PLAN = CampaignPlan("contest", "adaptive", 1, 1, 0.0, 1.0, (), 1)  # used only for the sizes of answers


class ParquetRecorder:
    """Writes records of one schema."""

    def __init__(
        self, schema: pa.Schema, begin: datetime, new_model_day: float, rng: np.random.Generator
    ) -> None:
        self.schema, self._begin, self._new_model_day, self._rng = schema, begin, new_model_day, rng
        self._begin_us = us(begin)
        self._captured = PlaceCapture()
        self._talks: dict[str, tuple[str | None, int]] = {}  # conversation and tokens so far

    def row(self, t: Try, held: HeldAccount, failed: bool) -> dict[str, Any]:
        """Return one exchange as the provider records it."""
        donor = replace(held.who.donor, temperature=t.temperature, max_tokens=t.max_tokens)
        request = PlannedRequest(
            0,
            (t.at_us - self._begin_us) / DAY_US,
            t.prompt,
            t.system,
            t.turn,
            covert=t.item is not None,
            model=t.model,
            status=429 if failed else 200,
            dropped=t.dropped,
            tools=t.tools,
        )
        who = replace(held.who, account=t.account, donor=donor)
        row = exchange_row(request, who, PLAN, self._begin, self._new_model_day, self._rng)
        row["time"] = time_of(t.at_us)
        if t.place != "message":
            self._captured.put(row, t.place)
        if t.talk is not None:
            conversation, history = self._talks.get(t.talk, (row["conversation"], 0))
            row["conversation"] = conversation
            row["input_tokens"] += history
            visible = row["output_tokens"] - row["reasoning_tokens"]
            self._talks[t.talk] = (conversation, row["input_tokens"] + visible)
        return row

    def table(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Return the records as a table; columns that an attacker never fills are null."""
        return pa.Table.from_pylist(rows, self.schema)
