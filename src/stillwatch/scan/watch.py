"""Evaluates a log hour by hour, as it would have been seen live: groups, tests, alarms, names.

Each step uses only the log before it.

A group is found by new shared wording and tested by its settings (model, output limit, temperature), among
everyone who carries that wording; or it is found by new settings alone. In either case it raises an alarm
only if its content is of one source.
"""

# mypy: allow-untyped-defs

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stillwatch.actors import AccountFacts
from stillwatch.actors.behaviour import (
    EmergingRows,
    SettingCodes,
    all_rows,
    emerging_rows,
    posture,
    settings_of,
)
from stillwatch.actors.groups import LEAST_COUNTED, LEAST_TENANTS, commonest, groups
from stillwatch.actors.links import no_links
from stillwatch.actors.sessions import content_of, one_source_parts
from stillwatch.actors.signature import Signature, choices
from stillwatch.actors.spread import WINDOW_US, Spread, spread
from stillwatch.actors.window import LinkWindow
from stillwatch.exchanges.column_file import let_go, trim_heap
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import SettingTest
from stillwatch.scan.alarms import NEVER, Alarm, Candidate, Judgement, choose_alarms
from stillwatch.scan.carried import CarriedScan, Choice, Names
from stillwatch.scan.explanations import (
    Products,
    few_questions,
    one_customer,
    same_material,
    same_questions,
    share_instruments,
    short_answers,
    software_text,
    viral_prompt,
)
from stillwatch.scan.follow import (
    DEVOTED_LEAST,
    DEVOTED_SHARE,
    LEAST_SIGNATURE,
    entered_in_span,
    exchanges_since,
    followers,
)
from stillwatch.scan.new_settings import SETTINGS as SETTINGS_PAIR
from stillwatch.scan.new_settings import NewSettings, p_value
from stillwatch.scan.parts import FOLLOW, NEW_SETTINGS, columns_of, kinds_of
from stillwatch.scan.provider_ties import ProviderTies, lead_text
from stillwatch.scan.settings import DetectionSettings
from stillwatch.scan.signups import APART, SIGNED_TOGETHER, Signups
from stillwatch.scan.source_leads import (
    DEVOTED,
    EVALUATIONS,
    devotion,
    mostly_in,
    mostly_one_of,
    overlaps,
    source_text,
)
from stillwatch.stats.dealing import begins, deal_rows, distinct
from stillwatch.stats.exchangeability import ContentTest, Hands
from stillwatch.stats.groups import combine, concentration_tail, within_correlation
from stillwatch.units import DAY_US, HOUR_US

RESOLUTIONS = (1.0, 2.0, 4.0, 8.0)  # from loose to tight communities: a pool may be inside a looser one
# A pool with most of a small log's links is one community only at a resolution below one: at 1, the two
# halves of a graph without parts score as well as the whole (Reichardt and Bornholdt 2006).
LOOSEST = 0.5
MANY_EDGES = 1_000_000  # both directions counted: above it the resolutions take turns, one per hour
BASE_EVERY_US = 6 * HOUR_US
ESTABLISHED_EVERY_US = 3 * HOUR_US  # of wording that was in use when a log began
SETTINGS = ("model", "max_tokens", "temperature_milli")
QUIET_EVALUATIONS = 20  # six-hourly evaluations: five days, as long as the window
ONE_MODEL = 0.6  # of a group's tenants have its main model: then that, or another setting, may name one
# of a tenant's exchanges since it took the signature up: less may be chance in heavy traffic
CARRIED_SHARE = 0.1
MAYBE = 0.05  # a group with a larger p-value is not tested on the accounts that match its signature
PART_ALPHA = 1e-2  # of a part, if its whole is certain
SIGNATURE_IN, SIGNATURE_OUT = 0.2, 0.02  # a fingerprint that tells two groups apart: share of their exchanges
AHEAD = 3  # hours whose groups are computed while an earlier hour's are tested


@dataclass(frozen=True)
class WatchResult:
    alarms: tuple[Alarm, ...]  # of groups by wording
    alike: tuple[Alarm, ...]  # of groups by settings
    leads: tuple[Alarm, ...]
    spread: Spread  # without its links
    linked: bool  # whether there were links
    signature: Signature
    codes: tuple[np.ndarray, ...]  # per setting: code -> value in the log
    base: tuple[np.ndarray, ...]  # per setting: shares of the population at the end
    tests: int
    untested_settings: tuple[str, ...]
    settings: DetectionSettings
    groups: tuple[tuple[float, np.ndarray], ...] = ()  # at the last hour: p-value of its settings, tenants
    signups: Signups | None = None  # of a watch of wording that was in use when the log began


@dataclass(frozen=True)
class _WatchedHour:
    """The state at one hour's end: behaviour and, once found, groups at each resolution."""

    since_us: int
    until_us: int
    begin: int  # of the rows in between
    end: int
    dominant: np.ndarray  # (settings, tenants) int32
    found: tuple[Future[tuple[np.ndarray, np.ndarray]], ...]


def watch(
    log: ExchangeLog,
    tenant: np.ndarray,
    *,
    settings: DetectionSettings | None = None,
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
    carried: CarriedScan | None = None,
    until_us: int = NEVER,
    forgotten_us: int = 0,
    keep: Callable[[CarriedScan], None] | None = None,
    known: AccountFacts | None = None,
    signups: Signups | None = None,
    named: frozenset[int] = frozenset(),
) -> WatchResult:
    """Evaluate a log from its first hour to its last, or continue from an earlier evaluation.

    tenant: (accounts,) int32, the tenant of each: an organisation, else the account. The next hours' groups
    are computed on `threads` threads; the result does not depend on them.

    carried: the state of an earlier call, over the same log when it was shorter; until_us: the last hour to
    evaluate; forgotten_us: earlier exchanges were once in the log but are not any more; keep: called with the
    state after each evaluation; known: the provider's facts on the accounts.

    signups: look for groups whose wording was in use when the log began, in its first days, and raise those
    whose accounts also signed up together; named: tenants of other findings, without which a group must stand
    out by itself. `log` need be no longer than `first_days` makes it.
    """
    settings = settings or DetectionSettings()
    watcher = _Watcher(log, tenant, settings, carried or CarriedScan(), forgotten_us, known, signups, named)
    trim_heap()
    steps = watcher.steps(until_us)
    if progress:
        progress(0, len(steps))
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as beside:
        for k, hour in enumerate(watcher.hours(steps, pool)):
            watcher.evaluate(hour, beside if threads > 1 else None)
            let_go((log.content, *log.columns.values()))
            if keep:
                keep(watcher.carried(hour.until_us))
            if progress and k % 8 == 0:
                progress(k, len(steps))
        watcher.finish()
    if progress:
        progress(len(steps), len(steps))
    return WatchResult(
        tuple(watcher.alarms.raised),
        tuple(watcher.alike.raised),
        watcher.leads(),
        replace(watcher.spread, links=no_links()),  # not read any more, and large
        len(watcher.spread.links) > 0,
        Signature(watcher.spread, watcher.tenants),  # over the entries alone
        watcher.codes,
        tuple(watcher.base),
        watcher.tests,
        watcher.untested,
        settings,
        tuple(watcher.groups),
        watcher.signups,
    )


def first_days(log: ExchangeLog, settings: DetectionSettings) -> ExchangeLog:
    """Return the part of a log that is read for wording in use when it began."""
    return log.before(int(log["ts_us"][0]) + settings.window_us)


def over_whole_log(result: WatchResult, log: ExchangeLog, tenant: np.ndarray) -> WatchResult:
    """Extend the result of a watch of a log's first days by the users of its fingerprints in the whole log.

    tenant: (accounts,) int32. Whatever emerged in the first days does so in the whole log, which has more.
    """
    everything = _spread(log, tenant[log["account"]], result.settings, burn_in_us=0, linked=False)
    order = np.argsort(everything.fingerprint_value)
    place = np.searchsorted(everything.fingerprint_value, result.spread.fingerprint_value, sorter=order)
    return replace(
        result,
        alarms=tuple(alarm.renumber(order[place]) for alarm in result.alarms),
        spread=everything,
        signature=Signature(everything, len(log.accounts)),
    )


def _spread(
    log: ExchangeLog,
    tenant: np.ndarray,
    settings: DetectionSettings,
    *,
    burn_in_us: int,
    forgotten_us: int = 0,
    linked: bool = True,
) -> Spread:
    """Compute how wording spreads, as settings say. tenant: (exchanges,) int32."""
    return spread(
        log,
        tenant,
        kinds=kinds_of(settings.parts),
        forgotten_us=forgotten_us,
        window_us=settings.window_us,
        burn_in_us=burn_in_us,
        min_entrants=settings.min_entrants,
        novelty=settings.novelty,
        neighbours=settings.neighbours,
        linked=linked,
    )


class _Watcher:
    def __init__(
        self,
        log: ExchangeLog,
        tenant: np.ndarray,
        settings: DetectionSettings,
        carried: CarriedScan,
        forgotten_us: int,
        known: AccountFacts | None,
        signups: Signups | None = None,
        named: frozenset[int] = frozenset(),
    ) -> None:
        self.log, self.settings, self.forgotten_us, self.known = log, settings, forgotten_us, known
        self.signups, self.named = signups, named
        parts = settings.parts if signups is None else settings.parts - {FOLLOW, NEW_SETTINGS}
        self.tenant_of_account = tenant
        self.groups: list[tuple[float, np.ndarray]] = []
        self.heeded = [name in columns_of(parts) for name in SETTINGS]
        self.follows = FOLLOW in parts
        self.by_settings = NEW_SETTINGS in parts
        self.tenant = tenant[log["account"]]
        self.tenants = len(log.accounts)
        burn_in_us = settings.burn_in_us if signups is None else 0
        self.spread = _spread(log, self.tenant, settings, burn_in_us=burn_in_us, forgotten_us=forgotten_us)
        self.emerging: EmergingRows = emerging_rows(log, self.spread, self.tenant, self.tenants)
        self.all: EmergingRows = all_rows(log, self.tenant, self.tenants)
        self.signature = Signature(self.spread, self.tenants)
        self.setting_codes, self.codes = settings_of([log[name] for name in SETTINGS])
        self.tokens = log["output_tokens"]
        self.products = Products(log)
        self.new_settings = NewSettings(log, self.tenant, self.all, self.setting_codes, self.codes)
        self.untested = tuple(n for n, c in zip(SETTINGS, self.codes, strict=True) if len(c) < 2)
        self.first_us = _first_seen(self.setting_codes, self.codes, log["ts_us"])
        self.names = Names(log, tenant, self.spread.fingerprint_value, SETTINGS, self.codes)
        self.evaluated_until = carried.until_us
        self.linked_hours = _next_hours(self.spread.links.at_us)
        self.tested = list(carried.tested or [False] * len(SETTINGS))  # a single value carries no information
        self.base: list[np.ndarray] = self.names.base(carried)
        self.rounded: list[list[float]] = []  # of base, so that near values share their tails
        self.tries: list[int] = []
        self._round()
        self.correlation = list(carried.correlation or settings.correlation_floor)
        self.base_due = carried.base_due_us
        self.active_per_day = carried.active_per_day
        needed = settings.looks_before_alarm, settings.looks_before_naming
        self.alarms = self.names.alarms(carried.alarms, carried.owner, needed)
        # groups tied by the provider's facts; used only for a log without model names, and leads at most
        self.tied = self.names.alarms(carried.tied, carried.tied_owner, needed)
        self.ties = None if known is None or signups is not None else ProviderTies(known, tenant)
        # groups by settings, kept apart: they change no alarm by wording
        self.alike = self.names.alarms(carried.alike, carried.alike_owner, needed)
        # groups by wording and content whose settings show nothing: leads at most
        self.sourced = self.names.alarms(carried.sourced, carried.sourced_owner, EVALUATIONS)
        self.leads_sought: Future[None] | None = None
        self.of_seeker: tuple[Signature, Products] | None = None  # of the thread that seeks leads
        self.tests = carried.tests
        # choices of groups that raised no alarm, by evaluation, so that a campaign's many parts count in few
        # of them
        self.quiet: deque[tuple[tuple[Choice, ...], ...]] = deque(carried.quiet, maxlen=QUIET_EVALUATIONS)

    def carried(self, until_us: int) -> CarriedScan:
        """Return the state for the next evaluation, by name."""
        self.finish()
        alarms, owner = self.names.saved(self.alarms)
        tied, tied_owner = self.names.saved(self.tied)
        alike, alike_owner = self.names.saved(self.alike)
        sourced, sourced_owner = self.names.saved(self.sourced)
        return CarriedScan(
            until_us,
            self.names.shares(self.base),
            tuple(self.tested),
            tuple(self.correlation),
            self.base_due,
            self.active_per_day,
            self.tests,
            tuple(self.quiet),
            alarms,
            owner,
            tied,
            tied_owner,
            alike,
            alike_owner,
            sourced,
            sourced_owner,
        )

    def leads(self) -> tuple[Alarm, ...]:
        """Groups by wording whose settings are too similar, by settings, by the provider's ties, by content.

        Groups by settings with content of many sources are no leads: honest programs have equal settings too.
        For all but the first kind, those whose tenants mostly belong to an earlier alarm are left out.
        """
        leads = list(self.alarms.leads)
        raised = frozenset().union(*(a.evaluations for a in (*self.alarms.raised, *self.alike.raised)))
        known = raised.union(*(a.evaluations for a in leads))
        alike = [a for a in self.alike.leads if a.judgement and a.judgement.content.hands is not Hands.MANY]
        for alarm in (*alike, *self.tied.leads):
            if len(known.intersection(alarm.evaluations)) < 0.5 * len(alarm.evaluations):
                leads.append(alarm)
                known |= alarm.evaluations.keys()
        # a group of one source is a lead beside one that mixes it with others, but not beside one of the same
        # source
        one_source = [a.evaluations for a in leads if a.judgement and a.judgement.content.hands is Hands.ONE]
        for alarm in self.sourced.leads:
            inside = any(mostly_in(alarm, tenants) for tenants in (raised, *one_source))
            if not inside and not mostly_one_of(alarm, leads):
                leads.append(alarm)
        return tuple(leads)

    def steps(self, until_us: int) -> np.ndarray:
        """Return the hours that could show something new, from the next one to the last full one."""
        linked = self.linked_hours
        if self.by_settings:
            linked = np.union1d(linked, _next_hours(self.new_settings.entries_us))
        if self.signups is not None:  # later hours show nothing about wording that was in use then
            until_us = min(until_us, int(self.log["ts_us"][0]) + self.settings.window_us)
            linked = linked[linked % ESTABLISHED_EVERY_US == 0]
        return linked[(linked > self.evaluated_until) & (linked <= until_us)]

    def hours(self, steps: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[_WatchedHour]:
        """Yield the hours in order, a few ahead of the one that is evaluated."""
        window = LinkWindow(self.spread.links, self.tenants)
        waiting: deque[Future[_WatchedHour]] = deque()
        linked = np.isin(steps, self.linked_hours)
        with ThreadPoolExecutor(1) as ahead:  # the window only moves forward
            for step, has_links in zip(steps.tolist(), linked.tolist(), strict=True):
                waiting.append(ahead.submit(self._hour, step, window if has_links else None, pool))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _hour(self, until: int, window: LinkWindow | None, pool: ThreadPoolExecutor) -> _WatchedHour:
        """Return the state at an hour's end. window: None if no link arose in the hour."""
        from_us = until - self.settings.window_us
        begin, end = (int(k) for k in np.searchsorted(self.log["ts_us"], [from_us, until]))
        if window is None:
            return _WatchedHour(from_us, until, begin, end, np.zeros((0, 0), np.int32), ())
        graph = window.moved(from_us, until)
        counted, dominant = self._posture(self.emerging, until, from_us)
        resolutions: tuple[float, ...] = (LOOSEST, *RESOLUTIONS)
        if len(graph.neighbour) > MANY_EDGES:  # take turns: an evaluation costs a quarter
            resolutions = (RESOLUTIONS[until // HOUR_US % len(RESOLUTIONS)],)
        found = tuple(pool.submit(groups, graph, counted, resolution) for resolution in resolutions)
        return _WatchedHour(from_us, until, begin, end, dominant, found)

    def evaluate(self, hour: _WatchedHour, beside: ThreadPoolExecutor | None = None) -> None:
        """Test an hour's groups; raise, extend and split alarms.

        beside: runs the search for leads, which raises no alarm, while the next hours are evaluated.
        """
        if hour.found:
            self._evaluate_wording(hour, beside)
        if self.by_settings:
            self._evaluate_settings(hour)

    def finish(self) -> None:
        """Wait for the search that runs beside the hours."""
        if self.leads_sought is not None:
            self.leads_sought.result()
            self.leads_sought = None

    def _evaluate_settings(self, hour: _WatchedHour) -> None:
        """Judge the hour's groups by new settings, without users of one product: its defaults are theirs."""
        for group in self.new_settings.groups(hour.since_us, hour.until_us):
            self.tests += 1
            if p_value(group.test(len(group.newcomers))) >= self.settings.alpha_ceiling:
                continue  # with fewer the p-value is larger
            rows = self.new_settings.rows(group, hour.since_us, hour.until_us)
            users = self.products.users(self.tenant, group.users, rows, hour.begin, hour.end)
            newcomers = group.newcomers.difference(users)
            test = group.test(len(newcomers))
            p = p_value(test)
            if len(newcomers) < LEAST_TENANTS or p >= self.settings.alpha_ceiling:
                continue
            rows = rows[np.isin(self.tenant[rows], list(newcomers))]
            own = self.signature.own(np.array(sorted(newcomers), np.int32), hour.since_us, hour.until_us)
            users_left = group.users.difference(users)
            candidate = Candidate(
                p,
                users_left,
                newcomers,
                users_left,
                (),
                (),
                ((SETTINGS_PAIR, p),),
                own,
                (test,),
                rows,
                group.settings,
                users,
            )
            # content must agree at several evaluations, however unusual the settings are: hence no alpha
            self.alike.record(candidate, hour.until_us, 0.0, partial(self._judge_settings, hour=hour))
        self.alike.mark_first_accounts(self.names.tenant_name)

    def _judge_settings(self, candidate: Candidate, others: frozenset[int], hour: _WatchedHour) -> Judgement:
        members = candidate.members - others
        if len(members) < LEAST_TENANTS:
            return self._others_judgement(candidate, others)
        judgement = self._judge_content(candidate.rows, members, hour)
        return replace(judgement, aside=_aside(candidate.members & others, candidate.aside))

    def _others_judgement(self, candidate: Candidate, others: frozenset[int]) -> Judgement:
        """Return the judgement on a group that is none without other findings' accounts: it stays a lead."""
        content = content_of(self.log, candidate.rows, self.tenant, candidate.members, self.names.tenant_name)
        inside, members = len(candidate.members & others), len(candidate.members)
        return Judgement(content, f"{inside:,} of {members:,} accounts belong to other findings")

    def _evaluate_wording(self, hour: _WatchedHour, beside: ThreadPoolExecutor | None) -> None:
        until = hour.until_us
        due = until >= self.base_due
        if due:
            self._population(until, hour.since_us)
            self.base_due = until + BASE_EVERY_US
        groupings = [f.result() for f in hour.found]
        alpha = self._alpha(max(len(begin) - 1 for begin, _ in groupings))
        remember = until % BASE_EVERY_US == 0
        suspected = self.alarms.suspected() if remember else frozenset()
        quiet: list[list[Choice]] = [[] for _ in SETTINGS]
        seen: set[bytes] = set()
        candidates = []
        self.groups = []
        for begin, member in groupings:
            value, counts = (a.T.tolist() for a in commonest(hour.dominant, begin, member))
            for g in range(len(begin) - 1):
                members = member[begin[g] : begin[g + 1]]
                key = members.tobytes()
                if key in seen:
                    continue
                seen.add(key)
                self.tests += 1
                tails = self._tails(value[g], counts[g], len(members))
                if not tails:
                    continue
                if remember and len(suspected.intersection(members.tolist())) < 0.2 * len(members):
                    self._remember(quiet, value[g], counts[g], len(members))
                p_members = combine(tails)
                self.groups.append((p_members, members))
                if p_members >= MAYBE or not self._signed_up_together(members, until, MAYBE):
                    continue
                candidate = self._test(members, hour)
                if candidate is not None and candidate.p_value < PART_ALPHA:
                    candidates.append(candidate)
        if remember:
            self.quiet.append(tuple(tuple(choices) for choices in quiet))
        for candidate, parts in choose_alarms(candidates, alpha, lambda parts: self._distinct(parts, hour)):
            self.alarms.record(candidate, until, alpha, partial(self._judge, hour=hour, alpha=alpha))
            for part in parts[1:]:
                self.alarms.split(part)
        if self.ties is not None and not self.tested[0]:
            self._evaluate_ties(self.ties, hour, groupings, alpha)
        # "whatever the settings" makes sense only if there are some
        if due and any(self.tested) and self.signups is None:
            named = {p for alarm in self.alarms.raised for p in alarm.evaluations}
            if beside is None:
                self.evaluate_source(hour, groupings, named)
            else:
                self.finish()
                self.leads_sought = beside.submit(self._lead_seeker().evaluate_source, hour, groupings, named)
        self.alarms.mark_first_accounts(self.names.tenant_name)
        self.tied.mark_first_accounts(self.names.tenant_name)
        for alarm in self.alarms.raised if self.follows else ():
            self._follow(alarm, hour)

    def _evaluate_ties(
        self,
        ties: ProviderTies,
        hour: _WatchedHour,
        groupings: list[tuple[np.ndarray, np.ndarray]],
        alpha: float,
    ) -> None:
        """Make leads of the hour's groups that payment or sign-up tie."""
        active = distinct(self.tenant[hour.begin : hour.end])
        text: dict[frozenset[int], str] = {}
        candidates = []
        for begin, member in groupings:
            for g in range(len(begin) - 1):
                members = member[begin[g] : begin[g + 1]]
                who = frozenset(members.tolist())
                if who in text:
                    continue
                p_value, tie = ties.tail(members, active)
                text[who] = lead_text(tie, p_value)
                if p_value < alpha:
                    own = self.signature.own(members, hour.since_us, hour.until_us)
                    rows = self._emerging_of(members, hour)
                    candidates.append(Candidate(p_value, who, who, who, (), (), (), own, (), rows))

        def judge(candidate: Candidate, _: frozenset[int]) -> Judgement:
            content = content_of(
                self.log, candidate.rows, self.tenant, candidate.members, self.names.tenant_name
            )
            return Judgement(content, text[candidate.members])

        for candidate, _ in choose_alarms(candidates, alpha, lambda parts: False):
            self.tied.record(candidate, hour.until_us, alpha, judge)

    def _lead_seeker(self) -> "_Watcher":
        """Return a copy of this watcher for another thread, which runs while this one evaluates on."""
        other = copy(self)
        other.tested, other.correlation = list(self.tested), list(self.correlation)
        if self.of_seeker is None:
            self.of_seeker = self.signature.for_thread(), Products(self.log)
        other.signature, other.products = self.of_seeker
        return other

    def evaluate_source(
        self, hour: _WatchedHour, groupings: list[tuple[np.ndarray, np.ndarray]], named: set[int]
    ) -> None:
        """Make leads of the hour's groups whose content is of one source, whatever their settings.

        named: tenants of raised alarms.
        """
        seen: set[frozenset[int]] = set()  # communities
        tested: set[frozenset[int]] = set()  # all tenants that carry their wording
        leads: list[Candidate] = []
        judgements: dict[frozenset[int], Judgement] = {}  # by the members that remain
        for starts, member in reversed(
            groupings
        ):  # the tightest first: a loose group mixes a pool with others
            for g in range(len(starts) - 1):
                members = member[starts[g] : starts[g + 1]]
                who = frozenset(members.tolist())
                if who in seen or len(named & who) >= 0.5 * len(who):
                    continue
                seen.add(who)
                carrying = self._test(members, hour)
                if carrying is None or carrying.members in tested or overlaps(carrying.members, judgements):
                    continue
                tested.add(carrying.members)
                lead = self._of_one_source(carrying, hour)
                let_go((self.log.content,))
                if lead:
                    candidate, judgements[candidate.members] = lead
                    leads.append(candidate)
        for candidate in leads:
            self.sourced.record(candidate, hour.until_us, 0.0, lambda c, _: judgements[c.members])
        self.sourced.mark_first_accounts(self.names.tenant_name)

    def _of_one_source(self, group: Candidate, hour: _WatchedHour) -> tuple[Candidate, Judgement] | None:
        """Return a group whose content is of one source and unexplained, and why it is a lead; or None.

        Users of one program are left out if enough others remain that are of one source.
        """
        users = self.products.users(self.tenant, group.members, group.rows, hour.begin, hour.end)
        for members in (group.members.difference(users), group.members) if users else (group.members,):
            if len(members) < LEAST_TENANTS:
                continue
            rows = group.rows[np.isin(self.tenant[group.rows], list(members))]
            if devotion(rows, self.tenant, members, self.all, hour.end) < DEVOTED:
                continue
            content = content_of(self.log, rows, self.tenant, members, self.names.tenant_name)
            if content.hands is Hands.ONE and not self._explanation(content, rows, members, hour):
                product_users = self.products.users(self.tenant, members, rows, hour.begin, hour.end)
                judgement = Judgement(content, source_text(product_users, len(members)))
                return Candidate(1.0, members, members, members, (), (), (), group.own, (), rows), judgement
        return None

    def _follow(self, alarm: Alarm, hour: _WatchedHour) -> None:
        """Name tenants that take up a raised alarm's signature and do little else."""
        own = alarm.own_fingerprints()
        partly = alarm.judgement is not None and alarm.judgement.part is not None
        if len(own) < LEAST_SIGNATURE or partly:  # users of a signature that others share are not followed
            return
        lately = entered_since(alarm.evaluated_at_us[0], self.forgotten_us, self.settings.window_us)
        newcomers = followers(
            own, self.signature, self.all, self.tenant, (hour.begin, hour.end), lately, hour.until_us
        )
        dominant = hour.dominant[:, newcomers.tenant]
        alike = self._any_alike(dominant, alarm.dominant, alarm.share)
        self.alarms.follow(alarm, newcomers.tenant[alike].tolist(), hour.until_us)

    def _any_alike(self, dominant: np.ndarray, values: Sequence[int], shares: Sequence[float]) -> np.ndarray:
        """(n,) bool: which tenants have any of a group's common settings. All, if it has none in common.

        dominant: (settings, n) what each mostly uses; values, shares: the common values, and their shares.
        """
        common = [s for s, share in enumerate(shares) if self.tested[s] and share >= ONE_MODEL]
        if not common:
            return np.ones(dominant.shape[1], bool)
        return np.any([dominant[s] == values[s] for s in common], axis=0)

    def _posture(self, rows: EmergingRows, until: int, since: int) -> tuple[np.ndarray, np.ndarray]:
        return posture(rows, until, since, self.setting_codes, self.tokens)

    def _population(self, until: int, since: int) -> None:
        counted, dominant = self._posture(self.all, until, since)
        self.base = []
        for s, codes in enumerate(self.codes):
            tally = np.bincount(dominant[s][counted >= LEAST_COUNTED], minlength=len(codes))
            seen = self.first_us[s] < until  # values of later hours must not count now
            weight = (tally + 0.5) * seen
            self.base.append(weight / weight.sum())
            self.tested[s] = self.heeded[s] and bool(seen.sum() >= 2)
            remembered = [choice for earlier in self.quiet for choice in earlier[s]]
            least, most = self.settings.correlation_floor[s], self.settings.correlation_ceiling[s]
            self.correlation[s] = min(most, within_correlation(remembered, _tries(self.base[s]), least))
        self._round()
        day = np.searchsorted(self.log["ts_us"], [until - DAY_US, until])
        active = np.bincount(self.tenant[day[0] : day[1]], minlength=1)
        self.active_per_day = float(np.count_nonzero(active))

    def _round(self) -> None:
        self.rounded = [[max(round(share, 3), 0.001) for share in base.tolist()] for base in self.base]
        self.tries = [_tries(base) for base in self.base]

    def _alpha(self, groups: int) -> float:
        """Return what one test may spend: the day's allowance of false cases over its independent tests.

        Hourly tests of a group repeat each other; two independent ones a day are counted.
        """
        allowed = self.settings.false_cases_per_10k_account_days * self.active_per_day / 10_000
        return min(self.settings.alpha_ceiling, allowed / (2 * max(groups, 1)))

    def _tails(self, values: list[int], counts: list[int], n: int) -> list[float]:
        """Return the p-value of each tested setting's most common value among n tenants."""
        return [
            min(1.0, tries * concentration_tail(count, n, shares[value], correlation))
            for value, count, shares, tries, correlation, tested in zip(
                values, counts, self.rounded, self.tries, self.correlation, self.tested, strict=True
            )
            if tested
        ]

    def _named_tails(self, tails: list[float]) -> tuple[tuple[str, float], ...]:
        tested = [name for name, is_tested in zip(SETTINGS, self.tested, strict=True) if is_tested]
        return tuple(zip(tested, tails, strict=True))

    def _setting_tests(self, values: list[int], counts: list[int], n: int) -> tuple[SettingTest, ...]:
        """Return the inputs of `_tails`, to be stored with an alarm."""
        tests = []
        for s, name in enumerate(SETTINGS):
            if self.tested[s]:
                value = self.names.value(s, values[s])
                share, tries = self.rounded[s][values[s]], self.tries[s]
                shown_value = None if isinstance(value, int) and value < 0 else value
                tests.append(SettingTest(name, shown_value, counts[s], n, share, tries, self.correlation[s]))
        return tuple(tests)

    def _remember(self, quiet: list[list[Choice]], values: list[int], counts: list[int], n: int) -> None:
        """Store a group's choices for the correlation within groups, unless they are clearly a campaign's."""
        for s, (value, count) in enumerate(zip(values, counts, strict=True)):
            share = self.rounded[s][value]
            if concentration_tail(count, n, share, self.settings.correlation_floor[s]) > 1e-3:
                quiet[s].append((count, n, share))

    def _test(self, members: np.ndarray, hour: _WatchedHour) -> Candidate | None:
        """Return a group as a candidate, tested on every account that matches its signature."""
        own = self.signature.own(members, hour.since_us, hour.until_us)
        rows = self.signature.matching_rows(own, hour.begin, hour.end)
        matching, counts, first, dominant = choices(rows, self.tenant, self.setting_codes, self.tokens)
        if len(matching) < 0.5 * len(members):
            return self._test_without_signature(members, hour)
        since_taken_up = exchanges_since(matching, first, self.all.begin, self.all.row, hour.end)
        often = (counts >= LEAST_COUNTED) & (counts >= CARRIED_SHARE * since_taken_up)
        n = int(often.sum())
        if n < LEAST_TENANTS:
            return None
        top = commonest(dominant, np.array([0, n]), np.flatnonzero(often))
        values, common_counts = (a[:, 0].tolist() for a in top)
        tails = self._tails(values, common_counts, n)
        if not tails:
            return None
        shares = tuple(count / n for count in common_counts)
        devoted = (counts >= DEVOTED_LEAST) & (counts >= DEVOTED_SHARE * since_taken_up)
        of_one_model = self.heeded[0] and shares[0] >= ONE_MODEL
        agree = dominant[0] == values[0] if of_one_model else np.ones(len(matching), bool)
        members_alike = matching[often & (agree | devoted & self._any_alike(dominant, values, shares))]
        lately = entered_in_span(self.signature, own, members_alike, hour.since_us, hour.until_us)
        return Candidate(
            combine(tails),
            frozenset(matching[often].tolist()),
            frozenset(members_alike[lately].tolist()),
            frozenset(members_alike.tolist()),
            tuple(values),
            shares,
            self._named_tails(tails),
            own,
            self._setting_tests(values, common_counts, n),
            rows,
        )

    def _test_without_signature(self, members: np.ndarray, hour: _WatchedHour) -> Candidate | None:
        """Return a group whose texts share a style but no signature, so that nothing outside it is counted.

        For a tenant that sends much else, a style that it shares is chance. With no signature to be devoted
        to, only the group's common model can name a tenant.
        """
        rows = self._emerging_of(members, hour)
        tenants, begin, dealt = deal_rows(rows, self.tenant)
        counts, first = np.diff(begin), dealt[begin[:-1]].astype(np.int64)
        sent = exchanges_since(tenants, first, self.all.begin, self.all.row, hour.end)
        often = np.flatnonzero(counts >= CARRIED_SHARE * sent)
        members = tenants[often].astype(np.int32)
        if len(members) < LEAST_TENANTS:
            return None
        value, count = commonest(hour.dominant, np.array([0, len(members)]), members)
        values, counts_of_value = value[:, 0].tolist(), count[:, 0].tolist()
        tails = self._tails(values, counts_of_value, len(members))
        alike = hour.dominant[0, members] == values[0] if self.heeded[0] else slice(None)
        members_alike = frozenset(members[alike].tolist())
        one_model = not self.heeded[0] or len(members_alike) >= ONE_MODEL * len(members)
        if not tails or len(members_alike) < LEAST_TENANTS or not one_model:
            return None
        return Candidate(
            combine(tails),
            members_alike,
            members_alike,
            members_alike,
            tuple(values),
            tuple(n / len(members) for n in counts_of_value),
            self._named_tails(tails),
            np.zeros(0, np.int64),
            self._setting_tests(values, counts_of_value, len(members)),
            dealt[np.repeat(np.isin(np.arange(len(tenants)), often[alike]), counts)],
        )

    def _emerging_of(self, tenants: np.ndarray, hour: _WatchedHour) -> np.ndarray:
        """Return the tenants' exchanges that carried new, shared wording within the hour's window."""
        emerging = self.emerging
        first, count = emerging.begin[tenants], emerging.begin[tenants + 1] - emerging.begin[tenants]
        rows = np.repeat(first - begins(count)[:-1], count) + np.arange(count.sum())
        seen = emerging.counts_from_us[rows] < hour.until_us
        rows = emerging.row[rows[seen]]
        return rows[emerging.ts_us[rows] >= hour.since_us]

    def _signed_up_together(
        self, tenants: np.ndarray, until_us: int, p_value: float = SIGNED_TOGETHER
    ) -> bool:
        """Return whether some tenants did; always true if not tested."""
        return self.signups is None or self.signups.span(tenants, until_us).p_value <= p_value

    def _judge(
        self, candidate: Candidate, others: frozenset[int], hour: _WatchedHour, alpha: float
    ) -> Judgement:
        """Judge a candidate by its content, and one whose wording is not new by its sign-ups as well."""
        others |= self.named
        judgement = self._judge_hands(candidate, others, hour, alpha)
        judged = np.array(sorted(judgement.part or candidate.members - others), np.int32)
        if not judgement.explanation and not self._signed_up_together(judged, hour.until_us):
            return replace(judgement, explanation=APART)
        return judgement

    def _judge_hands(
        self, candidate: Candidate, others: frozenset[int], hour: _WatchedHour, alpha: float
    ) -> Judgement:
        """Judge whether a candidate is of one source, by its tenants' content and by honest explanations.

        The accounts of other findings and users of one vendor's software are set aside first: the rest must
        stand out by itself.
        """
        log, all_members, rows = self.log, candidate.members - others, candidate.rows
        if len(all_members) < len(candidate.members) and (
            len(all_members) < LEAST_TENANTS or self._members_p(all_members, hour) >= alpha
        ):
            return self._others_judgement(candidate, others)
        users = self.products.users(self.tenant, all_members, rows, hour.begin, hour.end)
        members, name_of = all_members, self.names.tenant_name
        if users and (
            self.signups is not None  # an existing program with old wording explains it, whoever pays
            or not share_instruments(self.known, self._accounts(users), self.tenant_of_account)
        ):
            members = all_members.difference(users)
            if len(members) < LEAST_TENANTS or self._members_p(members, hour) >= alpha:
                content = content_of(log, rows, self.tenant, all_members, name_of)
                return Judgement(content, software_text(users, len(all_members)))
        judgement = self._judge_content(rows, members, hour)
        used = {} if len(members) == len(all_members) else users
        judgement = replace(judgement, aside=_aside(candidate.members & others, used))
        if judgement.content.hands is Hands.ONE and len(members) < len(all_members):
            return replace(judgement, part=judgement.part or members)
        return judgement

    def _judge_content(self, rows: np.ndarray, members: frozenset[int], hour: _WatchedHour) -> Judgement:
        """Judge whether some exchanges of a group, or those of a part of it, are of one source."""
        name_of = self.names.tenant_name
        content = content_of(self.log, rows, self.tenant, members, name_of)
        if content.hands is Hands.ONE:
            return Judgement(content, self._explanation(content, rows, members, hour))
        if content.hands is Hands.MANY:
            for inner, test in one_source_parts(self.log, rows, self.tenant, members, name_of, LEAST_TENANTS):
                if not self._explanation(test, rows, inner, hour):
                    return Judgement(test, "", inner)
        return Judgement(content)

    def _explanation(
        self, content: ContentTest, rows: np.ndarray, members: Collection[int], hour: _WatchedHour
    ) -> str:
        """Return an honest explanation of a group of one source, or "". rows: those with its wording."""
        of_members = rows[np.isin(self.tenant[rows], list(members))]
        explanation = (
            one_customer(self.known, self._accounts(members))
            or viral_prompt(self.log["ts_us"][of_members], self.tenant[of_members])
            or same_material(self.log["exact"][of_members], self.tenant[of_members])
        )
        tokens = self.settings.short_answer_tokens
        short = not explanation and short_answers(self.log, of_members, tokens)
        if explanation or not (short or few_questions(content)):
            return explanation
        # the shared question may be the wording itself, with long answers beside it, so all their questions
        # count
        rows = hour.begin + np.flatnonzero(np.isin(self.tenant[hour.begin : hour.end], list(members)))
        if short and (explanation := short_answers(self.log, rows, tokens)):
            return explanation
        if not few_questions(content):
            return ""
        test = content_of(self.log, rows, self.tenant, members, self.names.tenant_name)
        return same_questions(test, self.log, rows, self.tenant)

    def _accounts(self, tenants: Collection[int]) -> np.ndarray:
        return np.flatnonzero(np.isin(self.tenant_of_account, list(tenants)))

    def _members_p(self, members: Collection[int], hour: _WatchedHour) -> float:
        """Return the p-value of some tenants' settings by themselves."""
        tenants = np.array(sorted(members), np.int32)
        value, counts = commonest(hour.dominant, np.array([0, len(tenants)]), tenants)
        tails = self._tails(value[:, 0].tolist(), counts[:, 0].tolist(), len(tenants))
        return combine(tails) if tails else 1.0

    def _distinct(self, parts: list[Candidate], hour: _WatchedHour) -> bool:
        """Return whether fingerprints separate every two parts: many exchanges of one, few of the other."""
        shares = [
            self.signature.shares(np.array(sorted(part.matching), np.int32), self.all, hour.begin, hour.end)
            for part in parts
        ]
        for x in range(len(parts)):
            for y in range(x):
                a, b = shares[x], shares[y]
                marks = ((a >= SIGNATURE_IN) & (b <= SIGNATURE_OUT)) | (
                    (b >= SIGNATURE_IN) & (a <= SIGNATURE_OUT)
                )
                if marks.sum() < 3:
                    return False
        return True


def entered_since(first_evaluation_us: int, forgotten_us: int, window_us: int = WINDOW_US) -> int:
    """Return from when on a follower must have taken a signature up.

    The first use of anything forgotten is unknown: a tenant that used the signature early in what is left may
    have used it always, and does not count as a newcomer.
    """
    return max(first_evaluation_us - window_us, forgotten_us + window_us if forgotten_us else 0)


def _aside(others: Collection[int], users: Mapping[int, str]) -> dict[int, str]:
    """Return tenants of other alarms, and users of a product with its name, as a judgement stores them."""
    return dict.fromkeys(others, "") | dict(users)


def _next_hours(times_us: np.ndarray) -> np.ndarray:
    """Return the full hours that end after some times, each once."""
    return distinct((times_us // HOUR_US + 1) * HOUR_US)


def _first_seen(settings: SettingCodes, codes: tuple[np.ndarray, ...], ts_us: np.ndarray) -> list[np.ndarray]:
    """(codes,) int64 for each setting: when each value was first used; rows are in time order."""
    first = np.full(settings.values.shape[1], len(settings.code), np.int64)  # for each combination
    np.minimum.at(first, settings.code, np.arange(len(settings.code)))
    firsts = [np.full(len(values), len(settings.code), np.int64) for values in codes]
    for first_of_setting, level in zip(firsts, settings.values, strict=True):
        np.minimum.at(first_of_setting, level, first)
    return [ts_us[first_of_setting] for first_of_setting in firsts]


def _tries(base: np.ndarray) -> int:
    """Return how many of a setting's values are frequent enough to have been a group's most common."""
    return int(np.clip((base > 0.02).sum(), 1, 8))
