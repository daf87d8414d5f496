"""Turns the detector's findings into enforcement statuses, under the policy, inside the supervisor.

It sees the detector only through its files: a dead detector changes nothing here. Each part may fail on its
own; it is retried at the next step, and `errors` has its present problem.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from stillwatch.errors import StillwatchError
from stillwatch.gateway import clock
from stillwatch.gateway.control import actions, holds, ladder, proposals
from stillwatch.gateway.control.case_sync import CaseworkDecisions
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.latest import Findings, FindingsNotice
from stillwatch.gateway.part_thread import PartThread
from stillwatch.scan.hold_candidates import candidates
from stillwatch.terms import Terms
from stillwatch.terms.reload import WatchedTerms

PERIOD_S = 0.5
LOOK_AGAIN_US = 10_000_000  # a rung may require an age, so time alone can make it apply
MOST_OPEN = 10_000


@dataclass(frozen=True)
class LadderInput:
    """The input of the last climb; the same input needs no second climb."""

    findings: tuple[int, ...]
    revision: int
    terms: int
    said: CaseworkDecisions
    at_us: int


class Enforcer(PartThread):
    """The only part that applies the ladder to a folder."""

    name = "enforcer"

    def __init__(
        self,
        folder: Folder,
        state: ControlState,
        watched: WatchedTerms,
        tell: Callable[[str], None],
        people: Callable[[], CaseworkDecisions] = CaseworkDecisions,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__()
        self.folder, self.state, self.watched, self.tell = folder, state, watched, tell
        self._people = people  # their decisions in cases
        self._leads = leads  # in a fleet one gateway does it for all
        self.errors: dict[str, str] = {}
        self.stepped_us = 0
        self._findings = Findings(folder)
        self._handed = FindingsNotice()
        self._looked: LadderInput | None = None
        self._held: tuple[tuple[int, ...], Terms | None, int] = ((), None, 0)  # input of the last check
        self._told = False
        self._ended_us: int | None = None  # when it last ended statuses; None: not since it leads

    def step(self, now_us: int) -> None:
        """Do what is due now."""
        with self._part("terms"):
            self._follow_terms(now_us)
        self.stepped_us = now_us
        for name, act in (
            ("ends", self._end_what_is_over),
            ("findings", self._read_findings),
            ("ladder", self._climb),
            ("steps", self._take_steps),
            ("holds", self._hold),
        ):
            if not self._leads():  # checked before each: another may lead if this process stood still
                self.errors = {name: why for name, why in self.errors.items() if name == "terms"}
                self._ended_us = None
                return
            with self._part(name):
                act(now_us)

    def says(self) -> dict[str, Any]:
        """Return its part of the supervisor's heartbeat."""
        return {"enforcer": {"at": self.stepped_us, "errors": dict(self.errors)}}

    # --- its thread ---

    def _run(self) -> None:
        while not self._stop.wait(clock.pause_s(PERIOD_S)):
            try:
                self.step(clock.now_us())
            except Exception as why:  # noqa: BLE001 - the edge of a thread: it must not end in silence
                self._note("enforcer", f"{type(why).__name__}: {why}")

    # --- its parts ---

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Let one part fail without the others."""
        try:
            yield
        except (StillwatchError, OSError) as why:
            self._note(name, str(why))
        else:
            self.errors.pop(name, None)

    def _note(self, name: str, why: str) -> None:
        if self.errors.get(name) != why:
            self.tell(f"{name}: {why}")
        self.errors[name] = why

    def _follow_terms(self, now_us: int) -> None:
        self._told = self._told and self.watched.poll() is None
        if not self._told:
            version, digest = self.watched.terms.version, self.watched.sha256
            self.state.event("stillwatch", "terms in force", str(version), {"sha256": digest}, now_us=now_us)
            self._told = True
        if self.watched.error:
            raise StillwatchError(self.watched.error)

    def _end_what_is_over(self, now_us: int) -> None:
        if self._ended_us is None or now_us < self._ended_us:  # a clock was ahead, here or at another leader
            actions.resume_what_is_not_over(self.state, now_us=now_us)
        self._ended_us = now_us
        actions.end_what_is_over(self.state, now_us=now_us)

    def _read_findings(self, _: int) -> None:
        self._handed = self._findings.current()

    def _climb(self, now_us: int) -> None:
        campaigns = self._handed.campaigns()
        if self._handed.result is None:
            return
        terms = self.watched.terms
        last, revision, decisions = self._looked, self.state.revision(), self._people()
        if (
            last is not None
            and (last.findings, last.revision, last.terms) == (self._handed.sign, revision, id(terms))
            and last.said is decisions
            and 0 <= now_us - last.at_us < LOOK_AGAIN_US
        ):
            return
        named = {account for campaign in campaigns for account in campaign.accounts}
        orgs = {account: org for account, org, _ in self.state.accounts() if account in named}
        wanted = ladder.climb(
            campaigns,
            terms.ladder,
            standings=actions.standings(self.state, sorted(named)),
            decided=proposals.overruled_by_people(self.state),
            permitted=ladder.permitted_accounts(terms.permissions, orgs, now_us),
            secret=self.state.secret,
            now_us=now_us,
            detectors=decisions.detectors,
            spared=decisions.spared,
        )
        before = proposals.proposals(self.state, "open", limit=MOST_OPEN)
        changes = ladder.reconcile(before, wanted, now_us=now_us)
        proposals.write_down(self.state, changes, now_us=now_us)
        self._looked = LadderInput(self._handed.sign, self.state.revision(), id(terms), decisions, now_us)

    def _hold(self, now_us: int) -> None:
        """Start and end randomised holds. Without readable findings, running ones continue as planned."""
        terms, last = self.watched.terms, self._held
        if self._handed.result is None or "findings" in self.errors:
            return
        if last[:2] == (self._handed.sign, terms) and 0 <= now_us - last[2] < LOOK_AGAIN_US:
            return
        groups = candidates(replace(self._handed.result, campaigns=tuple(self._handed.campaigns())))
        orgs = {account: org for account, org, _ in self.state.accounts()} if groups else {}
        holds.follow(self.state, terms, groups, orgs, now_us=now_us, tell=self.tell)
        self._held = (self._handed.sign, terms, now_us)

    def _take_steps(self, now_us: int) -> None:
        for proposal in proposals.proposals(self.state, "open", due_us=now_us, limit=MOST_OPEN):
            if not self._leads():
                return
            action = proposals.apply(self.state, proposal.proposal, who=proposals.LADDER, now_us=now_us)
            step = proposal.wanted.step.name.lower()
            if action is not None:
                self.tell(
                    f"ladder: {step} for {len(proposal.wanted.accounts)} accounts of "
                    f"{proposal.wanted.campaign} (action {action}; "
                    f"`stillwatch standing undo {action}` takes it back)"
                )
