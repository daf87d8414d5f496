"""Finds loud accounts that harvest alone between two full evaluations, by the rule of
`detectors.lone_harvest`.

The rule reads everything in memory, as a full evaluation does, so it runs only if an account has sent much
since the last one, and not too often. Provisional: the next full evaluation starts without it and decides.

Blind to: a payer whose accounts are each quiet; an account with any permission. Both wait for the full
evaluation.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from stillwatch.detectors import lone_harvest
from stillwatch.exchanges.log import Columns, ExchangeLog
from stillwatch.scan import LoneHarvester
from stillwatch.scan.assemble import id_of
from stillwatch.scan.harvest import harvest
from stillwatch.scan.pipeline import known_of, payers
from stillwatch.scan.settings import DetectionSettings
from stillwatch.units import time_of

LOUD = 100  # exchanges of an account since the last full evaluation: a quieter one can wait for the next
AGAIN_US = 300_000_000  # least event time between two runs, since the rule reads everything in memory


@dataclass
class LoneHarvesters:
    """How much each account has sent since the last full evaluation, and the accounts named since."""

    sent: Counter[str] = field(default_factory=Counter)
    named: dict[str, LoneHarvester] = field(default_factory=dict)
    _asked_us: int = 0
    _asked: dict[str, int] = field(default_factory=dict)  # account -> its exchanges at the last run

    def see(self, part: Columns, names: list[str]) -> None:
        """Count new exchanges. names: account by code."""
        codes, counts = np.unique(part["account"], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.sent[names[code]] += count

    def due(self, now_us: int) -> bool:
        """Return whether the rule should run now: a loud account has sent half as much again since."""
        if now_us < self._asked_us + AGAIN_US:
            return False
        return any(
            count >= LOUD and count >= 1.5 * self._asked.get(name, 0) and name not in self.named
            for name, count in self.sent.items()
        )

    def ask(
        self,
        log: ExchangeLog,
        accounts: pa.Table | None,
        elsewhere: Collection[str],
        since_us: int,
        now_us: int,
        settings: DetectionSettings | None = None,
    ) -> None:
        """Return accounts that stand out. elsewhere: accounts of campaigns; since_us: the last full one."""
        self._asked_us = now_us
        self._asked = {name: count for name, count in self.sent.items() if count >= LOUD}
        settings = settings or DetectionSettings()
        known = known_of(log, accounts)
        payer = payers(log, known)
        private = np.ones(len(log.accounts), bool)
        if known is not None:
            records = zip(known.org, known.permissions, strict=True)
            private = np.array([not org and not permissions for org, permissions in records], bool)
        for sighting in lone_harvest.sightings(
            log, payer[log["account"]], private, settings.lone_least_bits, settings.lone_least_peers
        ):
            payer_accounts = [log.accounts[code] for code in np.flatnonzero(payer == sighting.payer).tolist()]
            if not since_us <= sighting.at_us < now_us or set(payer_accounts) & set(elsewhere):
                continue
            taken = harvest(log, np.flatnonzero(payer[log["account"]] == sighting.payer))
            for name in payer_accounts:
                harvester = LoneHarvester(
                    name,
                    time_of(now_us),
                    sighting.exchanges,
                    sighting.text,
                    id_of(payer_accounts),
                    sighting.p_value,
                    round(sighting.total_bits, 3),
                    taken.output_tokens,
                )
                self.named.setdefault(name, harvester)
