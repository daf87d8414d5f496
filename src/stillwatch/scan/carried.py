"""What an evaluation hands to the next, by name: accounts, values and fingerprints, never their codes.

A log's codes change when it grows or forgets. What is saved here outlives that, and a restart.
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
Choice = tuple[int, int, float]  # how many of how many members had a value, and its share of the population


@dataclass(frozen=True)
class SavedAlarm:
    """An alarm as an evaluation left it; see `alarms.Alarm`."""

    at_us: int
    p_value: float
    p_least: float
    named: dict[str, int]
    dominant: tuple[Value, ...]
    share: tuple[float, ...]
    p_settings: tuple[tuple[str, float], ...]
    markers: dict[int, int]  # fingerprints, by the name that saved states have
    looks: dict[str, int]
    looked_at_us: tuple[int, ...]
    devoted: tuple[str, ...]
    tested: tuple[SettingTest, ...] = ()  # states that were saved before it was kept have none
    lead_us: int = NEVER
    judgement: Judgement | None = None  # its tenants by name, in `part` and `aside`
    part: tuple[str, ...] | None = None
    exchanges: int = 0
    first_account: str = ""
    settings: tuple[int, int] | None = None
    aside: dict[str, str] = field(default_factory=dict)  # of its judgement, by name; states before have none


@dataclass(frozen=True)
class CarriedScan:
    """Everything that an evaluation takes over from the ones before it, but the exchanges themselves."""

    until_us: int = 0  # the hour up to which was evaluated
    base: tuple[tuple[tuple[Value, float], ...], ...] = ()  # per setting: shares of the population
    tested: tuple[bool, ...] = ()
    correlation: tuple[float, ...] = ()
    base_due_us: int = 0
    active_per_day: float = 0.0
    tests: int = 0
    quiet: tuple[tuple[tuple[Choice, ...], ...], ...] = ()
    alarms: tuple[SavedAlarm, ...] = ()
    owner: dict[str, int] = field(default_factory=dict)  # account -> number of its alarm
    tied: tuple[SavedAlarm, ...] = ()  # groups that the provider's knowledge ties; states before have none
    tied_owner: dict[str, int] = field(default_factory=dict)
    alike: tuple[SavedAlarm, ...] = ()  # groups by new settings; states before have none
    alike_owner: dict[str, int] = field(default_factory=dict)
    sourced: tuple[SavedAlarm, ...] = ()  # groups whose content is of one source; states before have none
    sourced_owner: dict[str, int] = field(default_factory=dict)


EVALUATIONS = (PERSISTENT, NAMED_AFTER)


class Names:
    """What codes stand for in one log. A tenant goes by its account's name.

    Names that the log does not know (any more) get codes that point at nothing: tenants past the last,
    fingerprints below nought, values of -1.
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
        """Each fingerprint's number. A log of millions holds millions: made only where alarms are carried."""
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
        """Alarms by name, and which of them each account belongs to."""
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
        """The part of a group that a judgement is of, by name."""
        if judgement is None or judgement.part is None:
            return None
        return tuple(sorted(map(self.tenant_name, judgement.part)))

    def _judgement(self, saved: SavedAlarm) -> Judgement | None:
        """A judgement with its tenants by the codes of this log."""
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
        """Alarms by the codes of this log. evaluations: how many raise one, and how many name an account."""
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
        """As `shares` gave it, (values,) for each setting; a value that has come since has no share yet."""
        bases = []
        for s, shares in enumerate(carried.base):
            shares_by_code = np.zeros(len(self._values[s]))
            for value, share in shares:
                if (code := self.code(s, value)) >= 0:
                    shares_by_code[code] = share
            bases.append(shares_by_code)
        return bases
