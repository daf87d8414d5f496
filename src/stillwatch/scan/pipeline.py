"""`scan`, from log files to a result: read, sketch, features, watch, assemble.

It does not know how a result is printed, nor what a detector looks for.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

import stillwatch
from stillwatch.actors import Actor, Known, World
from stillwatch.actors.groups import LEAST_PARTIES
from stillwatch.actors.spread import Spread
from stillwatch.actors.stock import NEEDED
from stillwatch.detectors import Population, lone_harvest
from stillwatch.engine import Engine
from stillwatch.engine.named import open_engine
from stillwatch.errors import InputError
from stillwatch.exchanges import ACCOUNTS
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import read, read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import DEFAULT_KEY, Sketcher
from stillwatch.features.compute import account_features
from stillwatch.features.kinds import Kind
from stillwatch.features.kinds.recognise import kind_of_use
from stillwatch.scan import AccountVerdict, Campaign, Gap, Reason, Scanned, ScanResult
from stillwatch.scan.alarms import Alarm
from stillwatch.scan.assemble import TEST_NAME, actor_features, campaign
from stillwatch.scan.harvest import moment
from stillwatch.scan.limits import cannot_claim, gaps
from stillwatch.scan.volume import volume_p_values
from stillwatch.scan.watch import WINDOW_US, Watched, watch

Tell = Callable[[str, int, int | None], None]
COPIED_AFTER_US = 43_200_000_000  # half a day in which nobody else used a marker
COPIED_LEAST = 8  # markers
FEW_MARKERS = 20  # own markers below which nothing is asked of an account
FEW_CARRIED = 6  # nor where the median account carries fewer than this
HUB_PAYMENT = 20  # accounts behind one instrument past which it is no single payer


@dataclass(frozen=True)
class Options:
    """What a scan may be told."""

    false_cases_per_10k_account_days: float = 1.0
    threads: int = 2
    key: bytes = DEFAULT_KEY
    assume_utc: bool = False
    now: datetime | None = None
    keep_text: bool = False


def silent(stage: str, done: int, total: int | None) -> None:
    """Progress told to nobody."""


def run(
    paths: Sequence[str | Path],
    *,
    accounts: str | Path | None = None,
    rejects: Rejects | None = None,
    options: Options | None = None,
    tell: Tell = silent,
) -> ScanResult:
    """Scan logs. `rejects` collects what could not be read; the rest is read.

    Raises: InputError where no line of any file can be used.
    """
    options = options or Options()
    rejects = rejects if rejects is not None else Rejects()
    begun = time.perf_counter()
    table = None
    if accounts is not None:
        table = read_accounts(accounts, rejects=rejects, assume_utc=options.assume_utc, now=options.now)
    batches = read(
        paths,
        rejects=rejects,
        progress=lambda done, total: tell("reading", done, total),
        assume_utc=options.assume_utc,
        now=options.now,
    )
    log = build(batches, Sketcher(options.key), threads=options.threads)
    if len(log) == 0:
        examples = "; ".join(rejects.examples[:3])
        raise InputError(f"no exchange could be read from {', '.join(map(str, paths))}. {examples}".strip())
    result = scan_log(log, table, options=options, tell=tell)
    seconds = round(time.perf_counter() - begun, 3)
    scanned = Scanned(
        result.scanned.exchanges,
        result.scanned.accounts,
        result.scanned.first,
        result.scanned.last,
        rejects.count,
        seconds,
    )
    return ScanResult(
        result.version,
        scanned,
        result.campaigns,
        result.accounts,
        tuple(rejects.examples),
        result.gaps,
        result.cannot_claim,
    )


def scan_log(
    log: ExchangeLog, accounts: pa.Table | None = None, *, options: Options | None = None, tell: Tell = silent
) -> ScanResult:
    """Scan a log that is in memory already."""
    options = options or Options()
    known = _known(log, accounts)
    party, payer = _parties(log, known), _payers(log, known)
    with closing(open_engine(threads=options.threads)) as engine:
        tell("features", 0, 1)
        engine.register("l0", log.table())
        features = account_features(engine, "l0")
        tell("features", 1, 1)
        kinds = {k.account_code: k for k in kind_of_use(features, _coded(log, accounts))}
        tell("spread", 0, 1)
        watched = watch(
            log,
            party[log["account"]],
            false_cases_per_10k_account_days=options.false_cases_per_10k_account_days,
            threads=options.threads,
            progress=lambda done, total: tell("watching", done, total),
        )
        world = World(
            log,
            known,
            watched.spread.row,
            watched.spread.marker,
            watched.spread.marker_kind,
            np.bincount(watched.spread.entry_marker, minlength=len(watched.spread.hot_from_us)),
        )
        campaigns = _campaigns(engine, world, watched, party, payer, features, kinds, tell)
    verdicts = _verdicts(log, features, kinds, campaigns)
    scanned = Scanned(
        len(log), len(log.accounts), moment(int(log["ts_us"][0])), moment(int(log["ts_us"][-1])), 0, 0.0
    )
    return ScanResult(
        stillwatch.__version__,
        scanned,
        tuple(campaigns),
        verdicts,
        (),
        tuple(Gap(moment(a), moment(b), text) for a, b, text in gaps(log)),
        cannot_claim(log, known is not None, watched.untested_settings, bool(len(watched.spread.at_us))),
    )


def _known(log: ExchangeLog, accounts: pa.Table | None) -> Known | None:
    if accounts is None:
        return None
    rows = {row["account"]: row for row in accounts.to_pylist()}
    mine = [rows.get(name, {}) for name in log.accounts]
    created = [row.get("created") for row in mine]
    return Known(
        [row.get("org") or "" for row in mine],
        [row.get("payment") or "" for row in mine],
        np.array([0 if c is None else int(c.timestamp() * 1_000_000) for c in created], np.int64),
        [row.get("tier") or "" for row in mine],
        [tuple(row.get("permissions") or ()) for row in mine],
    )


def _coded(log: ExchangeLog, accounts: pa.Table | None) -> pa.Table | None:
    """The accounts table with each account's code in front; accounts that the log lacks are left out."""
    if accounts is None:
        return None
    code = {name: k for k, name in enumerate(log.accounts)}
    codes = [code.get(name, -1) for name in accounts["account"].to_pylist()]
    table = accounts.select(ACCOUNTS.names).add_column(0, "account_code", pa.array(codes, pa.int32()))
    return table.filter(pa.compute.greater_equal(table["account_code"], 0))


def _parties(log: ExchangeLog, known: Known | None) -> np.ndarray:
    """(accounts,) int32: accounts of one organisation are one party."""
    party = np.arange(len(log.accounts), dtype=np.int32)
    if known is not None:
        first: dict[str, int] = {}
        for code, org in enumerate(known.org):
            if org:
                party[code] = first.setdefault(org, code)
    return party


def _payers(log: ExchangeLog, known: Known | None) -> np.ndarray:
    """(accounts,) int32: as parties; accounts without organisation behind one instrument are one payer."""
    payer = _parties(log, known)
    if known is not None:
        behind: dict[str, list[int]] = {}
        for code, payment in enumerate(known.payment):
            if payment and not known.org[code]:
                behind.setdefault(payment, []).append(code)
        for codes in behind.values():
            if len(codes) <= HUB_PAYMENT:
                payer[codes] = codes[0]
    return payer


def _campaigns(
    engine: Engine,
    world: World,
    watched: Watched,
    party: np.ndarray,
    payer: np.ndarray,
    features: pa.Table,
    kinds: dict[int, Kind],
    tell: Tell,
) -> list[Campaign]:
    log = world.log
    found: list[tuple[Actor, int, float, dict[int, int], Reason]] = []
    taken: set[int] = set()
    excused = {code for code, kind in kinds.items() if kind.excuses == "case"}
    for alarm in watched.alarms:
        own = alarm.own_markers()
        copied = _copied_from(watched.spread, own)
        named = {p: at for p, at in alarm.confirmed().items() if p not in copied}
        if len(named) < LEAST_PARTIES:
            continue
        accounts, named_at = _accounts_of(named, party, excused)
        accounts = _carrying(world, accounts, own)
        if len(accounts) < LEAST_PARTIES:
            continue
        actor = Actor(
            accounts,
            _rows_since(world, accounts, own, alarm.at_us),
            own,
            dict(zip(watched.settings, alarm.p_settings, strict=True)),
        )
        if len(actor.rows) == 0:
            continue
        found.append((actor, alarm.at_us, alarm.p_value, named_at, _group_reason(alarm, watched, log)))
        taken.update(int(a) for a in accounts)
    private = np.ones(len(log.accounts), bool)
    if world.known is not None:
        # permitted synthetic data is measured like any harvest: the permission then suppresses the case
        measured = {code for code, kind in kinds.items() if kind.kind == "permitted_synthetic"}
        held = enumerate(zip(world.known.org, world.known.permissions, strict=True))
        private = np.array([not org and (not given or k in measured) for k, (org, given) in held], bool)
    for sighting in lone_harvest.sightings(log, payer[log["account"]], private):
        accounts = np.flatnonzero(payer == sighting.payer).astype(np.int32)
        accounts = accounts[np.isin(accounts, log["account"])]
        if taken & set(accounts.tolist()):
            continue
        rows = np.flatnonzero(np.isin(log["account"], accounts))
        own = np.zeros(0, np.int64)
        actor = Actor(accounts, rows, own, {})
        named_at = {int(a): sighting.at_us for a in accounts}
        reason = Reason(lone_harvest.NAME, sighting.text, round(sighting.total_bits, 3), n=sighting.exchanges)
        found.append((actor, sighting.at_us, sighting.p_value, named_at, reason))
    rows_of = actor_features(engine, world, [f[0] for f in found])
    population = Population(features)
    campaigns = []
    for k, ((actor, at_us, p_value, named_at, reason), row) in enumerate(zip(found, rows_of, strict=True)):
        tell("campaigns", k + 1, len(found))
        campaigns.append(
            campaign(
                actor,
                world,
                at_us=at_us,
                p_value=p_value,
                named_at_us={int(a): named_at[int(a)] for a in actor.accounts},
                first_reason=reason,
                features=row,
                population=population,
            )
        )
    return sorted(campaigns, key=lambda c: (c.alarm_at, c.id))


def _accounts_of(
    named: dict[int, int], party: np.ndarray, excused: set[int]
) -> tuple[np.ndarray, dict[int, int]]:
    """The accounts of named parties, less those whose use is permitted, and when each was named."""
    named_at = {
        int(code): named[int(p)]
        for code, p in enumerate(party)
        if int(p) in named and int(code) not in excused
    }
    return np.array(sorted(named_at), np.int32), named_at


def _copied_from(spread: Spread, own: np.ndarray) -> frozenset[int]:
    """Parties that used most of the markers they carry long before anybody else: the pool copied them.

    Whoever would frame a bystander by copying his wording finds him left out. A pool's own first account is
    left out too where it tried the wording alone for so long.
    """
    mine = np.isin(spread.entry_marker, own)
    marker, who, at = spread.entry_marker[mine], spread.entry_party[mine], spread.entry_us[mine]
    order = np.argsort(marker, kind="stable")  # entries are in time order, so each marker's stay in it
    marker, who, at = marker[order], who[order], at[order]
    first = np.flatnonzero(np.r_[True, marker[1:] != marker[:-1]]) if len(marker) else np.zeros(0, np.int64)
    first = first[np.diff(np.r_[first, len(marker)]) >= 2]
    alone = at[first + 1] - at[first] >= COPIED_AFTER_US
    parties = int(who.max()) + 1 if len(who) else 0
    carried = np.bincount(who, minlength=parties)
    led = np.bincount(who[first[alone]], minlength=parties)
    return frozenset(np.flatnonzero((led >= COPIED_LEAST) & (led >= 0.5 * carried)).tolist())


def _carrying(world: World, accounts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The accounts that carry a tenth of the markers that the median one carries, and three at least.

    Where an actor has hardly any markers of its own, nothing can be asked of its accounts.
    """
    if len(own) < FEW_MARKERS or len(accounts) == 0:
        return accounts
    log = world.log
    marker = np.zeros(len(world.marker_kind), bool)
    marker[own] = True
    use = marker[world.use_marker]
    pairs = np.unique(
        log["account"][world.use_row[use]].astype(np.int64) * len(marker) + world.use_marker[use]
    )
    carried = np.bincount(pairs // len(marker), minlength=len(log.accounts))[accounts]
    usual = float(np.median(carried))
    return accounts[carried >= max(3.0, 0.1 * usual)] if usual >= FEW_CARRIED else accounts


def _rows_since(world: World, accounts: np.ndarray, own: np.ndarray, at_us: int) -> np.ndarray:
    """Every exchange of the accounts since each first carried two of the actor's own markers at once.

    Where the actor has no markers of its own, since each first carried any two that were new in the log. What
    lies further back from the alarm than the window that raised it is left out.
    """
    log = world.log
    mine = np.zeros(len(log.accounts), bool)
    mine[accounts] = True
    marker = np.zeros(len(world.marker_kind), bool)
    marker[own] = True
    use = marker[world.use_marker] if len(own) else np.ones(len(world.use_marker), bool)
    rows, carried = np.unique(world.use_row[use], return_counts=True)
    rows = rows[(carried >= NEEDED) & (log["ts_us"][rows] >= at_us - WINDOW_US)]
    first = np.full(len(log.accounts), len(log), np.int64)
    np.minimum.at(first, log["account"][rows], rows)
    index = np.arange(len(log))
    return index[mine[log["account"]] & (index >= first[log["account"]])]


def _group_reason(alarm: Alarm, watched: Watched, log: ExchangeLog) -> Reason:
    model = log.models[int(watched.codes[0][alarm.dominant[0]])] if alarm.dominant else ""
    bits = float(min(40.0, -np.log2(max(alarm.p_value, 1e-300))))
    return Reason(
        TEST_NAME,
        f"accounts that came to share wording at the same time also act alike ({alarm.share[0]:.0%} mostly "
        f"use {model or 'one model'}): a chance of {alarm.p_value:.1g} if they were independent",
        round(bits, 3),
        float(alarm.share[0]),
        float(watched.base[0][alarm.dominant[0]]),
        None,
        len(alarm.named),
    )


def _verdicts(
    log: ExchangeLog, features: pa.Table, kinds: dict[int, Kind], campaigns: list[Campaign]
) -> tuple[AccountVerdict, ...]:
    in_campaign = {name: c for c in campaigns for name in c.accounts}
    p_values = volume_p_values(features, kinds)
    out = []
    for row, p_value in zip(features.select(["account", "exchanges"]).to_pylist(), p_values, strict=True):
        name = log.accounts[row["account"]]
        kind = kinds.get(row["account"])
        case = in_campaign.get(name)
        out.append(
            AccountVerdict(
                name,
                case.p_value if case else p_value,
                case.id if case else None,
                kind.kind if kind else None,
                int(row["exchanges"]),
                kind.evidence if kind else "",
            )
        )
    return tuple(sorted(out, key=lambda v: v.account))
