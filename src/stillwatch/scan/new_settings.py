"""Groups by settings: accounts that take up the same rare output limit and temperature within a few days.

This is a second way to form a group, besides shared wording: paraphrased requests share no wording, but one
program sends them all. Users of one product are left out, since its defaults explain their settings. The
settings that formed such a group are not used as evidence against it: only its content can make it a finding
(see `watch`).

Null: each account active in the window takes these settings up as rarely as all others so far did (binomial,
    times the settings that are as new). The p-value tells how unusual the group is, not that it is
    one operator: a new program looks the same.
Blind to: settings that vary from account to account or that many honest accounts use; a log without user
    agents; the log's first days.
Fooled by: a new program that no user agent names, if the group's content is of one source; a pool that copies
    settings which a bystander took up in the same days.
Source: docs/evidence.md, groups by new settings.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np

from stillwatch.actors.behaviour import EmergingRows, SettingCodes
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.actors.spread import BURN_IN_US
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import SettingTest
from stillwatch.stats.dealing import encode
from stillwatch.stats.groups import concentration_tail

NAME = "new_settings"
SETTINGS = "max_tokens, temperature_milli"  # name of the setting in a group's test
NOVELTY = 20  # newcomers per earlier user: about as many as earlier users came by themselves
LEAST_USES = 5  # exchanges of a tenant with the settings in the window
MAIN = 0.6  # of a tenant's exchanges in the window have the settings
INDEPENDENT = 1e-6  # within-group correlation of a null in which tenants choose independently

Settings = tuple[int, int]  # output limit and temperature in thousandths; -1 if left out


@dataclass(frozen=True)
class SettingsGroup:
    """Tenants whose main settings are the same, new and rare."""

    settings: Settings
    newcomers: frozenset[int]  # took them up in the window
    users: frozenset[int]  # newcomers, and earlier users
    active: int  # tenants in the window
    share: float  # of all other tenants so far, those that used them before
    tries: int  # settings that were as new in the window

    def test(self, count: int) -> SettingTest:
        """Return the inputs of the p-value of `count` of the newcomers."""
        limit, thousandths = self.settings
        value = f"{limit if limit >= 0 else 'none'}, {thousandths / 1000 if thousandths >= 0 else 'none'}"
        return SettingTest(SETTINGS, value, count, self.active, self.share, self.tries, INDEPENDENT)


class NewSettings:
    """When each tenant of a log first used each pair of output limit and temperature."""

    def __init__(
        self,
        log: ExchangeLog,
        tenant: np.ndarray,
        all_rows: EmergingRows,
        settings: SettingCodes,
        values: tuple[np.ndarray, ...],
    ) -> None:
        """tenant: (exchanges,) tenant of each; all_rows: all exchanges by tenant; settings, values: as
        `settings_of` returns them for model, output limit and temperature."""
        self._ts, self._tenant, self._every = log["ts_us"], tenant, all_rows
        (_, limits, temperatures), (_, limit, temperature) = values, settings.values
        # the pair of each combination with a model
        pairs, self._pair_of = encode(limit.astype(np.int64) * len(temperatures) + temperature)
        at = np.divmod(pairs, max(len(temperatures), 1))
        self._pairs = np.stack([limits[at[0]], temperatures[at[1]]], axis=1).astype(np.int64)
        self._settings = settings
        chosen = (self._pairs[:, 0] >= 0) | (self._pairs[:, 1] >= 0)
        value_of = np.where(chosen & bool(log.agents), np.arange(len(chosen)), -1)[self._pair_of]
        first = first_uses(all_rows, settings.code, value_of)
        self._entry_us, self._entry_tenant = self._ts[first], tenant[first]
        self._entry_code = self._code(first)
        begin = all_rows.begin[:-1]
        self._seen_us = self._ts[np.sort(all_rows.row[begin[begin < all_rows.begin[1:]]])]
        self._settled_us = int(self._ts[0]) + BURN_IN_US if len(log) else 0

    def _code(self, rows: np.ndarray) -> np.ndarray:
        """(n,) int32 pair of each of some exchanges."""
        codes: np.ndarray = self._pair_of[self._settings.code[rows]]
        return codes

    @property
    def entries_us(self) -> np.ndarray:
        """(entries,) when a tenant took up possibly new settings, in time order."""
        entered_us: np.ndarray = self._entry_us[self._entry_us >= self._settled_us]
        return entered_us

    def groups(self, since_us: int, until_us: int) -> list[SettingsGroup]:
        """The groups of the window [since, until), the least settings first."""
        since_new = max(since_us, self._settled_us)
        lo, hi = np.searchsorted(self._entry_us, [since_new, until_us])
        newly = np.bincount(self._entry_code[lo:hi], minlength=len(self._pairs))
        earlier = np.bincount(self._entry_code[:lo], minlength=len(self._pairs))
        rare = np.flatnonzero((newly >= LEAST_TENANTS) & (newly >= NOVELTY * earlier)).tolist()
        window = slice(*np.searchsorted(self._ts, [since_us, until_us]))
        active = int(np.count_nonzero(np.bincount(self._tenant[window]))) if rare else 0
        seen = int(np.searchsorted(self._seen_us, until_us))
        settings_groups = []
        for code in rare:
            used, entered_now = self._entry_tenant[:hi], np.arange(hi) >= lo
            of_code = self._entry_code[:hi] == code
            mainly = {p for p in used[of_code].tolist() if len(self.main_rows(p, code, since_us, until_us))}
            newcomers = mainly.intersection(used[of_code & entered_now].tolist())
            if len(newcomers) < LEAST_TENANTS:
                continue
            limit, temperature = self._pairs[code].tolist()
            share = round((int(earlier[code]) + 0.5) / (seen - len(newcomers) + 1), 6)
            settings_groups.append(
                SettingsGroup(
                    (limit, temperature), frozenset(newcomers), frozenset(mainly), active, share, len(rare)
                )
            )
        return settings_groups

    def rows(self, group: SettingsGroup, since_us: int, until_us: int) -> np.ndarray:
        """(n,) a window's exchanges of its users with the group's settings, in time order."""
        code = int(np.flatnonzero((self._pairs == group.settings).all(1))[0])
        parts = [self.main_rows(p, code, since_us, until_us) for p in sorted(group.users)]
        return np.sort(np.concatenate(parts))

    def main_rows(self, tenant: int, code: int, since_us: int, until_us: int) -> np.ndarray:
        """Return a tenant's exchanges of a window with some settings; none if these are not its main ones."""
        begin, end = self._every.begin[tenant], self._every.begin[tenant + 1]
        window = np.searchsorted(self._ts, [since_us, until_us]).astype(np.int32)
        lo, hi = np.searchsorted(self._every.row[begin:end], window)
        rows = self._every.row[begin + lo : begin + hi]
        main: np.ndarray = rows[self._code(rows) == code]
        return main if len(main) >= max(LEAST_USES, MAIN * len(rows)) else main[:0]


def first_uses(rows: EmergingRows, code: np.ndarray, value_of: np.ndarray) -> np.ndarray:
    """(n,) int32 the exchanges in which a tenant used a value for the first time, in order.

    code: (exchanges,) int32; value_of: for each code its value from 0, or -1 if it does not count.
    """
    values = int(value_of.max(initial=-1)) + 1
    first = np.empty(min(len(rows.row), values * (len(rows.begin) - 1)), np.int32)
    n = kernels.first_uses(
        *(rows.begin, len(rows.begin) - 1, rows.row, code, value_of.astype(np.int32)),
        *(np.full(values, -1, np.int64), first),
    )
    return np.sort(first[:n])


def p_value(test: SettingTest) -> float:
    """Return the p-value of a group's settings."""
    return min(1.0, test.tries * concentration_tail(test.count, test.of, test.share, test.correlation))
