"""Groups on which holds could give more evidence: leads, findings, and groups too weak to be either.

A weak group accuses nobody and is shown to nobody as a suspect: it only marks where an experiment is worth
its harm. The evidence that formed it is never used to convict it, since holds are a new experiment.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan.failover import refusal_groups
from stillwatch.scan.hold_candidates import FOUND
from stillwatch.scan.holds import HoldsEvidence
from stillwatch.terms.holds import HoldCandidate, HoldSchedule
from stillwatch.units import DAY_US

LEAST_CUSTOMERS = {"refusals": 2, "wording": 3}  # of a candidate; a group found by refusals can grow
# Order of holds: work taken over points to one queue, equal settings may also come from one program, and a
# finding needs no further evidence (`hold_candidates`).
RANK = {"refusals": 0, "wording": 2}
MOST_WORDING = 3  # groups by wording held at once: most of them are users of one program
SHARE_DAYS = 2  # at the log's end, over which a candidate's share of the requests is measured
FUTILE_TEXTS = 4  # refused: a schedule ends if no bet on this many ever gained
FUTILE_P_VALUE = 0.5
# refused, for each account of a schedule: then it ends when its first days are over. An account that asks
# eight texts a day reaches that in its first days
MOST_TEXTS_EACH = 3


def still_open(schedules: Iterable[tuple[HoldSchedule, HoldsEvidence]]) -> tuple[HoldCandidate, ...]:
    """Return the groups that are held now as candidates, except those whose refused texts do not move.

    A weak group thus stays held when the wording that formed it is no longer new.
    """
    return tuple(
        HoldCandidate(
            schedule.candidate,
            1.0,
            schedule.accounts,
            rank=FOUND,
            moved_p=evidence.p_value,
            undecided=_undecided(schedule, evidence),
        )
        for schedule, evidence in schedules
        if schedule.ended_us is None
        and not (evidence.refused >= FUTILE_TEXTS and evidence.moved_p > FUTILE_P_VALUE)
    )


def _undecided(schedule: HoldSchedule, evidence: HoldsEvidence) -> bool:
    """Return whether more days are worth their harm: not found, few texts refused or a gain, little harm.

    A move between two customers alone does not count as a gain here: it would never make a finding.
    """
    open_still = evidence.refused < FUTILE_TEXTS or evidence.p_value <= FUTILE_P_VALUE
    cheap = evidence.refused < MOST_TEXTS_EACH * len(schedule.accounts)
    return evidence.found_us is None and open_still and cheap


def weak_groups(
    log: ExchangeLog,
    payer: np.ndarray,
    communities: Iterable[tuple[float, np.ndarray]],
    left_out: Iterable[int],
    held: Iterable[HoldSchedule] = (),
) -> tuple[HoldCandidate, ...]:
    """Return groups that nothing else has raised: by refusals that others took over, and by shared wording.

    payer: (accounts,) the payer of each; communities: p-value of its settings and account codes of each group
    by new wording at the last hour; left_out: codes that must not be in one; held: all schedules so far.
    """
    without = set(left_out)
    running = sum(group.ended_us is None and group.candidate.startswith("wording-") for group in held)
    places = {"refusals": len(log.accounts), "wording": MOST_WORDING - running}
    groups = [("refusals", p_value, codes) for p_value, codes in refusal_groups(log, payer)] + [
        ("wording", p_value, codes) for p_value, codes in communities
    ]
    chosen: list[HoldCandidate] = []
    for sort, p_value, codes in sorted(
        groups, key=lambda group: (RANK[group[0]], group[1], group[2].tolist())
    ):
        codes_left = [int(code) for code in codes if int(code) not in without]
        if len({int(payer[code]) for code in codes_left}) < LEAST_CUSTOMERS[sort] or len(
            codes_left
        ) < 0.5 * len(codes):
            continue
        without.update(codes_left)
        if places[sort] <= 0:
            continue
        places[sort] -= 1
        names = tuple(sorted(log.accounts[code] for code in codes_left))
        chosen.append(HoldCandidate(_id(sort, names), p_value, names, rank=RANK[sort]))
    return tuple(chosen)


def with_shares(log: ExchangeLog, groups: Iterable[HoldCandidate]) -> tuple[HoldCandidate, ...]:
    """Return candidates with their share of the log's latest requests, which is the cost of holding them."""
    groups = tuple(groups)
    shares = request_shares(log, [group.accounts for group in groups])
    return tuple(replace(group, share=share) for group, share in zip(groups, shares, strict=True))


def request_shares(log: ExchangeLog, groups: Sequence[Iterable[str]]) -> list[float]:
    """Return the share that each group of accounts has of the log's requests in its last `SHARE_DAYS`.

    Only requests that a hold could have refused count: served ones with a prompt. Listings and refusals cost
    their sender nothing. A pool could use them to make itself too costly to hold, or others cheap.
    """
    if len(log) == 0:
        return [0.0] * len(groups)
    begin = np.searchsorted(log["ts_us"], int(log["ts_us"][-1]) - SHARE_DAYS * DAY_US)
    status, text = log["status"][begin:], log["exact"][begin:]
    is_counted = ((status < 400) | (status >= 500)) & ((text != 0) | ~text.any())
    counts = np.bincount(log["account"][begin:][is_counted], minlength=len(log.accounts))
    count_of: Mapping[str, int] = dict(zip(log.accounts, counts.tolist(), strict=True))
    total = max(1, int(is_counted.sum()))
    return [sum(count_of.get(account, 0) for account in accounts) / total for accounts in groups]


def _id(sort: str, names: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=5, person=b"stillwatch.group")
    for name in names:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    return f"{sort}-{digest.hexdigest()}"
