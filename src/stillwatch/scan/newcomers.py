"""Finds accounts that take up a known campaign's signature between two full evaluations.

The rule is that of `follow`, applied only to accounts that have just used the signature. It is stricter in
three ways, since nothing here has been seen twice. An account must carry as many of the signature's
fingerprints as a finding requires, have done little else in the last day (on dev-a and dev-b the rule alone
named 8 honest accounts beside 299, so 1 beside 283), and have the campaign's limit or temperature, if it has
one in common. Accounts left out here are named by the next full evaluation. Provisional: the next full
evaluation starts without it.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from stillwatch.actors.signature import NEEDED, Signature
from stillwatch.actors.spread import WINDOW_US
from stillwatch.exchanges.kept import KeptLog
from stillwatch.exchanges.log import Columns, ExchangeLog
from stillwatch.scan import Follower, ScanResult
from stillwatch.scan.alarms import NEVER, lasting
from stillwatch.scan.carried import CarriedScan
from stillwatch.scan.follow import DEVOTED_SHARE, LEAST_SIGNATURE, MARKED, followers, signature_of, uses
from stillwatch.scan.group_members import least_carried
from stillwatch.scan.watch import ONE_MODEL, entered_since
from stillwatch.units import DAY_US, time_of

PHRASES = ("phrases", "system_phrases")
SETTINGS = ("max_tokens", "temperature_milli")  # not the model: its code may change between two evaluations
COLUMNS = ("ts_us", "id", "account", *MARKED, *SETTINGS, *PHRASES)


@dataclass(frozen=True)
class KnownSignature:
    """A raised alarm's own fingerprints, and the campaign that it became."""

    campaign: str
    fingerprints: frozenset[int]
    since_us: int  # a newcomer must have taken them up since then
    others: frozenset[str]  # accounts already named, or of another alarm
    least: float = 0.0  # how many of the fingerprints an account must carry
    settings: tuple[tuple[str, int], ...] = ()  # column and value that most of its accounts have in common


@dataclass(frozen=True)
class KnownAccounts:
    """What a provisional evaluation uses of the accounts table."""

    # with any permission: only a full evaluation examines what it permits
    permitted: frozenset[str] = frozenset()
    org: dict[str, str] = field(default_factory=dict)  # account -> organisation, if it has one


def known_accounts(accounts: pa.Table | None) -> KnownAccounts:
    if accounts is None:
        return KnownAccounts()
    rows = accounts.select(["account", "org", "permissions"]).to_pylist()
    return KnownAccounts(
        frozenset(row["account"] for row in rows if row["permissions"]),
        {row["account"]: row["org"] for row in rows if row["org"]},
    )


def known_signatures(
    carried: CarriedScan, result: ScanResult, kept: KeptLog, window_us: int = WINDOW_US
) -> tuple[KnownSignature, ...]:
    """Return the signatures of the alarms that became campaigns, in the order of the alarms."""
    signatures = []
    named = {account for campaign in result.campaigns for account in campaign.accounts}
    members = {campaign.id: set(campaign.accounts) for campaign in result.campaigns}
    for number, alarm in enumerate(carried.alarms):
        fingerprints = frozenset(lasting(alarm.markers))
        if alarm.at_us == NEVER or len(fingerprints) < LEAST_SIGNATURE:
            continue
        shared = [(len(alarm.named.keys() & accounts), name) for name, accounts in members.items()]
        most, campaign = max(shared, default=(0, ""))
        if most:
            elsewhere = {name for name, owner in carried.owner.items() if owner != number}
            since = entered_since(alarm.looked_at_us[0], kept.forgotten_us, window_us)
            values = np.array(sorted(fingerprints), np.uint32)
            log, who, tenants = _log_of_accounts(kept, members[campaign], {}, NEVER)
            index, _ = signature_of(log, who, len(tenants), values)
            usual = float(np.median(_count_carried(index, np.arange(len(values)), np.arange(len(tenants)))))
            least = least_carried(len(values), usual)
            common = _common_settings(log, who, len(tenants))
            others = frozenset(named | elsewhere)
            signatures.append(KnownSignature(campaign, fingerprints, since, others, least, common))
    return tuple(signatures)


def _common_settings(log: ExchangeLog, who: np.ndarray, tenants: int) -> tuple[tuple[str, int], ...]:
    """Return the values that are the usual ones of enough tenants to count as the group's."""
    common = []
    for name in SETTINGS:
        values, count = np.unique(_usual(log[name], who, tenants), return_counts=True)
        if len(count) and count.max() >= ONE_MODEL * tenants:
            common.append((name, int(values[count.argmax()])))
    return tuple(common)


def _usual(values: np.ndarray, who: np.ndarray, tenants: int) -> np.ndarray:
    """(tenants,) int64: the most frequent value of each. values, who: (exchanges,)."""
    (sender, value), count = np.unique(np.stack([who, values]), axis=1, return_counts=True)
    order = np.argsort(count, kind="stable")
    usual = np.zeros(tenants, np.int64)
    usual[sender[order]] = value[order]  # with several writes the last stays
    return usual


def _count_carried(index: Signature, own: np.ndarray, tenants: np.ndarray) -> np.ndarray:
    """(tenants,) number of the own fingerprints that each carries."""
    return index.entries(own, tenants.astype(np.int32), 0, NEVER)


@dataclass
class Newcomers:
    """The signatures known since the last full evaluation, and the accounts that have used them since."""

    signatures: tuple[KnownSignature, ...]
    named_at: dict[str, int] = field(default_factory=dict)  # account -> when it was first named here
    _users: list[set[int]] = field(init=False)  # per signature: codes of accounts
    _values: np.ndarray = field(init=False)
    _own: list[np.ndarray] = field(init=False)  # per signature: indices into the values

    def __post_init__(self) -> None:
        values = sorted(frozenset().union(*(signature.fingerprints for signature in self.signatures)))
        self._values = np.array(values, np.uint32)
        self._own = [
            np.searchsorted(self._values, sorted(signature.fingerprints)) for signature in self.signatures
        ]
        self._users = [set() for _ in self.signatures]

    def see(self, part: Columns) -> None:
        """Record which of the new exchanges use which signature."""
        if not self.signatures:
            return
        row, fingerprint = uses(_log_of(part), self._values)
        for own, users in zip(self._own, self._users, strict=True):
            is_own = np.zeros(len(self._values), bool)
            is_own[own] = True
            carried = np.bincount(row[is_own[fingerprint]], minlength=len(part["ts_us"])) >= NEEDED
            users.update(part["account"][carried].tolist())

    def recode(self, names: list[str], codes: dict[str, int]) -> None:
        """Update accounts to their new codes; `names` by the old codes. Accounts without one are dropped."""
        self._users = [
            {codes[names[code]] for code in users if names[code] in codes} for users in self._users
        ]

    def find_followers(
        self, kept: KeptLog, known: KnownAccounts, now_us: int, window_us: int = WINDOW_US
    ) -> tuple[Follower, ...]:
        """Return the followers by now, in order of account."""
        follower_of: dict[str, Follower] = {}
        names = list(kept.codes["account"].index) if any(self._users) else []
        for signature, own, users in zip(self.signatures, self._own, self._users, strict=True):
            candidates = {names[code] for code in users} - signature.others - known.permitted
            if not candidates:
                continue
            log, who, tenants = _log_of_accounts(kept, candidates, known.org, now_us)
            index, every = signature_of(log, who, len(tenants), self._values)
            rows = (int(np.searchsorted(log["ts_us"], now_us - window_us)), len(log))
            devoted = followers(own, index, every, who, rows, signature.since_us, now_us + 1)
            day = int(np.searchsorted(log["ts_us"], now_us - DAY_US))
            lately = np.bincount(who[day:], minlength=len(tenants))[devoted.tenant]
            enough = _count_carried(index, own, devoted.tenant) >= signature.least
            enough &= devoted.exchanges >= DEVOTED_SHARE * lately
            if signature.settings:
                enough &= np.any(
                    [_usual(log[n], who, len(tenants))[devoted.tenant] == v for n, v in signature.settings],
                    axis=0,
                )
            columns = (devoted.tenant[enough], devoted.exchanges[enough], devoted.first_row[enough])
            for tenant, exchanges, row in zip(*(column.tolist() for column in columns), strict=True):
                first = time_of(int(log["ts_us"][row]))
                for name in tenants[tenant]:
                    if name in candidates and name not in follower_of:
                        at = self.named_at.setdefault(name, now_us)
                        follower_of[name] = Follower(name, signature.campaign, time_of(at), first, exchanges)
        return tuple(follower_of[name] for name in sorted(follower_of))


def _log_of(columns: Columns) -> ExchangeLog:
    rest = {name: column for name, column in columns.items() if name not in PHRASES}
    return ExchangeLog(rest, columns["phrases"], columns["system_phrases"], (), (), frozenset(), 0)


def _log_of_accounts(
    kept: KeptLog, users: set[str], org: dict[str, str], now_us: int
) -> tuple[ExchangeLog, np.ndarray, list[list[str]]]:
    """Return all exchanges up to now of some accounts and of their tenants' other accounts.

    They come in time order, with the tenant of each, and each tenant's accounts.
    """
    index = kept.codes["account"].index
    orgs = {org[name] for name in users if name in org}
    tenants: dict[str, list[str]] = {}
    for name in sorted(users | {name for name, its_org in org.items() if its_org in orgs and name in index}):
        tenants.setdefault(f"o {org[name]}" if name in org else f"a {name}", []).append(name)
    tenant = np.full(len(index), -1, np.int32)
    for number, names in enumerate(tenants.values()):
        tenant[[index[name] for name in names]] = number
    parts = [kept.columns(COLUMNS)] if len(kept.log) else []
    rows_of_part = [kept.rows_of(np.flatnonzero(tenant >= 0).tolist())] if len(kept.log) else []
    for part in kept.parts:
        parts.append(part)
        rows_of_part.append(np.flatnonzero(tenant[part["account"]] >= 0))
    columns = {
        name: np.concatenate([part[name][rows] for part, rows in zip(parts, rows_of_part, strict=True)])
        for name in COLUMNS
    }
    order = np.lexsort((columns["id"], columns["ts_us"]))
    order = order[columns["ts_us"][order] <= now_us]
    columns = {name: column[order] for name, column in columns.items()}
    return _log_of(columns), tenant[columns["account"]], list(tenants.values())
