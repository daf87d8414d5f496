"""The parts of the detection that raise an alarm or name an account, each of which can be left out.

A scan without a part shows what the part is worth. A group needs a kind of shared wording to be found and a
setting to be tested: with no part of either kind no group raises an alarm. It imports none of the parts, so
that reading findings needs only their names.
"""

from collections.abc import Collection

from stillwatch.errors import InputError

# Ways to find a group: part -> kinds of fingerprint, as `actors.spread` names them.
SHARED = {
    "wording": ("wording",),
    "openings": ("opening",),
    "endings": ("ending",),
    "questions": ("question",),
    "system": ("system wording", "system text"),
}
# Tests of a group: part -> column of the log, as `scan.watch` names it.
TESTED = {"model": "model", "max_tokens": "max_tokens", "temperature": "temperature_milli"}
FOLLOW = "follow"  # a raised alarm's signature is followed to accounts that do little else
NEW_SETTINGS = "new_settings"  # groups by output limit and temperature, whatever their wording
FAILOVER = "failover"  # a lead or group whose refused work continues at its other accounts
LONE_HARVEST = "lone_harvest"  # one payer's volume and coverage
MANNERS = (  # the end of a finding's title, if none of its signals has a title
    "alike",
    "heavily, with none of the marks of honest heavy use",
    "handing on to each other what they are refused",
)
TEST_NAME = "coordinated_harvest"  # of shared wording and settings together
# signals that raise a group whose accounts may be tied by wording alone
GROUP_TESTS = frozenset({TEST_NAME, NEW_SETTINGS, FAILOVER, "holds"})
RAISING = GROUP_TESTS | {LONE_HARVEST}  # signals whose alarms make findings; the others explain them
PARTS = frozenset({*SHARED, *TESTED, FOLLOW, NEW_SETTINGS, FAILOVER, LONE_HARVEST})


def by_refusals_alone(signals: Collection[str]) -> bool:
    """Return whether refused work raised a finding, and neither wording nor settings did."""
    return not {FAILOVER, "holds"}.isdisjoint(signals) and {TEST_NAME, NEW_SETTINGS}.isdisjoint(signals)


def claim_of(signals: Collection[str]) -> str:
    """Return the finding's claim about its requests, by the signals that raised and explain it."""
    if by_refusals_alone(signals):
        return "what one of its accounts is refused goes on at others of them"
    return "the requests are alike, as one source of work makes them"


def check_parts(parts: frozenset[str]) -> frozenset[str]:
    """Return the parts, if all are known.

    Raises: InputError for an unknown name.
    """
    unknown = sorted(set(parts) - PARTS)
    if unknown:
        raise InputError(f"{unknown[0]!r} is no part of the detection: {', '.join(sorted(PARTS))}")
    return parts


def kinds_of(parts: frozenset[str]) -> frozenset[str]:
    """Return the kinds of fingerprint that are followed."""
    return frozenset(kind for part, kinds in SHARED.items() if part in parts for kind in kinds)


def columns_of(parts: frozenset[str]) -> frozenset[str]:
    """Return the columns of the log on which groups are tested."""
    return frozenset(column for part, column in TESTED.items() if part in parts)
