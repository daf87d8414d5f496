"""The admin port's read-only routes: health, metrics, campaigns, findings, gaps, events."""

import threading
import time
from types import SimpleNamespace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse

from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.shapes import (
    AccountFound,
    Alive,
    Before,
    CampaignShown,
    EventShown,
    GapShown,
    HealthShown,
    Limit,
    NameAsked,
    Page,
    Ready,
)
from stillwatch.gateway.control import actions
from stillwatch.gateway.control.state import Missing
from stillwatch.gateway.health import FAILING, Health, health, unready
from stillwatch.gateway.latest import gaps
from stillwatch.gateway.metrics import CONTENT_TYPE, metrics
from stillwatch.report.findings import campaigns_by_harvest
from stillwatch.terms import Step
from stillwatch.units import utc_us

UNSERVED: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthShown, "description": "clients are not served"}
}


class MetricsText(PlainTextResponse):
    media_type = CONTENT_TYPE


class HealthLook:
    """The gateway's present health. Concurrent callers share a check that began after their calls.

    Callers need no token, and a check takes 10 ms of the process that supervises all others.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk, self._lock = desk, threading.Lock()
        self._last: tuple[float, Health] | None = None  # with its start

    def __call__(self) -> Health:
        asked_s = time.monotonic()
        with self._lock:
            if self._last is None or self._last[0] <= asked_s:
                desk, began_s = self._desk, time.monotonic()
                refuses = desk.watched.terms.capture.on_failure == "refuse"
                report = health(desk.folder, desk.settings, utc_us(), refuses, desk.state)
                self._last = began_s, report
            return self._last[1]


def open_routes(desk: Desk, look: HealthLook) -> APIRouter:
    """Return the routes that need no token: those for load balancers."""
    to = APIRouter(tags=["health"])

    @to.get("/health", response_model=HealthShown, responses=UNSERVED)
    def show_health() -> JSONResponse:
        """Report each part's health. 200 while clients are served, else 503."""
        report = look()
        return JSONResponse(HealthShown.of(report).model_dump(), 503 if report.status == FAILING else 200)

    @to.get("/livez")
    async def show_alive() -> Alive:  # waits for no thread
        """Answer while the gateway's process lives, also while it stops."""
        return Alive()

    @to.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "send nothing"}})
    def show_ready() -> JSONResponse:
        """Report whether new clients are served: not before a worker serves, and not after SIGTERM."""
        why = unready(desk.folder, desk.settings, utc_us())
        return JSONResponse(Ready(ready=why is None, why=why).model_dump(), 503 if why else 200)

    return to


def metrics_routes(desk: Desk, look: HealthLook) -> APIRouter:
    """Return the route that has a token of its own."""
    to = APIRouter()

    @to.get("/metrics", tags=["health"], response_class=MetricsText)
    def show_metrics() -> MetricsText:
        """Return every number in Prometheus' text format."""
        return MetricsText(metrics(desk.folder, desk.settings, look(), actions.by_step(desk.state)))

    return to


def routes(desk: Desk) -> APIRouter:
    """Return the routes that only read."""
    to = APIRouter()
    _numbers(to, desk)
    _add_finding_routes(to, desk)
    return to


def _numbers(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/gaps", tags=["health"])
    def list_gaps(before: Before = None, limit: Limit = 100) -> Page[GapShown]:
        """List the spans in which exchanges were not captured, newest first."""
        page = [GapShown.of(gap) for gap in gaps(desk.folder.gaps, before, limit)]
        return Page.of(page, limit, "number", state.revision())

    @to.get("/v1/events", tags=["health"])
    def list_events(before: Before = None, limit: Limit = 100) -> Page[EventShown]:
        """List actions and their actors, newest first."""
        page = [EventShown.of(event) for event in state.events(before, limit)]
        return Page.of(page, limit, "event", state.revision())


def _add_finding_routes(to: APIRouter, desk: Desk) -> None:
    state = desk.state

    @to.get("/v1/campaigns", tags=["findings"])
    def list_campaigns(
        after: NameAsked = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Page[CampaignShown]:
        """List the campaigns, the largest harvest first."""
        handed = desk.findings.current()
        all_campaigns = campaigns_by_harvest(handed.result) if handed.result else []
        ids = [c.id for c in all_campaigns]
        if after is not None and after not in ids:
            raise Missing(f"there is no campaign {after!a} now; begin at the first page")
        begin = ids.index(after) + 1 if after is not None else 0
        page = [
            CampaignShown.of(SimpleNamespace(**vars(shown), first_id=handed.first_id(shown.id)))
            for shown in all_campaigns[begin : begin + limit]
        ]
        return Page.of(page, limit, "id", state.revision())

    @to.get("/v1/campaigns/{campaign}/accounts", tags=["findings"])
    def list_members(
        campaign: Annotated[str, Path(min_length=1, max_length=200, pattern="^[a-z0-9-]+$")],
        after: NameAsked = None,
        limit: Limit = 100,
    ) -> Page[str]:
        """List the accounts of one campaign, by name."""
        handed = desk.findings.current()
        for found_campaign in handed.campaigns():
            if found_campaign.id == handed.first_id(campaign):
                page = [a for a in sorted(found_campaign.accounts) if after is None or a > after][:limit]
                last = page[-1] if len(page) == limit else None
                return Page(items=page, next=last, revision=state.revision())
        raise Missing(f"there is no campaign {campaign!a} now")

    @to.get("/v1/findings", tags=["findings"])
    def list_findings(
        campaign: NameAsked = None, after: NameAsked = None, limit: Limit = 100
    ) -> Page[AccountFound]:
        """List the findings about accounts, by name, with the enforcement status of each."""
        current = desk.findings.current().result
        every = sorted(current.accounts, key=lambda a: a.account) if current else []
        page = [
            a
            for a in every
            if (after is None or a.account > after) and (campaign is None or a.campaign == campaign)
        ][:limit]
        statuses = actions.standings(state, [a.account for a in page])
        clear = SimpleNamespace(step=Step.CLEAR)
        accounts = [
            AccountFound.of(SimpleNamespace(**vars(a), standing=statuses.get(a.account, clear).step))
            for a in page
        ]
        return Page.of(accounts, limit, "account", state.revision())
