"""Which of the two rules, for groups and for lone payers, could be applied to a log.

"No campaign found" is reported only if the rule for groups could have found one.
"""

from collections.abc import Collection

import numpy as np

from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.detectors.lone_harvest import LEAST_PEERS, LEAST_SPAN_H, STEPS, WINDOW_US
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import Coverage, Lead, ScanResult
from stillwatch.scan.explanations import UNCHECKED
from stillwatch.scan.parts import TESTED
from stillwatch.stats.dealing import deal, distinct
from stillwatch.units import HOUR_US

SILENT_PART, SILENT_MOST = 0.01, 0.5  # share of exchanges without a text: mentioned; texts count as missing
MODEL, TEXTS, ACCOUNTS, TABLE = "model", "texts", "accounts", "accounts table"


def coverage(
    log: ExchangeLog,
    tenant: np.ndarray,
    payer: np.ndarray,
    untested: Collection[str],
    leads: Collection[Lead] = (),
    least_peers: int = LEAST_PEERS,
) -> Coverage:
    """Return which rules could run.

    tenant, payer: (accounts,) the tenant and the payer of each; untested: settings with only one value in the
    log; leads: the groups that are no finding; least_peers: the number of payers a lone payer is ranked
    among.
    """
    prompts = any(column.any() for column in (log["head"], log["tail"], log.phrases))
    system = bool(log["system"].any() or log.system_phrases.any())
    texts = bool(log["words"].any())  # of prompts
    silent = "the prompts are too short to share wording" if texts else "the log has no texts"
    lacks: list[str] = []
    groups: list[str] = []  # reasons why groups could not be judged
    partly: list[str] = []
    worded = (log["words"] > 0) | (log["system"] != 0)
    silent_rows, total = int((~worded).sum()), len(log)
    if not prompts and not system:
        groups.append(silent)
        lacks += [] if texts else [TEXTS]
    elif (known := len(distinct(tenant[log["account"][worded]]))) < LEAST_TENANTS <= len(np.unique(tenant)):
        groups.append(f"a group has at least {LEAST_TENANTS} accounts and the log has texts of {known:,}")
        lacks.append(TEXTS)
    elif silent_rows > SILENT_PART * total:
        partly.append(f"{silent_rows:,} of {total:,} exchanges have no text, and nothing ties them to others")
        lacks += [TEXTS] if silent_rows > SILENT_MOST * total else []
    named = "names no model" if MODEL not in log.has else "names one model" if MODEL in untested else ""
    if named:
        lacks.append(MODEL)
        if set(TESTED.values()) <= set(untested):
            groups.append(f"the log {named}, and no output limit or temperature that varies")
        else:
            partly.append(f"the log {named}, and output limit and temperature alone show few groups")
    if unchecked := sum(lead.text.startswith(UNCHECKED) for lead in leads):
        lacks.append(TABLE)
        are = "1 group acts" if unchecked == 1 else f"{unchecked:,} groups act"
        partly.append(f"{are} like one hand, but {UNCHECKED} (--accounts)")
    if (tenants := len(np.unique(tenant))) < LEAST_TENANTS:
        lacks.append(ACCOUNTS)
        groups.append(f"a group has at least {LEAST_TENANTS} accounts and the log has {tenants:,}")
    lone = [] if texts else ["the log has no prompts" if system else silent]
    span_h = (int(log["ts_us"][-1]) - int(log["ts_us"][0])) / HOUR_US
    if span_h < LEAST_SPAN_H:
        lone.append(f"a pace is judged over {LEAST_SPAN_H} hours or more, and the log spans {span_h:.1f}")
    if (payers := len(np.unique(payer))) <= least_peers:
        lone.append(
            f"a payer is ranked among at least {least_peers} others and the log has {payers:,} in all"
        )
    elif 0 < (heavy := _heavy(log, payer, least_peers + 1)) <= least_peers:
        lone.append(
            f"a heavy payer is ranked among at least {least_peers} other heavy ones and the log has "
            f"{heavy:,} in all"
        )
    why = (*(f"groups: {gap}" for gap in (*groups, *partly)), *(f"lone payers: {gap}" for gap in lone))
    return Coverage(not groups, not lone, tuple(lacks), why)


def could_not_judge(result: ScanResult) -> bool:
    """Return whether nothing was found and the log lacks what it takes to find a group: exit code 4."""
    return bool(result.judged.lacks) and not result.campaigns


def _heavy(log: ExchangeLog, payer: np.ndarray, most: int) -> int:
    """Count the payers that ever reach the first step of the rule for lone payers, up to `most`."""
    begin, order = deal(payer[log["account"]], len(payer))
    heavy = 0
    for code in np.flatnonzero(np.diff(begin) >= STEPS[0]):
        ts = log["ts_us"][order[begin[code] : begin[code + 1]]]
        within = np.arange(1, len(ts) + 1) - np.searchsorted(ts, ts - WINDOW_US)
        heavy += bool(within.max() >= STEPS[0])
        if heavy == most:
            break
    return heavy
