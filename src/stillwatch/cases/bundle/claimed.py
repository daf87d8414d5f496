"""Lists the numbers that a bundle claims, and whether its checker can compute each of them again."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from stillwatch.cases.bundle import BundleError, recompute
from stillwatch.cases.bundle.bundle_events import told_aside
from stillwatch.cases.bundle.harvest_numbers import Ties
from stillwatch.cases.bundle.verify import Bundle
from stillwatch.cases.claims import signal_sources
from stillwatch.detectors import lone_harvest
from stillwatch.scan import failover, holds, new_settings
from stillwatch.scan.parts import TEST_NAME
from stillwatch.signals import signal_of

NO_EVENTS = "no log was given at the export, so its events are not here"
NO_SINCE = "the finding does not say since when each account's exchanges count; a new scan does"
OF_BITS = "bits compare with all other accounts of the log"
OF_ALL = "it is a number of all accounts of the log"
NO_WAY = "recompute.py has no way to compute it from the events"
# why a claim cannot be computed; signals have further reasons of their own
REASONS = (NO_EVENTS, NO_SINCE, OF_BITS, OF_ALL, NO_WAY, *recompute.WHY_NOT.values())
NOT_BORNE_OUT = "the log given at the export comes to"


class _InMemory(Bundle):
    """The files of a bundle that is not written yet, with the interface that the checker reads."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files, self.names, self.odd = files, sorted(files), []

    def read(self, name: str) -> bytes:
        return self._files[name]


def claims(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """List every claimed number, with whether the checker can compute it again, and if not, why."""
    bundle = _InMemory(files)
    finding = bundle.json("finding.json")
    stated = recompute.stated_numbers(finding, told_aside(bundle))
    detectors = {reason["detector"] for reason in finding["campaign"]["finding"]["reasons"]}
    again, failed = recompute.computed(bundle, *recomputed_by()) if "events.ndjson" in files else ({}, {})
    for begin, why in failed.items():
        raise BundleError(f"claims {begin}*: cannot be computed from the log that was given ({why})")
    rows = []
    for name, value in stated.items():
        why_not = None
        if name not in again:
            why_not = (
                (NO_SINCE if "events.ndjson" in files else NO_EVENTS)
                if not again
                else _why_not(name, detectors)
            )
        elif not recompute.same_claim(name, value, again[name]):
            why_not = f"{NOT_BORNE_OUT} {json.dumps(again[name])[:200]}"
        rows.append({"name": name, "stated": value, "by": "finding", "why_not": why_not})
    for name, value in again.items():
        if name not in stated:
            rows.append({"name": name, "stated": value, "by": "export", "why_not": None})
    return rows


def recomputed_by() -> tuple[dict[str, recompute.Recompute], dict[str, Ties]]:
    """Return what each signal can recompute: its numbers, and the bits of the accounts that it ties."""
    sources = signal_sources().items()
    return (
        {name: module.recompute for name, module in sources if hasattr(module, "recompute")},
        {name: module.recompute_ties for name, module in sources if hasattr(module, "recompute_ties")},
    )


def _why_not(name: str, detectors: Collection[str]) -> str:
    for raised in (lone_harvest, holds, new_settings, failover):
        if name == "finding.p_value" and raised.NAME in detectors:
            name = f"reason.{raised.NAME}.p"
    if name == f"reason.{TEST_NAME}.bits":
        name = "finding.p_value"
    kind, _, rest = name.partition(".")
    detector, _, number = rest.partition(".")
    if (why := recompute.WHY_NOT.get(detector if kind == "reason" else kind)) is not None:
        return why
    if kind == "reason" and (why := signal_of(signal_sources().get(detector)).not_recomputed):
        return why
    if number == "bits":
        return OF_BITS
    return OF_ALL if number in ("baseline", "n") else NO_WAY
