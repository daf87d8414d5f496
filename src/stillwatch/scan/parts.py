"""The parts of the detection that raise an alarm or name an account, each of which can be left out.

To see what a part is worth, a scan is made without it. A group needs a kind of shared wording to be found by
and a setting to be tested on: with no part of either kind no group raises an alarm. It does not know what the
parts do, and imports none: who only reads findings needs the names alone.
"""

from collections.abc import Collection

from stillwatch.errors import InputError

# What a group is found by: part -> kinds of fingerprint, as `actors.spread` names them.
SHARED = {
    "wording": ("wording",),
    "openings": ("opening",),
    "endings": ("ending",),
    "questions": ("question",),
    "system": ("system wording", "system text"),
}
# What a group is tested on: part -> column of the log, as `scan.watch` names it.
TESTED = {"model": "model", "max_tokens": "max_tokens", "temperature": "temperature_milli"}
FOLLOW = "follow"  # a raised alarm's signature is followed to accounts that do little else
NEW_SETTINGS = "new_settings"  # groups by output limit and temperature, whatever they say
FAILOVER = "failover"  # a lead or group whose refused work goes on at its other accounts
LONE_HARVEST = "lone_harvest"  # one payer's volume and coverage
MANNERS = (  # what a finding's title ends with, where none of its signals has a title
    "alike",
    "heavily, with none of the marks of honest heavy use",
    "handing on to each other what they are refused",
)
TEST_NAME = "coordinated_harvest"  # of shared wording and settings together
# which signals raise a group whose accounts may be tied by wording alone
GROUP_TESTS = frozenset({TEST_NAME, NEW_SETTINGS, FAILOVER, "holds"})
RAISING = GROUP_TESTS | {LONE_HARVEST}  # whose alarms make findings; the others explain
PARTS = frozenset({*SHARED, *TESTED, FOLLOW, NEW_SETTINGS, FAILOVER, LONE_HARVEST})


def by_refusals_alone(signals: Collection[str]) -> bool:
    """Return whether refused work raised a finding, and neither wording nor settings did."""
    return not {FAILOVER, "holds"}.isdisjoint(signals) and {TEST_NAME, NEW_SETTINGS}.isdisjoint(signals)


def claim_of(signals: Collection[str]) -> str:
    """Return what a finding claims of its requests, by the signals that raised and explain it."""
    if by_refusals_alone(signals):
        return "what one of its accounts is refused goes on at others of them"
    return "the requests are alike, as one source of work makes them"


def check_parts(parts: frozenset[str]) -> frozenset[str]:
    """The parts, where all are known.

    Raises: InputError for a name that is no part.
    """
    unknown = sorted(set(parts) - PARTS)
    if unknown:
        raise InputError(f"{unknown[0]!r} is no part of the detection: {', '.join(sorted(PARTS))}")
    return parts


def kinds_of(parts: frozenset[str]) -> frozenset[str]:
    """The kinds of fingerprint that are followed."""
    return frozenset(kind for part, kinds in SHARED.items() if part in parts for kind in kinds)


def columns_of(parts: frozenset[str]) -> frozenset[str]:
    """The columns of the log that groups are tested on."""
    return frozenset(column for part, column in TESTED.items() if part in parts)
