"""Tries every export of every campaign of a scene: for the slow tests and for benchmarks/exports.py.

A scene is a folder with exchanges, accounts and the truth. It is also cut in two: every other account of each
campaign, and of the honest ones, is at provider A, and the rest at provider B. A exports indicators of its
half, B searches its own half, and answers. B's matches are compared with the truth.
"""

import contextlib
import json
import os
import re
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import stix2

from stillwatch.cases import Case
from stillwatch.cases.alert import Alert, alert
from stillwatch.cases.exports import Activity
from stillwatch.cases.exports.marking import Tlp
from stillwatch.cases.exports.notices import cef_records, cloudevent
from stillwatch.cases.exports.ocsf import detection, incident
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.exports.stix import campaign_bundle, campaign_id
from stillwatch.cases.fold import fold
from stillwatch.cases.indicators import Indicator, IndicatorError
from stillwatch.cases.indicators.gather import gather
from stillwatch.cases.indicators.keys import exchange
from stillwatch.cases.indicators.marks import LogHistory
from stillwatch.cases.indicators.partner import read_partners
from stillwatch.cases.indicators.search import search
from stillwatch.cases.indicators.sighting import read_sightings, sighting_bundle
from stillwatch.cases.store import Store
from stillwatch.report.visible import visible
from stillwatch.scan.pipeline import run
from test_exports import cef_parse, valid

ROOT = Path(__file__).resolve().parent.parent
SCENES = {
    "sample": ROOT / "sample",
    "dev-a": Path(os.environ.get("STILLWATCH_RANGE", "/work/shared/range")) / "dev-a",
    "dev-b": Path(os.environ.get("STILLWATCH_RANGE", "/work/shared/range")) / "dev-b",
}
KEY = exchange(b"the key of two providers, A and B")
PIECE = 32  # characters of a prompt that are searched for in exports
FRACTION = re.compile(r"\.(\d*?)0*Z")


@dataclass
class Figures:
    """The results; each pair is (right, tried)."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)

    def tried(self, what: str, right: bool, why: str = "") -> None:
        self.counts[f"{what}: tried"] += 1
        self.counts[f"{what}: right"] += right
        if not right:
            self.wrong.append(f"{what}: {why}")

    def of(self, what: str) -> str:
        return f"{self.counts[f'{what}: right']:,} of {self.counts[f'{what}: tried']:,}"

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - begun
        self.seconds[f"{what}: times"] += 1


def tried(folder: Path, figures: Figures) -> None:
    """Scan a scene, make cases, export every case in every form, and exchange it between A and B."""
    log, accounts = folder / "exchanges.parquet", folder / "accounts.parquet"
    table = pq.read_table(log, columns=["account", "prompt", "client_ip"])
    known = pq.read_table(accounts)
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    with tempfile.TemporaryDirectory() as work, Store(f"sqlite:///{work}/cases.db") as store:
        now_us = time.time_ns() // 1000
        fold(store, run([log], accounts=accounts), now_us, "scan")
        halves = halves_of(log, Path(work))
        planted = {row["account"] for row in truth if row.get("campaign")}
        names = _names(table, known)
        for case in cases_of(store):
            with figures.timed("alert"):
                told = alert(store, case.id, now_us)
            own = _for_own_systems(told, now_us, figures)
            pieces = _pieces(table, case)
            figures.counts["canaries: pieces of prompts"] += len(pieces)
            figures.counts["canaries: found"] += found_in(own, pieces)
            figures.counts["canaries: names"] += len(names)
            for raw in _round(case, told, log, halves, planted, Path(work), now_us, figures):
                figures.counts["canaries: found"] += found_in(raw, pieces | names)


def found_in(raw: bytes, texts: set[bytes]) -> int:
    """Return how many of the texts stand in it. Only those whose first bytes do are searched for."""
    heads = {raw[at : at + 8] for at in range(len(raw) - 7)}
    return sum(one in raw for one in texts if len(one) < 8 or one[:8] in heads)


def cases_of(store: Store) -> list[Case]:
    from sqlalchemy import select

    from stillwatch.cases.tables import cases

    with store.reading() as db:
        ids = db.execute(select(cases.c.id).order_by(cases.c.id)).scalars().all()
    return [store.case(id) for id in ids]


def _for_own_systems(told: Alert, now_us: int, figures: Figures) -> bytes:
    """Check OCSF, CEF and the event; return everything that would be sent."""
    sent = []
    for activity in Activity:
        for make, name in ((detection, "detection_finding"), (incident, "incident_finding")):
            with figures.timed("OCSF"):
                document = make(told, activity, now_us)
            try:
                figures.tried("OCSF", valid(document, name))
            except jsonschema.ValidationError as why:
                figures.tried("OCSF", False, why.message[:200])
            sent.append(to_bytes(document))
    with figures.timed("CEF"):
        lines = cef_records(told, Activity.OPENED, now_us)
    back = [cef_parse(line) for line in lines]
    right = [values.get("suser") for _, values in back[1:]] == [visible(one, 1000) for one in told.accounts]
    figures.tried("CEF", right and back[0][1]["cnt"] == str(told.exposure.exchanges), told.case)
    with figures.timed("CloudEvents"):
        event = cloudevent(told, Activity.OPENED, now_us)
    figures.tried("CloudEvents", json.loads(event)["data"]["case"] == told.case, told.case)
    return b"\n".join([*sent, *(line.encode() for line in lines), event])


def _round(
    case: Case,
    told: Alert,
    log: Path,
    halves: tuple[Path, Path],
    planted: set[str],
    work: Path,
    now_us: int,
    figures: Figures,
) -> list[bytes]:
    """Exchange a case from A to B and back; return what left each of them."""
    mine = [one for one in case.accounts if _side(one) == 0]
    theirs = {one for one in case.accounts if _side(one) == 1}
    whole = indicators_of(log, case.accounts, figures)
    left = [sealed_file(told, whole, now_us)]
    figures.tried("STIX", _comes_back(left[0]), case.id)
    half = indicators_of(halves[0], mine, figures)
    if not half:
        return left
    file, answer = work / "told.json", work / "answer.json"
    file.write_bytes(sealed_file(told, half, now_us))
    (partner,) = read_partners(file, KEY, now_us).partners
    with figures.timed("search"):
        hits = search(LogHistory([halves[1]], KEY), partner)
    figures.counts["search: exchanges"] += hits.searched
    matching = {one.account for one in hits.accounts}
    figures.counts["other half: accounts"] += len(theirs)
    figures.counts["other half: found"] += len(matching & theirs)
    figures.counts["beside it: planted"] += len((matching - theirs) & planted)
    honest = [one for one in hits.accounts if one.account not in theirs | planted]
    figures.counts["beside it: honest"] += len(honest)
    figures.counts["beside it: honest, carried it before"] += sum(one.before for one in honest)
    figures.counts["beside it: honest, one exchange"] += sum(
        one.exchanges == 1 and not one.before for one in honest
    )
    answer.write_bytes(sighting_bundle(hits, KEY, sender="B", now_us=now_us)[0])
    (back,) = read_sightings(answer, KEY, now_us)
    right = (back.of, back.exchanges) == (campaign_id("A", case.id), hits.exchanges)
    figures.tried("sightings", right and _comes_back(answer.read_bytes()), case.id)
    return [*left, file.read_bytes(), answer.read_bytes()]


def indicators_of(
    log: Path, accounts: Any, figures: Figures, judged: Collection[str] = ()
) -> tuple[Indicator, ...]:
    """Return the indicators of a campaign, or none if its accounts share nothing that may be exported.

    judged: accounts of the sender's other cases, if these count as judged true.
    """
    try:
        with figures.timed("gather"):
            return gather(LogHistory([log], KEY), accounts, judged=judged)
    except IndicatorError:
        return ()


def sealed_file(told: Alert, indicators: tuple[Indicator, ...], now_us: int) -> bytes:
    asked: dict[str, Any] = {"sender": "A", "tlp": Tlp.AMBER, "opened_us": now_us, "now_us": now_us}
    return campaign_bundle(told, indicators, KEY, **asked, valid_days=180, with_accounts=True)[0]


def _comes_back(raw: bytes) -> bool:
    """Return whether the reference library reads it without custom content, and writes the same again.

    It omits trailing zeros of a fraction of a second, which mean nothing.
    """
    back = stix2.parse(raw.decode(), allow_custom=False).serialize()
    mine, theirs = (
        json.loads(FRACTION.sub(r".\1Z", text).replace(".Z", "Z")) for text in (raw.decode(), back)
    )
    return bool(mine == theirs)


def _side(account: str) -> int:
    return zlib.crc32(account.encode()) % 2


def halves_of(log: Path, work: Path) -> tuple[Path, Path]:
    whole = pq.read_table(log)
    sides = pa.array([_side(one) for one in whole["account"].to_pylist()])
    paths = (work / "a.parquet", work / "b.parquet")
    for side, path in enumerate(paths):
        pq.write_table(whole.filter(pc.equal(sides, side)), path)
    return paths


def _pieces(table: pa.Table, case: Case) -> set[bytes]:
    """Yield beginnings and middles of a case's prompts, as they would appear in JSON or CEF."""
    mine = table.filter(pc.is_in(table["account"], value_set=pa.array(case.accounts)))
    found = set()
    for prompt in mine["prompt"].to_pylist():
        for at in (0, len(prompt or "") // 2):
            piece = (prompt or "")[at : at + PIECE]
            if len(piece) == PIECE:
                found |= {piece.encode(), json.dumps(piece)[1:-1].encode(), visible(piece).encode()}
    return found


def _names(table: pa.Table, known: pa.Table) -> set[bytes]:
    """Yield the names of customers: accounts, organisations, addresses, payment instruments, domains."""
    found = set(table["account"].unique().to_pylist()) | set(table["client_ip"].unique().to_pylist())
    for column in ("org", "payment"):
        if column in known.column_names:
            found |= set(known[column].unique().to_pylist())
    return {one.encode() for one in found if one and len(one) > 5}
