"""A scan's campaigns, leads and accounts as Arrow tables. Times are in microseconds UTC, lists stay lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from stillwatch.report.page import start_of
from stillwatch.scan import AccountVerdict, Campaign, Lead

_TIME = pa.timestamp("us", tz="UTC")
_NAMES = pa.list_(pa.string())
_REASON = pa.struct([("detector", pa.string()), ("text", pa.string()), ("bits", pa.float64())])
_ALTERNATIVE = pa.struct([("kind", pa.string()), ("text", pa.string())])

Column = tuple[pa.DataType, Callable[[Any], object]]
_CAMPAIGN: Mapping[str, Column] = {
    "id": (pa.string(), lambda c: c.id),
    "accounts": (_NAMES, lambda c: sorted(set(c.accounts))),
    "since": (_TIME, start_of),
    "alarm_at": (_TIME, lambda c: c.alarm_at),
    "p_value": (pa.float64(), lambda c: c.p_value),
    "score_bits": (pa.float64(), lambda c: c.score_bits),
    "exchanges": (pa.int64(), lambda c: c.harvest.exchanges),
    "output_tokens": (pa.int64(), lambda c: c.harvest.output_tokens),
    "exchanges_at_alarm": (pa.int64(), lambda c: c.harvest_at_alarm.exchanges),
    "output_tokens_at_alarm": (pa.int64(), lambda c: c.harvest_at_alarm.output_tokens),
    "title": (pa.string(), lambda c: c.title),
    "suppressed_by": (pa.string(), lambda c: c.suppressed_by),
    "reasons": (
        pa.list_(_REASON),
        lambda c: [
            {"detector": r.detector, "text": r.text, "bits": r.bits}
            for r in sorted(c.reasons, key=lambda r: (-r.bits, r.detector, r.text))
        ],
    ),
    "benign_alternatives": (pa.list_(_ALTERNATIVE), lambda c: list(map(asdict, c.benign_alternatives))),
}
_LEAD: Mapping[str, Column] = {
    "id": (pa.string(), lambda lead: lead.id),
    "accounts": (_NAMES, lambda lead: list(lead.accounts)),
    "since": (_TIME, lambda lead: lead.since),
    "p_value": (pa.float64(), lambda lead: lead.p_value),
    "exchanges": (pa.int64(), lambda lead: lead.exchanges),
    "hands": (pa.string(), lambda lead: lead.hands),
    "text": (pa.string(), lambda lead: lead.text),
    "answer_tokens": (pa.int64(), lambda lead: lead.answer_tokens),
}
_ACCOUNT: Mapping[str, Column] = {
    "account": (pa.string(), lambda a: a.account),
    "campaign": (pa.string(), lambda a: a.campaign),
    "p_value": (pa.float64(), lambda a: a.p_value),
    "kind_of_use": (pa.string(), lambda a: a.kind_of_use),
    "exchanges": (pa.int64(), lambda a: a.exchanges),
    "kind_evidence": (pa.string(), lambda a: a.kind_evidence),
}


def _table(rows: Sequence[Any], columns: Mapping[str, Column]) -> pa.Table:
    return pa.table(
        {name: pa.array([value(row) for row in rows], kind) for name, (kind, value) in columns.items()}
    )


def campaigns(rows: Sequence[Campaign]) -> pa.Table:
    return _table(rows, _CAMPAIGN)


def leads(rows: Sequence[Lead]) -> pa.Table:
    return _table(rows, _LEAD)


def accounts(rows: Sequence[AccountVerdict]) -> pa.Table:
    return _table(rows, _ACCOUNT)
