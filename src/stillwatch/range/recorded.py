"""How an attacker's request stands in the log: tokens, status, address. It knows no defence."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.range.attackers import Try
from stillwatch.range.attackers.market import Held
from stillwatch.range.identity import token

REASONS = ("mira-think", "mira-think-2")
# Medians of a composed campaign's answers: a reasoning trace is 3,000 to 8,000 tokens.
VISIBLE, COVER_VISIBLE, THOUGHT, COVER_THOUGHT = 450.0, 260.0, 4000.0, 1300.0
MS_PER_TOKEN = 10.7
CUT_AT = 0.9  # share of an answer after which a stream is dropped


class Recorder:
    """Writes records of one schema."""

    def __init__(self, schema: pa.Schema, rng: np.random.Generator) -> None:
        self.schema, self._rng = schema, rng
        self._history: dict[str, int] = {}  # conversation -> tokens so far

    def row(self, t: Try, held: Held, failed: bool) -> dict[str, Any]:
        """One exchange as the provider records it."""
        rng, like = self._rng, held.who.donor
        text = t.prompt + (t.system or "")
        wide = sum(ord(c) > 0x2E7F for c in text)
        given = max(1, int((len(text) - wide) * rng.normal(0.26, 0.01) + wide * 0.8))
        covert = t.item is not None
        visible = max(1, int(rng.lognormal(np.log(VISIBLE if covert else COVER_VISIBLE), 0.7)))
        thought = 0
        if t.model in REASONS:
            median = THOUGHT if covert else COVER_THOUGHT
            thought = min(28_000, int(rng.lognormal(np.log(median), 1.2)))
        cap = t.max_tokens or 10**6
        output, thought = min(visible + thought, cap), min(thought, cap)
        status, finish = (429, None) if failed else (200, "length" if output == cap else "stop")
        if failed:
            output = thought = 0
        elif t.dropped:
            output, finish = int(output * CUT_AT), None
            thought = min(thought, output)
        ip, asn = held.who.addresses[rng.integers(len(held.who.addresses))]
        conversation = f"conv_{token(rng, 16)}" if like.conversations else None
        if t.talk is not None:
            conversation = f"conv_{t.talk}" if like.conversations else None
            given += self._history.get(t.talk, 0)
            self._history[t.talk] = given + output - thought
        row = {
            "exchange_id": f"req_{token(rng, 22)}",
            "time": datetime.fromtimestamp(t.at_us / 1e6, UTC),
            "account": t.account,
            "client_ip": ip,
            "asn": asn,
            "user_agent": like.user_agent,
            "operation": "chat",
            "model": t.model,
            "conversation": conversation,
            "turn": t.turn,
            "system": t.system,
            "prompt": t.prompt,
            "tools": 0,
            "input_tokens": given,
            "output_tokens": output,
            "reasoning_tokens": thought,
            "temperature": t.temperature,
            "top_p": like.top_p,
            "max_tokens": t.max_tokens,
            "n": 1,
            "top_logprobs": 0,
            "stream": like.stream or t.dropped,
            "response_format": like.response_format,
            "status": status,
            "finish_reason": finish,
            "latency_ms": int(rng.uniform(180, 420) + output * MS_PER_TOKEN * rng.lognormal(0, 0.1)),
        }
        return {name: row.get(name) for name in self.schema.names}

    def table(self, rows: list[dict[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist(rows, self.schema)
