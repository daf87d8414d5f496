#!/usr/bin/env python3
"""A live replay of whole worlds with holds and reactions to them: what they find, and whom they harm.

    python benchmarks/holds_live.py ../shared/range/dev-c … [--seed 1] [--step-h 12] [--no-networks]

Every `--step-h` hours the live scan runs (`LiveScan`), its candidates go to the gateway's own `follow` with a
real state file and a policy whose holds are `on`, and the schedules that it starts refuse requests by
`HoldSchedule` and the policy's budgets until the next step. The next scan sees the log with these refusals
and the reactions of people and campaigns. No HTTP is involved: `tests/test_gateway_holds.py` adds it on a
small scene.

The rules of reaction were fixed before any result was seen; they are in docs/holds.md, and `ReactionRules`
has their numbers. As at a gateway, `asn` is not in the input: it is looked up in a table of networks, made
from the world's own addresses; with `--no-networks` it stays unknown. Truth is used to play the actors and to
score; the code under test sees only the log.
"""

import heapq
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.exchanges.networks import read_networks
from stillwatch.gateway.control.holds import follow, schedules_in
from stillwatch.gateway.control.state import ControlState
from stillwatch.range.defences.holds import HoldsInForce, permissions_of
from stillwatch.range.honest_background import IDENTITY
from stillwatch.range.reactions import SECOND_GO, HonestClients, ReactionRules
from stillwatch.scan import ScanResult, failover, holds
from stillwatch.scan.hold_candidates import candidates
from stillwatch.scan.holds import holds_evidence
from stillwatch.scan.live import Keep, LiveScan
from stillwatch.scan.pipeline import Options
from stillwatch.terms import Holds, Terms
from stillwatch.terms.holds import HoldSchedule
from stillwatch.units import DAY_US, HOUR_US

FAILED = (403, 408, 429, 500, 502, 503, 504, 529)


@dataclass
class Harm:
    refused: int = 0  # honest requests refused, without their SDK's retries
    with_retries: int = 0
    lost: int = 0  # honest requests never answered here, or given up
    accounts: set[str] = field(default_factory=set)
    scheduled: set[str] = field(default_factory=set)
    campaign_refused: int = 0


class Play:
    """One world being played."""

    def __init__(
        self, folder: Path, seed: int, terms: Terms, step_h: float, *, networks: bool = True
    ) -> None:
        self.name, self.terms, self.step_us = folder.name, terms, int(step_h * HOUR_US)
        self.rng = np.random.default_rng(seed)
        self.rules = ReactionRules()
        self.table = _captured(_record(pq.read_table(folder / "exchanges.parquet")), networks)
        self.known = pq.read_table(folder / "accounts.parquet")
        truth = pq.read_table(folder / "truth.parquet").to_pylist()
        self.campaign = {row["account"]: row["campaign"] for row in truth if row["campaign"]}
        self.kind = {row["account"]: row["kind"] for row in truth}
        self.members: dict[str, list[str]] = defaultdict(list)
        for account, campaign in sorted(self.campaign.items()):
            self.members[campaign].append(account)
        of_truth = pq.read_table(folder / "truth_exchanges.parquet").to_pylist()
        self.covert = {row["exchange_id"] for row in of_truth if row.get("campaign")}
        self.at_us = self.table["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        self.account = self.table["account"].to_pylist()
        self.status = self.table["status"].to_numpy()
        self.id = self.table["exchange_id"].to_pylist()
        self.identity = {account: k for k, account in enumerate(self.account)}
        self.minutes_until = {
            campaign: self.rng.random() < self.rules.campaigns_in_minutes for campaign in sorted(self.members)
        }
        honest = {account: kind for account, kind in self.kind.items() if account not in self.campaign}
        self.clients = HonestClients(honest, self.rng, self.rules)
        self.harm = Harm()
        self.in_force = HoldsInForce(terms.holds)
        self.told_until: dict[str, int] = {}
        self.queue: list[tuple[int, int, str, int, int]] = []  # time, tie, account, row, attempt
        self.ties = 0
        self.honest_requests = 0

    # --- one span of the log ---

    def put(self, at_us: int, account: str, row: int, attempt: int) -> None:
        self.ties += 1
        heapq.heappush(self.queue, (at_us, self.ties, account, row, attempt))

    def play(self, begin: int, end: int, until_us: int) -> pa.Table:
        """Play rows begin to end of the world, and due reactions; return the log's new rows."""
        for row in range(begin, end):
            self.put(int(self.at_us[row]), self.account[row], row, 0)
        rows: list[tuple[int, str, int, int]] = []  # time, account, template, status
        while self.queue and self.queue[0][0] < until_us:
            at_us, _, account, row, attempt = heapq.heappop(self.queue)
            honest = account not in self.campaign
            if attempt == 0 and self.clients.is_away(account, at_us):
                self.harm.lost += 1
                continue
            if attempt == 0 and honest:
                self.honest_requests += 1
            hold_us = self.in_force.refused_until_us(account, at_us)
            failed = hold_us is not None or (attempt == 0 and int(self.status[row]) in FAILED)
            status = 429 if hold_us is not None else int(self.status[row]) if attempt == 0 else 200
            rows.append((at_us, account, row, status))
            if hold_us is not None:
                if honest:
                    self.harm.with_retries += 1
                    self.harm.accounts.add(account)
                    self.harm.refused += attempt == 0
                else:
                    self.harm.campaign_refused += 1
            if failed:
                self._react(at_us, account, row, attempt, hold_us, honest)
        return self._written(rows)

    def _react(
        self, at_us: int, account: str, row: int, attempt: int, hold_us: int | None, honest: bool
    ) -> None:
        if honest:
            if hold_us is None:
                return  # honest failures in the original log are answered as its author wrote
            again = self.clients.again(at_us, account, attempt, hold_us)
            self.harm.lost += again is None
        else:
            again = self.clients.sdk_retry(at_us, account, attempt) if hold_us is not None else None
            if again is None and self.id[row] in self.covert:
                self._taken_over(at_us, account, row, attempt, hold_us)
        if again is not None:
            self.put(again.at_us, again.account, row, again.attempt)

    def _taken_over(self, at_us: int, account: str, row: int, attempt: int, hold_us: int | None) -> None:
        """Let another account of the campaign do the work; a single one waits until it may."""
        if hold_us is not None:
            self.told_until[account] = hold_us
        campaign = self.campaign[account]
        if self.minutes_until[campaign]:
            then_us = self.rules.moved_at_us(at_us, self.rng)
        else:
            then_us = at_us + int(self.rng.uniform(*self.rules.hours) * HOUR_US)
        others = [a for a in self.members[campaign] if a != account and a in self.identity]
        ready = [a for a in others if self.told_until.get(a, 0) <= then_us]
        if ready:
            self.put(then_us, ready[self.rng.integers(len(ready))], row, SECOND_GO)
        elif not others:
            self.put(max(then_us, hold_us or 0), account, row, SECOND_GO)

    def _written(self, rows: list[tuple[int, str, int, int]]) -> pa.Table:
        template = self.table.take(pa.array([row for _, _, row, _ in rows], pa.int64()))
        who = self.table.take(pa.array([self.identity[account] for _, account, _, _ in rows], pa.int64()))
        put = {name: who[name] for name in IDENTITY}
        put["time"] = pa.array([at for at, *_ in rows], pa.timestamp("us", "UTC"))
        put["status"] = pa.array([status for *_, status in rows], template["status"].type)
        ids = [f"{self.id[row]}@{at}" for at, _, row, _ in rows]
        put["exchange_id"] = pa.array(ids, template["exchange_id"].type)
        for name, column in put.items():
            template = template.set_column(template.schema.get_field_index(name), name, column)
        return template

    # --- the whole ---

    def run(self, folder: Path) -> dict[str, object]:
        begun = time.perf_counter()
        state = ControlState(folder / "state.db", bytes(range(32)))
        live = LiveScan(Options(threads=2), keep=Keep(), accounts=self.known)
        rows = self.known.to_pylist()
        orgs = {row["account"]: row["org"] for row in rows}
        terms = Terms(1, holds=self.terms.holds, permissions=permissions_of(self.known))
        first_us = int(self.at_us[0])
        covered: dict[str, set[str]] = defaultdict(set)
        begin, result = 0, None
        now_us = (first_us // HOUR_US) * HOUR_US + 4 * DAY_US
        while begin < len(self.at_us):
            end = int(np.searchsorted(self.at_us, now_us))
            live.add(self.play(begin, end, now_us))
            begin = end
            live.options = Options(threads=2, held=schedules_in(folder / "state.db"))
            result = live.tick(now_us, now_us)
            found = candidates(result)
            self._cover(covered, found, result)
            follow(state, terms, found, orgs, now_us=now_us, tell=lambda text: None)
            running = self.in_force.renew(schedules_in(folder / "state.db"), now_us)
            for schedule in running:
                self.harm.scheduled |= {a for a in schedule.accounts if a not in self.campaign}
            spent = time.perf_counter() - begun
            print(
                f"  {self.name} day {(now_us - first_us) / DAY_US:.1f}: {len(result.campaigns)} findings, "
                f"{len(result.leads)} leads, {len(found)} candidates, {len(running)} held, {spent:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            now_us += self.step_us
        assert result is not None
        told = self._scored(result, covered, live, schedules_in(folder / "state.db"))
        state.close()
        return told | {"seconds": round(time.perf_counter() - begun)}

    def _cover(self, covered: dict[str, set[str]], found: tuple, result: ScanResult) -> None:
        """Record campaigns with a candidate that is mostly theirs and has at least half of their accounts."""
        for one in found:
            inside = Counter(self.campaign[a] for a in one.accounts if a in self.campaign)
            for campaign, many in inside.items():
                if 2 * many >= len(one.accounts) and 2 * many >= len(self.members[campaign]):
                    covered[campaign].add(one.candidate.partition("-")[0])

    def _exposed(self, groups: list[tuple[str, ...]]) -> tuple[set[str], set[str], int]:
        """Return exposed campaigns, honest accounts named, and false cases."""
        named: dict[str, set[str]] = defaultdict(set)
        honest: set[str] = set()
        false = 0
        for accounts in groups:
            theirs = [a for a in accounts if a in self.campaign]
            honest |= {
                a for a in accounts if a not in self.campaign and self.kind[a] != "synthetic_permitted"
            }
            if 2 * len(theirs) < len(accounts):
                false += 1
                continue
            for account in theirs:
                named[self.campaign[account]].add(account)
        return {c for c, own in named.items() if 2 * len(own) >= len(self.members[c])}, honest, false

    def _scored(
        self,
        result: ScanResult,
        covered: dict[str, set[str]],
        live: LiveScan,
        held: tuple[HoldSchedule, ...],
    ) -> dict[str, object]:
        log = live._kept.merged()
        by_log, by_refusals, by_holds = [], [], []
        for one in result.campaigns:
            if one.suppressed_by is None:
                first = {holds.NAME: by_holds, failover.NAME: by_refusals}.get(
                    one.reasons[0].detector, by_log
                )
                first.append(one.accounts)
        honest = sum(a not in self.campaign for a in self.kind)
        row: dict[str, object] = {"world": self.name, "campaigns": len(self.members), "honest": honest}
        for name, groups in (
            ("log", by_log),
            ("refused work", by_log + by_refusals),
            ("holds", by_log + by_refusals + by_holds),
        ):
            exposed, named, false = self._exposed(groups)
            row[name] = {"exposed": sorted(exposed), "honest_named": len(named), "false_cases": false}
        missed = sorted(set(self.members) - set(self._exposed(by_log + by_refusals + by_holds)[0]))
        in_schedule = {
            c: max((sum(a in s.accounts for a in self.members[c]) for s in held), default=0) for c in missed
        }
        row["missed"] = {
            c: {"accounts": len(self.members[c]), "in one schedule": in_schedule[c],
                "moves": "minutes" if self.minutes_until[c] else "hours"}
            for c in missed
        }  # fmt: skip
        row["candidates"] = {c: sorted(covered[c]) for c in sorted(covered)}
        row["schedules of campaigns"] = [
            self._schedule_text(log, schedule)
            for schedule in held
            if 2 * sum(a in self.campaign for a in schedule.accounts) >= len(schedule.accounts)
        ]
        honest_only = [s for s in held if sum(a in self.campaign for a in s.accounts) * 2 < len(s.accounts)]
        row["schedules"] = {"all": len(held), "mostly honest": len(honest_only)}
        harm = asdict(self.harm)
        row["harm"] = {k: len(v) if isinstance(v, set) else v for k, v in harm.items()} | {
            "honest_requests": self.honest_requests
        }
        return row

    def _schedule_text(self, log: ExchangeLog, schedule: HoldSchedule) -> str:
        inside = Counter(self.campaign[a] for a in schedule.accounts if a in self.campaign)
        (campaign, many), *_ = inside.most_common(1)
        shown = holds_evidence(log, schedule, int(log["ts_us"][-1]))
        begun = (schedule.start_us - int(self.at_us[0])) / DAY_US
        sort = schedule.candidate.split("-")[0]
        return (
            f"{campaign}: {many} of {len(self.members[campaign])}, {len(schedule.accounts) - many} others, "
            f"{sort}, from day {begun:.1f}, {shown.blocks * schedule.block_us / DAY_US:.1f} days, "
            f"p {shown.p_value:.1g}, {len(shown.named_us)} named. {shown.text}"
        )


def _record(table: pa.Table) -> pa.Table:
    """Add all columns of the record to a world's exchanges: worlds lack answers."""
    for one in RECORD:
        if one.name not in table.column_names:
            table = table.append_column(one, pa.nulls(len(table), one.type))
    return table.combine_chunks()


def _captured(table: pa.Table, networks: bool) -> pa.Table:
    """Remove a world's `asn`, and look it up as a gateway with a table of networks does."""
    place, field = table.schema.get_field_index("asn"), RECORD.field("asn")
    blank = table.set_column(place, field, pa.nulls(len(table), field.type))
    if not networks:
        return blank
    known = table.select(["client_ip", "asn"]).group_by(["client_ip", "asn"]).aggregate([]).to_pylist()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.writelines(f"{one['client_ip']}\t{one['client_ip']}\t{one['asn']}\n" for one in known)
        file.flush()
        filled = read_networks([file.name]).fill(blank.combine_chunks().to_batches()[0])
    return pa.Table.from_batches([filled])


def line(row: dict) -> str:
    """Format one world as a row of the table."""
    harm = row["harm"]
    cells = [row["world"]]
    for name in ("log", "refused work", "holds"):
        one = row[name]
        cells.append(
            f"{len(one['exposed'])} of {row['campaigns']} ({one['false_cases']}, {one['honest_named']})"
        )
    cells.append(f"{len(row['candidates'])} of {row['campaigns']}")
    cells.append(f"{row['schedules']['all']} ({row['schedules']['mostly honest']})")
    cells.append(f"{harm['refused'] / harm['honest_requests']:.3%}")
    cells.append(f"{harm['lost'] / harm['honest_requests']:.3%}")
    cells.append(f"{harm['accounts']:,} of {row['honest']:,} ({harm['accounts'] / row['honest']:.1%})")
    return f"| {' | '.join(cells)} |"


HEADS = (
    "| world | by what is said and set (false cases, honest named) | and by refused work | and by holds "
    "| campaigns with a candidate | schedules (mostly honest) | honest requests refused | lost "
    "| honest accounts ever refused |"
)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("worlds", type=Path, nargs="+", help="folders of worlds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step-h", type=float, default=12.0)
    parser.add_argument(
        "--at-once", type=int, default=Holds.candidates_at_once, help="candidates_at_once of the terms"
    )
    parser.add_argument(
        "--no-networks", action="store_true", help="as at a gateway without a table of networks"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    terms = Terms(1, holds=Holds(mode="on", candidates_at_once=options.at_once))
    rows = []
    for folder in options.worlds:
        with tempfile.TemporaryDirectory() as place:
            play = Play(folder, options.seed, terms, options.step_h, networks=not options.no_networks)
            rows.append(play.run(Path(place)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join([HEADS, "|" + "---|" * 9, *map(line, rows)]))


if __name__ == "__main__":
    main()
