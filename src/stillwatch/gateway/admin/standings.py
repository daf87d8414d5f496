"""Enforcement statuses, the actions that changed them, and the ladder's proposals over the admin port."""

from types import SimpleNamespace
from typing import Annotated

from fastapi import APIRouter, Query

from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.shapes import (
    ActionShown,
    Approve,
    Before,
    ChangeShown,
    Dismiss,
    Done,
    Limit,
    NameAsked,
    Number,
    Page,
    ProposalShown,
    ReachShown,
    StandingSet,
    StandingShown,
    StepName,
    Undo,
)
from stillwatch.gateway.control import actions, proposals
from stillwatch.gateway.control.affected import reach
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.units import utc_us


def routes(desk: Desk) -> APIRouter:
    """Return the routes below /v1/standings, /v1/actions and /v1/proposals."""
    to = APIRouter()
    _standings(to, desk)
    _actions(to, desk)
    _proposals(to, desk)
    return to


def _standings(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/standings", tags=["standings"])
    def list_standings(
        step: StepName | None = None, campaign: NameAsked = None, after: NameAsked = None, limit: Limit = 100
    ) -> Page[StandingShown]:
        """List the accounts that are not clear, by name."""
        statuses = actions.standings(
            state,
            step=None if step is None else Step[step.upper()],
            campaign=campaign,
            after=after or "",
            limit=limit,
        )
        items = [
            StandingShown.of(SimpleNamespace(account=account, standing=standing))
            for account, standing in statuses.items()
        ]
        return Page.of(items, limit, "account", state.revision())

    @to.post("/v1/standings", tags=["standings"])
    def set_standings(body: StandingSet) -> Done:
        """Set the status of accounts; with `dry_run` only report whom it would affect. `clear` lifts it."""
        now_us, step = utc_us(), Step[body.step.upper()]
        accounts = sorted(set(body.accounts))
        hits = reach(state, desk.folder, accounts, step, now_us, desk.findings)
        action = None
        if not body.dry_run:
            until_us = None if body.for_s is None else now_us + body.for_s * 1_000_000
            to_set = EnforcementStatus(
                step, now_us, body.why, body.campaign, body.output_tokens_per_hour, until_us
            )
            action = actions.act(
                state,
                [(account, to_set) for account in accounts],
                who=body.by,
                why=body.why,
                now_us=now_us,
                if_revision=body.if_revision,
            )
            desk.take_effect()
        return Done(dry_run=body.dry_run, action=action, reach=ReachShown.of(hits), revision=state.revision())

    @to.get("/v1/standings/log", tags=["standings"])
    def list_changes(
        account: NameAsked = None, before: Before = None, limit: Limit = 100
    ) -> Page[ChangeShown]:
        """List every change of statuses, of one account or all, newest first."""
        changes = actions.history(state, account, before=before, limit=limit)
        return Page.of([ChangeShown.of(change) for change in changes], limit, "change", state.revision())


def _actions(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/actions", tags=["standings"])
    def list_actions(before: Before = None, limit: Limit = 100) -> Page[ActionShown]:
        """List actions, newest first; each can be undone."""
        listed = actions.actions(state, before=before, limit=limit)
        return Page.of([ActionShown.of(action) for action in listed], limit, "action", state.revision())

    @to.post("/v1/actions/{action}/undo", tags=["standings"])
    def undo_action(action: Number, body: Undo) -> Done:
        """Undo an action, or an undo: the status below it is in force again."""
        number = actions.undo(
            state, action, who=body.by, why=body.why, now_us=utc_us(), if_revision=body.if_revision
        )
        desk.take_effect()
        return Done(dry_run=False, action=number, reach=None, revision=state.revision())


def _proposals(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/proposals", tags=["proposals"])
    def list_proposals(
        which: Annotated[
            str | None, Query(alias="state", pattern="^(open|applied|dismissed|superseded)$")
        ] = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> Page[ProposalShown]:
        """List the ladder's requests, newest first."""
        listed = proposals.proposals(state, which, before=before, limit=limit)
        return Page.of(
            [ProposalShown.of(proposal) for proposal in listed], limit, "proposal", state.revision()
        )

    @to.post("/v1/proposals/{proposal}/approve", tags=["proposals"])
    def approve_proposal(proposal: Number, body: Approve) -> Done:
        """Take the step of a proposal, or with `dry_run` only report whom that would affect."""
        now_us = utc_us()
        hits = reach(state, desk.folder, *proposals.would_change(state, proposal), now_us, desk.findings)
        action = None
        if not body.dry_run:
            action = proposals.apply(
                state,
                proposal,
                who=body.by,
                why=body.why or "",
                now_us=now_us,
                until_us=None if body.for_s is None else now_us + body.for_s * 1_000_000,
                if_revision=body.if_revision,
            )
            desk.take_effect()
        return Done(dry_run=body.dry_run, action=action, reach=ReachShown.of(hits), revision=state.revision())

    @to.post("/v1/proposals/{proposal}/dismiss", tags=["proposals"])
    def dismiss_proposal(proposal: Number, body: Dismiss) -> ProposalShown:
        """Close a proposal; that step is not requested for these accounts again."""
        proposals.dismiss(
            state, proposal, who=body.by, why=body.why, now_us=utc_us(), if_revision=body.if_revision
        )
        return ProposalShown.of(proposals.proposal(state, proposal))
