"""`scan`, from log files to a result: read, sketch, features, watch, assemble."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import stillwatch
from stillwatch.actors import AccountFacts, ActorContext
from stillwatch.detectors import lone_harvest
from stillwatch.engine import SqlEngine
from stillwatch.engine.named import DEFAULT, open_engine
from stillwatch.errors import InputError
from stillwatch.exchanges import ACCOUNTS
from stillwatch.exchanges.column_file import let_go, trim_heap
from stillwatch.exchanges.documents import DOCUMENTS_CPU_S
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.networks import NetworkTable
from stillwatch.exchanges.read import read, read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import DEFAULT_KEY, Sketcher
from stillwatch.exchanges.tables import InMemoryLog
from stillwatch.exchanges.unpack import Limits
from stillwatch.features.compute import account_features
from stillwatch.features.kinds import KindOfUse
from stillwatch.features.kinds.recognise import kind_of_use
from stillwatch.scan import AccountVerdict, Campaign, Gap, Lead, ScanResult, ScanTotals, Tell
from stillwatch.scan.alarms import NEVER
from stillwatch.scan.campaigns import campaigns
from stillwatch.scan.candidates import request_shares
from stillwatch.scan.carried import CarriedScan
from stillwatch.scan.coverage import coverage
from stillwatch.scan.explanations import FREE_MAIL
from stillwatch.scan.failover_groups import groups_by_refusals
from stillwatch.scan.known_pools import pool_uses, read_pools, with_pools
from stillwatch.scan.limits import cannot_claim, gaps
from stillwatch.scan.parts import LONE_HARVEST
from stillwatch.scan.settings import DetectionSettings
from stillwatch.scan.signups import Signups
from stillwatch.scan.volume import volume_p_values
from stillwatch.scan.watch import WatchResult, first_days, over_whole_log, watch
from stillwatch.terms.holds import HoldCandidate, HoldSchedule
from stillwatch.units import time_of, us

HUB_PAYMENT = 20  # accounts behind one instrument above which they are no single payer
MANY_PERMITTED = 4  # loud holders of a permission above which testing each costs more than a full evaluation


@dataclass(frozen=True, kw_only=True)
class Options(DetectionSettings):
    """The settings of a scan, and how to run it."""

    threads: int = 2
    engine: str = DEFAULT  # where the SQL runs, see engine.named; does not change results
    key: bytes = DEFAULT_KEY
    assume_utc: bool = False
    now: datetime | None = None
    keep_text: bool = False
    held: tuple[HoldSchedule, ...] = ()  # the gateway's past holds, used as evidence
    columns: Mapping[str, str] = field(default_factory=dict)  # the log's own names: exchanges/mapping.py
    document_cpu_s: float = DOCUMENTS_CPU_S  # for PDF and Office files in requests: exchanges/documents.py
    networks: NetworkTable | None = None  # used to look up the addresses of a log without `asn`
    # judge each account even if nothing is found: four fifths of such an evaluation's cost
    every_account: bool = True


def silent(stage: str, done: int, total: int | None) -> None:
    """Report no progress."""


def run(
    logs: Sequence[str | Path] | InMemoryLog,
    *,
    accounts: str | Path | InMemoryLog | None = None,
    rejects: Rejects | None = None,
    options: Options | None = None,
    tell: Tell = silent,
) -> ScanResult:
    """Scan logs. `rejects` collects unusable lines; the rest is read.

    Raises: InputError if no line of any file can be used.
    """
    options = options or Options()
    rejects = rejects if rejects is not None else Rejects()
    begun = time.perf_counter()
    read_pools(options.known_pools, options.key)  # a bad file is reported before hours of scanning
    with closing(open_engine(options.engine, threads=options.threads)) as engine:  # so is a missing one
        table = None
        if accounts is not None:
            table = read_accounts(accounts, rejects=rejects, assume_utc=options.assume_utc, now=options.now)
        log = _whole_log(logs, rejects, options, tell)
        result = scan_log(log, table, options=options, tell=tell, engine=engine)
    seconds = round(time.perf_counter() - begun, 3)
    scanned = replace(result.scanned, rejected=rejects.count, seconds=seconds)
    return replace(result, scanned=scanned, rejected_examples=tuple(rejects.examples))


def _whole_log(
    logs: Sequence[str | Path] | InMemoryLog, rejects: Rejects, options: Options, tell: Tell
) -> ExchangeLog:
    """Read the log. Raises: InputError if no line of any file can be used."""
    try:
        # a stream cannot be read twice, so a table that lacks only texts is accepted as it is
        log = _log(logs, rejects, options, tell, needs_texts=not isinstance(logs, InMemoryLog))
    except InputError:
        if not rejects.textless or isinstance(logs, InMemoryLog):
            raise
        rejects.restart()  # a log without any text: the rest of it is counted, and the result says so
        log = _log(logs, rejects, options, tell, needs_texts=False)
    rejects.conflicts = log.conflicts
    if len(log) == 0:
        examples = "; ".join(rejects.examples[:3])
        source = logs.what if isinstance(logs, InMemoryLog) else ", ".join(map(str, logs))
        raise InputError(f"no exchange could be read from {source}. {examples}".strip())
    return log


def _log(
    logs: Sequence[str | Path] | InMemoryLog,
    rejects: Rejects,
    options: Options,
    tell: Tell,
    *,
    needs_texts: bool,
) -> ExchangeLog:
    sketcher = Sketcher(options.key)
    batches = read(
        logs,
        sketcher=sketcher,
        rejects=rejects,
        progress=lambda done, total: tell("reading", done, total or None),
        assume_utc=options.assume_utc,
        now=options.now,
        needs_texts=needs_texts,
        mapping=options.columns,
        limits=Limits(document_cpu_s=options.document_cpu_s),
    )
    if options.networks is not None:
        batches = map(options.networks.fill, batches)
    log = build(batches, sketcher, threads=options.threads)
    log.columns.pop("id", None)  # was needed only for removing duplicates
    return log


def scan_log(
    log: ExchangeLog,
    accounts: pa.Table | None = None,
    *,
    options: Options | None = None,
    tell: Tell = silent,
    carried: CarriedScan | None = None,
    until_us: int = NEVER,
    forgotten_us: int = 0,
    keep: Callable[[CarriedScan], None] | None = None,
    engine: SqlEngine | None = None,
) -> ScanResult:
    """Scan a log in memory; the four arguments before the last are those of `watch`.

    engine: an open one; by default the one named by `options` is opened when needed.
    """
    options = options or Options()
    known = known_of(log, accounts)
    tenant, payer = _tenants(log, known), payers(log, known)

    def watching() -> WatchResult:
        tell("spread", 0, 1)
        result = watch(
            log,
            tenant,
            settings=options,
            threads=options.threads,
            progress=lambda done, total: tell("watching", done, total),
            carried=carried,
            until_us=until_us,
            forgotten_us=forgotten_us,
            keep=keep,
            known=known,
        )
        trim_heap()
        return result

    whole = carried is None and keep is None and not forgotten_us and until_us == NEVER
    watched = None if options.every_account else watching()
    pools = pool_uses(log, read_pools(options.known_pools, options.key))
    none = np.zeros(0, np.int32)
    context = ActorContext(log, known, none, none, none, none, tenant, payer, pools)
    established = None
    if watched is not None and not options.held and not pools and _nothing_found(context, watched):
        established = _established(context, options, watched) if whole else None
        if established is None or not established[1].alarms:
            return _result(log, known, (tenant, payer), watched, (), ())
    with (
        closing(open_engine(options.engine, options.threads))
        if engine is None
        else nullcontext(engine) as sql
    ):
        tell("features", 0, 1)
        sql.register("l0", log.table())
        features = account_features(sql, "l0")
        let_go(log.columns.values())
        tell("features", 1, 1)
        kinds = {k.account_code: k for k in kind_of_use(features, _with_codes(log, accounts))}
        watched = watched or watching()
        if whole and established is None:
            established = _established(context, options, watched)
        context = _with_fingerprints(context, watched)
        found_campaigns, leads, weak = campaigns(
            sql,
            context,
            watched,
            features,
            kinds,
            tell,
            alone=LONE_HARVEST in options.parts,
            schedules=options.held,
            until_us=until_us,
            established=established,
        )
    excused = {code for code, kind in kinds.items() if kind.excuses == "case"}
    leads, covers = with_pools(context, excused, options.alpha_ceiling, found_campaigns, leads)
    verdicts = _verdicts(log, features, kinds, found_campaigns)
    result = _result(
        log, known, (tenant, payer), watched, tuple(found_campaigns), verdicts, tuple(leads), weak
    )
    return replace(result, pools=covers)


def _with_fingerprints(context: ActorContext, watched: WatchResult) -> ActorContext:
    """Return the context with the fingerprints that a watch has followed, and their users."""
    spread = watched.spread
    entrants = np.bincount(spread.entry_fingerprint, minlength=len(spread.emerging_from_us))
    return replace(
        context,
        use_row=spread.row,
        use_fingerprint=spread.fingerprint,
        fingerprint_kind=spread.fingerprint_kind,
        entrants=entrants,
    )


def _established(
    context: ActorContext, options: Options, watched: WatchResult
) -> tuple[ActorContext, WatchResult] | None:
    """Return the result of a watch of the log's first days for wording that was in use when it began.

    Only a whole log has a beginning, and sign-up times are known only from an accounts table.
    """
    log, known, tenant = context.log, context.known, context.tenants
    if known is None or not (known.created_us > 0).any():
        return None
    first_sent_us = np.full(len(tenant), NEVER)
    np.minimum.at(first_sent_us, tenant[log["account"]], log["ts_us"])
    signups = Signups(known.created_us, tenant, first_sent_us)
    named = frozenset(p for alarm in (*watched.alarms, *watched.alike) for p in alarm.evaluations)
    days = first_days(log, options)
    result = watch(
        days, tenant, settings=options, threads=options.threads, known=known, signups=signups, named=named
    )
    trim_heap()
    if not result.alarms:
        return None
    if len(days) < len(log):
        result = over_whole_log(result, log, tenant)
        trim_heap()
    return _with_fingerprints(replace(context, established=True), result), result


def _result(
    log: ExchangeLog,
    known: AccountFacts | None,
    tenant_payer: tuple[np.ndarray, np.ndarray],
    watched: WatchResult,
    found_campaigns: tuple[Campaign, ...],
    verdicts: tuple[AccountVerdict, ...],
    leads: tuple[Lead, ...] = (),
    weak: tuple[HoldCandidate, ...] = (),
) -> ScanResult:
    scanned = ScanTotals(
        len(log), len(log.accounts), time_of(int(log["ts_us"][0])), time_of(int(log["ts_us"][-1])), 0, 0.0
    )
    groups = {lead.id: lead.accounts for lead in leads} | {
        found_campaign.id: found_campaign.accounts for found_campaign in found_campaigns
    }
    return ScanResult(
        stillwatch.__version__,
        scanned,
        found_campaigns,
        verdicts,
        (),
        tuple(Gap(time_of(a), time_of(b), text) for a, b, text in gaps(log)),
        (
            *watched.settings.caveat(),
            *cannot_claim(log, _accounts_with_facts(known), watched.untested_settings, watched.linked),
        ),
        leads=leads,
        weak=weak,
        shares=dict(zip(groups, request_shares(log, list(groups.values())), strict=True)),
        judged=coverage(
            log,
            *tenant_payer,
            watched.untested_settings,
            leads,
            least_peers=watched.settings.lone_least_peers,
        ),
    )


def _accounts_with_facts(known: AccountFacts | None) -> int | None:
    """Return how many accounts have facts in the accounts table; None without a table."""
    if known is None:
        return None
    flags = zip(
        known.org, known.payment, known.created_us.tolist(), known.tier, known.permissions, strict=True
    )
    return sum(any(fields) for fields in flags)


def _nothing_found(context: ActorContext, watched: WatchResult) -> bool:
    """Return whether there is no alarm, no group that passes refused work on, and no lone harvester.

    Skip the full evaluation only if no account would alarm under any treatment of permissions.
    """
    settings, log, known, payer = watched.settings, context.log, context.known, context.payers
    if watched.alarms or watched.alike or watched.leads or groups_by_refusals(context, settings):
        return False
    if LONE_HARVEST not in settings.parts:
        return True
    rarity = settings.lone_least_bits, settings.lone_least_peers
    if known is None:
        everyone = np.ones(len(log.accounts), bool)
        return not lone_harvest.sightings(log, payer[log["account"]], everyone, *rarity)
    records = zip(known.org, known.permissions, strict=True)
    private = np.array([not org and not given for org, given in records], bool)
    sent = np.bincount(payer[log["account"]], minlength=len(private))
    loud = sent >= lone_harvest.STEPS[0]
    permitted_payers = [k for k, org in enumerate(known.org) if loud[k] and not org and known.permissions[k]]
    if len(permitted_payers) > MANY_PERMITTED:
        return False
    for permitted in ([], *([k] for k in permitted_payers)):
        is_private = private.copy()
        is_private[permitted] = True
        if lone_harvest.sightings(log, payer[log["account"]], is_private, *rarity):
            return False
    return True


def known_of(log: ExchangeLog, accounts: pa.Table | None) -> AccountFacts | None:
    """Return the facts of the accounts table on the log's accounts, by code."""
    if accounts is None:
        return None
    return facts_of(log, {row["account"]: row for row in accounts.to_pylist()})


def facts_of(log: ExchangeLog, rows: Mapping[str, Mapping[str, Any]]) -> AccountFacts:
    """Return the facts in rows of an accounts table, by name, on the log's accounts, by code."""
    own_rows = [rows.get(name, {}) for name in log.accounts]
    created = [row.get("created") for row in own_rows]
    return AccountFacts(
        [row.get("org") or "" for row in own_rows],
        [row.get("payment") or "" for row in own_rows],
        np.array([0 if c is None else us(c) for c in created], np.int64),
        [row.get("tier") or "" for row in own_rows],
        [tuple(row.get("permissions") or ()) for row in own_rows],
        [row.get("email_domain") or "" for row in own_rows],
    )


def _with_codes(log: ExchangeLog, accounts: pa.Table | None) -> pa.Table | None:
    """Return the accounts table with each account's code in front; accounts not in the log are left out."""
    if accounts is None:
        return None
    code = {name: k for k, name in enumerate(log.accounts)}
    codes = [code.get(name, -1) for name in accounts["account"].to_pylist()]
    table = accounts.select(ACCOUNTS.names).add_column(0, "account_code", pa.array(codes, pa.int32()))
    return table.filter(pa.compute.greater_equal(table["account_code"], 0))


def _tenants(log: ExchangeLog, known: AccountFacts | None) -> np.ndarray:
    """(accounts,) int32: accounts of one organisation are one tenant, named after the earliest one.

    Accounts without an organisation that share one payment instrument and one private mail domain are one as
    well: an agency or an office that never registered. Naming it after the alphabetically first account would
    let a later account change earlier results.
    """
    tenant = np.arange(len(log.accounts), dtype=np.int32)
    if known is not None:
        first: dict[tuple[str, ...], int] = {}
        for code in first_seen(log).tolist():
            domain = known.email_domain[code].lower()
            if known.org[code]:
                tenant[code] = first.setdefault((known.org[code],), code)
            elif known.payment[code] and domain and domain not in FREE_MAIL:
                tenant[code] = first.setdefault((known.payment[code], domain), code)
    return tenant


def first_seen(log: ExchangeLog) -> np.ndarray:
    """Return the accounts in the order of their first exchange."""
    first = np.full(len(log.accounts) + 1, len(log), np.int64)  # plus one for no account, code -1
    np.minimum.at(first, log["account"], np.arange(len(log)))
    order: np.ndarray = np.argsort(first[:-1])
    return order[: np.count_nonzero(first[:-1] < len(log))]


def payers(log: ExchangeLog, known: AccountFacts | None) -> np.ndarray:
    """(accounts,) int32: as tenants, but accounts without organisation on one instrument are one payer."""
    payer = _tenants(log, known)
    if known is not None:
        by_instrument: dict[str, list[int]] = {}
        for code, payment in enumerate(known.payment):
            if payment and not known.org[code]:
                by_instrument.setdefault(payment, []).append(code)
        for codes in by_instrument.values():
            if len(codes) <= HUB_PAYMENT:
                payer[codes] = codes[0]
    return payer


def _verdicts(
    log: ExchangeLog, features: pa.Table, kinds: dict[int, KindOfUse], found_campaigns: list[Campaign]
) -> tuple[AccountVerdict, ...]:
    in_campaign = {name: c for c in found_campaigns for name in c.accounts}
    p_values = volume_p_values(features, kinds)
    verdicts = []
    for row, p_value in zip(features.select(["account", "exchanges"]).to_pylist(), p_values, strict=True):
        name = log.accounts[row["account"]]
        kind = kinds.get(row["account"])
        case = in_campaign.get(name)
        verdicts.append(
            AccountVerdict(
                name,
                _own_p_value(case, name) if case else p_value,
                case.id if case else None,
                kind.kind if kind else None,
                int(row["exchanges"]),
                kind.evidence if kind else "",
            )
        )
    return tuple(sorted(verdicts, key=lambda v: v.account))


def _own_p_value(case: Campaign, account: str) -> float | None:
    """Return an account's own p-value. A lone payer's is the finding's, which states it already."""
    if account in case.own_reactions:
        return case.own_reactions[account].p_value
    tie = case.own_ties.get(account)
    return None if tie is None else tie.p_value
