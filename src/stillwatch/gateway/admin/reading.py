"""What may only be read over the admin port: health, metrics, campaigns, findings, gaps, events."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse

from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.shapes import (
    LARGEST,
    AccountFound,
    Alive,
    CampaignShown,
    EventShown,
    GapShown,
    HealthShown,
    Name,
    Page,
    Ready,
    always_iso,
    name_of,
)
from stillwatch.gateway.control import actions
from stillwatch.gateway.control.affected import MOST_NAMED
from stillwatch.gateway.control.state import Missing
from stillwatch.gateway.health import FAILING, Health, health, unready
from stillwatch.gateway.heartbeat import utc_us
from stillwatch.gateway.latest import Handed, gaps
from stillwatch.gateway.metrics import CONTENT_TYPE, metrics
from stillwatch.report.findings import campaigns_by_harvest
from stillwatch.scan import AccountVerdict, Campaign
from stillwatch.terms import EnforcementStatus, Step

Limit = Annotated[int, Query(ge=1, le=1_000)]
Before = Annotated[int | None, Query(ge=1, le=LARGEST)]
UNSERVED: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthShown, "description": "clients are not served"}
}


class MetricsText(PlainTextResponse):
    media_type = CONTENT_TYPE


def look(desk: Desk) -> Health:
    """Look at how the gateway does now."""
    refuses = desk.watched.terms.capture.on_failure == "refuse"
    return health(desk.folder, desk.settings, utc_us(), refuses, desk.state)


def open_routes(desk: Desk) -> APIRouter:
    """Give the routes that need no token: what a load balancer asks."""
    to = APIRouter(tags=["health"])

    @to.get("/health", response_model=HealthShown, responses=UNSERVED)
    def show_health() -> JSONResponse:
        """Say how each part does. 200 while clients are served, 503 when not."""
        found = look(desk)
        return JSONResponse(HealthShown.of(found).model_dump(), 503 if found.status == FAILING else 200)

    @to.get("/livez")
    def show_alive() -> Alive:
        """Answer while the gateway's process lives, also while it stops."""
        return Alive()

    @to.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "send nothing"}})
    def show_ready() -> JSONResponse:
        """Say whether new clients are served: not before a worker serves, and not from SIGTERM on."""
        why = unready(desk.folder, desk.settings, utc_us())
        return JSONResponse(Ready(ready=why is None, why=why).model_dump(), 503 if why else 200)

    return to


def metrics_routes(desk: Desk) -> APIRouter:
    """Give the route that a token of its own may read."""
    to = APIRouter()

    @to.get("/metrics", tags=["health"], response_class=MetricsText)
    def show_metrics() -> MetricsText:
        """Give every number in Prometheus' text format."""
        return MetricsText(metrics(desk.folder, desk.settings, look(desk), actions.by_step(desk.state)))

    return to


def routes(desk: Desk) -> APIRouter:
    """Give the routes that only read."""
    to = APIRouter()
    _numbers(to, desk)
    _add_finding_routes(to, desk)
    return to


def _numbers(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/gaps", tags=["health"])
    def list_gaps(before: Before = None, limit: Limit = 100) -> Page[GapShown]:
        """List the spans in which exchanges were not captured, newest first."""
        found = gaps(desk.folder.gaps, before, limit)
        last = found[-1].number if len(found) == limit else None
        return Page(items=[GapShown.of(gap) for gap in found], next=last, revision=state.revision())

    @to.get("/v1/events", tags=["health"])
    def list_events(before: Before = None, limit: Limit = 100) -> Page[EventShown]:
        """List what was done and by whom, newest first."""
        found = state.events(before, limit)
        last = found[-1].event if len(found) == limit else None
        return Page(items=[EventShown.of(e) for e in found], next=last, revision=state.revision())


def _add_finding_routes(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/campaigns", tags=["findings"])
    def list_campaigns(
        after: Annotated[Name | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Page[CampaignShown]:
        """List the campaigns, the largest harvest first."""
        handed = desk.findings.current()
        found = campaigns_by_harvest(handed.result) if handed.result else []
        ids = [c.id for c in found]
        if after is not None and after not in ids:
            raise Missing(f"there is no campaign {after!a} now; begin at the first page")
        begin = ids.index(after) + 1 if after is not None else 0
        page = found[begin : begin + limit]
        last = page[-1].id if len(page) == limit else None
        return Page(items=[_campaign(c, handed) for c in page], next=last, revision=state.revision())

    @to.get("/v1/campaigns/{campaign}/accounts", tags=["findings"])
    def list_members(
        campaign: Annotated[str, Path(min_length=1, max_length=200, pattern="^[a-z0-9-]+$")],
        after: Annotated[Name | None, Query()] = None,
        limit: Limit = 100,
    ) -> Page[str]:
        """List the accounts of one campaign, by name."""
        handed = desk.findings.current()
        for one in handed.campaigns():
            if one.id == handed.first_id(campaign):
                page = [a for a in sorted(one.accounts) if after is None or a > after][:limit]
                last = page[-1] if len(page) == limit else None
                return Page(items=page, next=last, revision=state.revision())
        raise Missing(f"there is no campaign {campaign!a} now")

    @to.get("/v1/findings", tags=["findings"])
    def list_findings(
        campaign: Annotated[Name | None, Query()] = None,
        after: Annotated[Name | None, Query()] = None,
        limit: Limit = 100,
    ) -> Page[AccountFound]:
        """List what was found of accounts, by name, with what stands for each."""
        current = desk.findings.current().result
        every = sorted(current.accounts, key=lambda a: a.account) if current else []
        page = [
            a
            for a in every
            if (after is None or a.account > after) and (campaign is None or a.campaign == campaign)
        ][:limit]
        stands = actions.standings(state, [a.account for a in page])
        items = [_account_found(a, stands.get(a.account)) for a in page]
        last = page[-1].account if len(page) == limit else None
        return Page(items=items, next=last, revision=state.revision())


def _account_found(a: AccountVerdict, stands: EnforcementStatus | None) -> AccountFound:
    return AccountFound(
        account=a.account,
        p_value=a.p_value,
        campaign=a.campaign,
        kind_of_use=a.kind_of_use,
        exchanges=a.exchanges,
        standing=name_of(Step.CLEAR if stands is None else stands.step),
    )


def _campaign(found: Campaign, handed: Handed) -> CampaignShown:
    return CampaignShown(
        id=found.id,
        first_id=handed.first_id(found.id),
        title=found.title,
        alarm_at=always_iso(int(found.alarm_at.timestamp() * 1e6)),
        p_value=found.p_value,
        score_bits=found.score_bits,
        accounts=len(found.accounts),
        account_names=list(found.accounts[:MOST_NAMED]),
        exchanges=found.harvest.exchanges,
        output_tokens=found.harvest.output_tokens,
        exchanges_at_alarm=found.harvest_at_alarm.exchanges,
        output_tokens_at_alarm=found.harvest_at_alarm.output_tokens,
        reasons=[reason.text for reason in found.reasons],
        benign_alternatives=[other.text for other in found.benign_alternatives],
        suppressed_by=found.suppressed_by,
        next_milestone=found.next_milestone,
    )
