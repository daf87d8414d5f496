"""The state that one evaluation hands to the next: accounts, values and fingerprints by name, never by code.

A log's codes change when it grows or forgets. Saved state survives that, and a restart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import SettingTest
from stillwatch.scan.alarms import NAMED_AFTER, NEVER, PERSISTENT, Alarm, Alarms, Judgement

Value = str | int  # of a setting: a model's name, or a number
Choice = tuple[int, int, float]  # how many members had a value, of how many, and its share of the population


@dataclass(frozen=True)
class SavedAlarm:
    """An alarm after an evaluation; see `alarms.Alarm`."""

    at_us: int
    p_value: float
    p_least: float
    named: dict[str, int]
    dominant: tuple[Value, ...]
    share: tuple[float, ...]
    p_settings: tuple[tuple[str, float], ...]
    markers: dict[int, int]  # fingerprints, under the name used in saved states
    looks: dict[str, int]
    looked_at_us: tuple[int, ...]
    devoted: tuple[str, ...]
    tested: tuple[SettingTest, ...] = ()  # missing in older states
    lead_us: int = NEVER
    judgement: Judgement | None = None  # with tenants by name in `part` and `aside`
    part: tuple[str, ...] | None = None
    exchanges: int = 0
    first_account: str = ""
    settings: tuple[int, int] | None = None
    aside: dict[str, str] = field(default_factory=dict)  # of its judgement, by name; missing in older states


@dataclass(frozen=True)
class CarriedScan:
    """The state after an evaluation, without the exchanges."""

    until_us: int = 0  # the hour up to which the log was evaluated
    base: tuple[tuple[tuple[Value, float], ...], ...] = ()  # per setting: shares of the population
    tested: tuple[bool, ...] = ()
    correlation: tuple[float, ...] = ()
    base_due_us: int = 0
    active_per_day: float = 0.0
    tests: int = 0
    quiet: tuple[tuple[tuple[Choice, ...], ...], ...] = ()
    alarms: tuple[SavedAlarm, ...] = ()
    owner: dict[str, int] = field(default_factory=dict)  # account -> number of its alarm
    tied: tuple[SavedAlarm, ...] = ()  # groups tied by what the provider knows; missing in older states
    tied_owner: dict[str, int] = field(default_factory=dict)
    alike: tuple[SavedAlarm, ...] = ()  # groups by new settings; missing in older states
    alike_owner: dict[str, int] = field(default_factory=dict)
    sourced: tuple[SavedAlarm, ...] = ()  # groups whose content is of one source; missing in older states
    sourced_owner: dict[str, int] = field(default_factory=dict)


EVALUATIONS = (PERSISTENT, NAMED_AFTER)


class Names:
    """Translates between one log's codes and names. A tenant has its account's name.

    Names that the log lacks get codes that match nothing: tenants past the last, negative fingerprints,
    values of -1.
    """

    def __init__(
        self,
        log: ExchangeLog,
        tenant: np.ndarray,
        fingerprint_value: np.ndarray,
        settings: Iterable[str],
        codes: Iterable[np.ndarray],
    ) -> None:
        """tenant: (accounts,); codes: per setting, code -> value in the log."""
        self._accounts = list(log.accounts)
        self._tenant = tenant.tolist()
        self._code = {name: k for k, name in enumerate(self._accounts)}
        self._fingerprint_value = fingerprint_value
        self._gone: list[int] = []  # fingerprints that the log does not hold
        self._values: list[list[Value]] = [
            [log.models[v] if name == "model" else int(v) for v in values.tolist()]
            for name, values in zip(settings, codes, strict=True)
        ]
        self._value_code = [{value: k for k, value in enumerate(values)} for values in self._values]

    @cached_property
    def _fingerprint(self) -> dict[int, int]:
        """Index of each fingerprint. Built only if alarms are carried over: there may be millions."""
        return {value: k for k, value in enumerate(self._fingerprint_value.tolist())}

    def tenant(self, name: str) -> int:
        code = self._code.get(name)
        if code is None:
            code = self._code[name] = len(self._accounts)
            self._accounts.append(name)
            self._tenant.append(code)
        return int(self._tenant[code])

    def tenant_name(self, tenant: int) -> str:
        return self._accounts[tenant]

    def fingerprint(self, value: int) -> int:
        number = self._fingerprint.get(value)
        if number is None:
            self._gone.append(value)
            number = self._fingerprint[value] = -len(self._gone)
        return number

    def fingerprint_value(self, number: int) -> int:
        return int(self._fingerprint_value[number] if number >= 0 else self._gone[-number - 1])

    def code(self, setting: int, value: Value) -> int:
        return self._value_code[setting].get(value, -1)

    def value(self, setting: int, code: int) -> Value:
        return self._values[setting][code] if code >= 0 else ""

    # --- alarms -----------------------------------------------------------------------------------------

    def saved(self, alarms: Alarms) -> tuple[tuple[SavedAlarm, ...], dict[str, int]]:
        """Return alarms by name, and the alarm of each account."""
        stored = tuple(
            SavedAlarm(
                alarm.at_us,
                alarm.p_value,
                alarm.p_least,
                {self.tenant_name(p): at for p, at in alarm.named.items()},
                tuple(self.value(s, code) for s, code in enumerate(alarm.dominant)),
                alarm.share,
                alarm.p_settings,
                {self.fingerprint_value(m): count for m, count in alarm.fingerprints.items()},
                {self.tenant_name(p): count for p, count in alarm.evaluations.items()},
                tuple(alarm.evaluated_at_us),
                tuple(sorted(self.tenant_name(p) for p in alarm.devoted)),
                alarm.tested,
                alarm.lead_us,
                None if alarm.judgement is None else replace(alarm.judgement, part=None, aside={}),
                self._part(alarm.judgement),
                alarm.exchanges,
                alarm.first_account,
                alarm.settings,
                {
                    self.tenant_name(p): why
                    for p, why in (sorted(alarm.judgement.aside.items()) if alarm.judgement else ())
                },
            )
            for alarm in alarms.every
        )
        return stored, {self.tenant_name(p): number for p, number in alarms.owner.items()}

    def _part(self, judgement: Judgement | None) -> tuple[str, ...] | None:
        """Return the part of a group to which a judgement applies, by name."""
        if judgement is None or judgement.part is None:
            return None
        return tuple(sorted(map(self.tenant_name, judgement.part)))

    def _judgement(self, saved: SavedAlarm) -> Judgement | None:
        """Return a judgement with its tenants as codes of this log."""
        if saved.judgement is None:
            return None
        part = None if saved.part is None else frozenset(map(self.tenant, saved.part))
        aside = {self.tenant(name): product for name, product in saved.aside.items()}
        return replace(saved.judgement, part=part, aside=aside)

    def alarms(
        self,
        alarms: Iterable[SavedAlarm],
        owner: Mapping[str, int],
        evaluations: tuple[int, int] = EVALUATIONS,
    ) -> Alarms:
        """Return alarms with this log's codes. evaluations: how many raise one, how many name an account."""
        return Alarms(
            [
                Alarm(
                    saved.at_us,
                    saved.p_value,
                    {self.tenant(name): at for name, at in saved.named.items()},
                    saved.p_least,
                    tuple(self.code(s, value) for s, value in enumerate(saved.dominant)),
                    saved.share,
                    saved.p_settings,
                    Counter({self.fingerprint(value): count for value, count in saved.markers.items()}),
                    Counter({self.tenant(name): count for name, count in saved.looks.items()}),
                    list(saved.looked_at_us),
                    {self.tenant(name) for name in saved.devoted},
                    saved.tested,
                    saved.lead_us,
                    self._judgement(saved),
                    saved.exchanges,
                    saved.first_account,
                    saved.settings,
                )
                for saved in alarms
            ],
            {self.tenant(name): number for name, number in owner.items()},
            looks_before_alarm=evaluations[0],
            looks_before_naming=evaluations[1],
        )

    # --- the population's shares ------------------------------------------------------------------------

    def shares(self, base: list[np.ndarray]) -> tuple[tuple[tuple[Value, float], ...], ...]:
        return tuple(
            tuple((self._values[s][k], float(shares[k])) for k in np.flatnonzero(shares).tolist())
            for s, shares in enumerate(base)
        )

    def base(self, carried: CarriedScan) -> list[np.ndarray]:
        """(values,) for each setting, as `shares` returned it; a value new since then has no share yet."""
        bases = []
        for s, shares in enumerate(carried.base):
            shares_by_code = np.zeros(len(self._values[s]))
            for value, share in shares:
                if (code := self.code(s, value)) >= 0:
                    shares_by_code[code] = share
            bases.append(shares_by_code)
        return bases
