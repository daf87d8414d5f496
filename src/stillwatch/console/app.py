"""Assembles the console: `make` returns an ASGI app to be served or mounted.

A page is one function from `PageRequest` to `Shown`, which is rendered as HTML, JSON or CSV. A change is a
POST; its response redirects to the page that shows the change.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stillwatch.cases import DatabaseUnreachable, RecordNotFound
from stillwatch.cases.store import Store
from stillwatch.console import (
    Deployment,
    Recording,
    Unavailable,
    UserRole,
    factor_seal,
    people,
    render,
    sessions,
    tokens,
)
from stillwatch.console.case_facts import Looks
from stillwatch.console.guard import HostGuard
from stillwatch.console.openid import IdentityProvider
from stillwatch.console.page_context import ConsoleContext, PageRequest, View, address
from stillwatch.console.page_forms import Shown, as_csv, as_json
from stillwatch.console.pages import (
    account,
    acting,
    audit,
    case,
    detectors,
    entry,
    health,
    identity_login,
    leads,
    observables,
    own,
    prompts,
    queue,
    sql,
    terms,
    triage,
    working,
)
from stillwatch.console.settings import ConsoleSettings
from stillwatch.console.sql import Snapshots, is_large
from stillwatch.console.throttle import RecordLimit, Throttle
from stillwatch.console.trail_checks import TrailChecks
from stillwatch.errors import StillwatchError
from stillwatch.units import utc_us


class NumberConvertor(IntegerConvertor):
    """A number that databases accept: larger ones have no page. Python refuses to convert 5,000 digits."""

    regex = "[0-9]{1,18}"


register_url_convertor("number", NumberConvertor())


@dataclass(frozen=True)
class PageRoute:
    """A route that shows something."""

    path: str
    least: UserRole
    view: View


@dataclass(frozen=True)
class Deed:
    """A route that changes something."""

    path: str
    least: UserRole
    do: View
    by_token: bool = False  # also allowed with an API token of scope triage


PAGES = (
    PageRoute("/queue", UserRole.READER, queue.show),
    PageRoute("/leads", UserRole.READER, leads.show),
    PageRoute("/lead/{lead}", UserRole.READER, leads.show_lead),
    PageRoute("/case/{case}", UserRole.READER, case.show),
    PageRoute("/case/{case}/accounts", UserRole.READER, case.accounts),
    PageRoute("/case/{case}/links", UserRole.READER, case.links),
    PageRoute("/case/{case}/alert", UserRole.READER, case.alert_page),
    PageRoute("/actor/{case}", UserRole.READER, case.actor),
    PageRoute("/account", UserRole.READER, account.show),
    PageRoute("/account/days", UserRole.READER, account.days),
    PageRoute("/approvals", UserRole.READER, acting.approvals),
    PageRoute("/ask/{ask:number}", UserRole.READER, acting.ask_page),
    PageRoute("/detectors", UserRole.READER, detectors.show),
    PageRoute("/terms", UserRole.READER, terms.show),
    PageRoute("/audit", UserRole.READER, audit.show),
    PageRoute("/health", UserRole.READER, health.show),
    PageRoute("/sql", UserRole.ANALYST, sql.show),
    PageRoute("/me", UserRole.READER, own.show),
)
DEEDS = (
    Deed("/queue/triage", UserRole.ANALYST, triage.change_picked, by_token=True),
    Deed("/queue/views", UserRole.READER, queue.save_view),
    Deed("/queue/views/delete", UserRole.READER, queue.delete_view),
    Deed("/lead/{lead}/open", UserRole.ANALYST, leads.open_case),
    Deed("/case/{case}/take", UserRole.ANALYST, working.take, by_token=True),
    Deed("/case/{case}/assign", UserRole.ANALYST, working.assign, by_token=True),
    Deed("/case/{case}/note", UserRole.ANALYST, working.note, by_token=True),
    Deed("/case/{case}/judge", UserRole.ANALYST, working.judge, by_token=True),
    Deed("/case/{case}/accounts", UserRole.ANALYST, working.judge_accounts),
    Deed("/case/{case}/close", UserRole.ANALYST, working.close, by_token=True),
    Deed("/case/{case}/reopen", UserRole.ANALYST, working.reopen, by_token=True),
    Deed("/case/{case}/suppress", UserRole.ANALYST, working.suppress),
    Deed("/case/{case}/unsuppress", UserRole.ANALYST, working.unsuppress),
    Deed("/case/{case}/appeal", UserRole.ANALYST, working.appeal),
    Deed("/case/{case}/decide", UserRole.APPROVER, working.decide),
    Deed("/case/{case}/undo", UserRole.ANALYST, working.undo),
    Deed("/case/{case}/split", UserRole.ANALYST, working.split),
    Deed("/case/{case}/export", UserRole.ANALYST, working.export),
    Deed("/case/{case}/dry", UserRole.ANALYST, acting.dry_run),
    Deed("/case/{case}/act", UserRole.ANALYST, acting.act),
    Deed("/ask/{ask:number}/approve", UserRole.APPROVER, acting.approve),
    Deed("/ask/{ask:number}/refuse", UserRole.ANALYST, acting.refuse),
    Deed("/ask/{ask:number}/undo", UserRole.ANALYST, acting.undo),
    Deed("/dismissal/{dismissal:number}/approve", UserRole.APPROVER, acting.approve_dismissal),
    Deed("/dismissal/{dismissal:number}/refuse", UserRole.ANALYST, acting.refuse_dismissal),
    Deed("/proposal/{proposal:number}/approve", UserRole.APPROVER, acting.approve_proposal),
    Deed("/proposal/{proposal:number}/dismiss", UserRole.APPROVER, acting.dismiss_proposal),
    Deed("/prompts", UserRole.ANALYST, prompts.show),
    Deed("/case/{case}/observables", UserRole.ANALYST, observables.of_case),
    Deed("/lead/{lead}/observables", UserRole.ANALYST, observables.of_lead),
    Deed("/account/observables", UserRole.ANALYST, observables.of_account),
    Deed("/detectors/state", UserRole.APPROVER, detectors.set_state),
    Deed("/audit/verify", UserRole.READER, audit.verify),
    Deed("/sql", UserRole.ANALYST, sql.ask),
    Deed("/me/password", UserRole.READER, own.change_password),
    Deed("/me/sessions", UserRole.READER, own.end_sessions),
    Deed("/me/notices/read", UserRole.READER, own.mark_read),
    Deed("/me/address", UserRole.READER, own.change_address),
    Deed("/me/tokens", UserRole.READER, own.make_token),
    Deed("/me/tokens/revoke", UserRole.READER, own.revoke_token),
    Deed("/me/second-factor", UserRole.READER, own.begin_second_factor),
    Deed("/me/second-factor/confirm", UserRole.READER, own.confirm_second_factor),
    Deed("/me/second-factor/remove", UserRole.READER, own.remove_second_factor),
)


def make(
    store: Store,
    deployment: Deployment,
    *,
    hosts: Collection[str] | None = None,
    secure: bool | None = None,
    settings: ConsoleSettings | None = None,
    provider: IdentityProvider | None = None,
    now_us: Callable[[], int] | None = None,
) -> ASGIApp:
    """Make the console of a store's cases. Also calls `people.prepare(store)`.

    hosts: names under which it may be called; None if the mounting app checks them. secure: whether browsers
    reach it by TLS; None: as the request says. provider: identity provider for log-ins, besides
    passwords. The app serves `/` below its mount.
    """
    people.prepare(store)
    clock = now_us or utc_us
    factor_seal.seal_stored(store, clock())
    people.key_marks(store, clock())
    snapshots = Snapshots(store, deployment.captured_files if isinstance(deployment, Recording) else None)
    if is_large(store):
        snapshots.prepare()  # now, as the copy takes seconds; that of a small store is made at a log-in
    looks, checks = Looks(store), TrailChecks(store, clock)
    settings = settings or ConsoleSettings()
    desk = ConsoleContext(
        store, deployment, settings, snapshots, looks, checks, Throttle(), RecordLimit(), clock
    )
    door = entry.LoginPages(desk, provider)
    routes: list[Route] = [
        Route("/", lambda request: RedirectResponse(address(request, "/queue"), 303), methods=["GET"]),
        Route("/cases/{case}", _permalink, methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
        Route("/login", door.form, methods=["GET"]),
        Route("/login", door.enter, methods=["POST"]),
        Route("/login/code", door.enter_code, methods=["POST"]),
        Route("/logout", door.leave, methods=["POST"]),
    ]
    if provider is not None:
        abroad = identity_login.IdentityPages(desk, provider, door)
        routes.append(Route("/login/oidc", abroad.begin, methods=["GET"]))
        routes.append(Route(identity_login.BACK, abroad.finish, methods=["GET"]))
    for page in PAGES:
        for form in ("json", "csv"):
            routes.append(Route(f"{page.path}.{form}", _page_handler_of(desk, page, form), methods=["GET"]))
        routes.append(Route(page.path, _page_handler_of(desk, page, None), methods=["GET"]))
    routes += [Route(deed.path, _deed_handler_of(desk, deed), methods=["POST"]) for deed in DEEDS]
    handlers = {404: _unknown_address, 405: _unknown_address}
    inner = Starlette(routes=routes, exception_handlers=handlers, lifespan=_closing(snapshots))
    return HostGuard(inner, hosts, secure)


def _closing(snapshots: Snapshots) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return a lifespan that removes the copies and ends the query process; else they end with ours."""

    @asynccontextmanager
    async def lasts(_: Starlette) -> AsyncIterator[None]:
        yield
        snapshots.close()

    return lasts


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in render.STATIC:
        return PlainTextResponse("there is no such file\n", 404)
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(render.static(name), 200, headers, media_type=render.STATIC[name])


def _permalink(request: Request) -> Response:
    """Redirect from the address in alerts to the page."""
    case = quote(str(request.path_params["case"]), safe="")
    return RedirectResponse(address(request, f"/case/{case}"), 303)


async def _unknown_address(request: Request, why: Exception) -> Response:
    status = getattr(why, "status_code", 404)
    text = "there is no such page" if status == 404 else "that is not what can be done here"
    return render.bare(request, "apart.html.j2", status, title=text, text=text, home=address(request, "/"))


def _request_of_user(desk: ConsoleContext, request: Request) -> PageRequest | None:
    """Return the request of the logged-in user, if any. An API token takes precedence over the session."""
    now_us = desk.now_us()
    if (secret := request.scope["state"]["token"]) is not None:
        owner_and_token = tokens.find(desk.store, secret, now_us)
        return (
            None
            if owner_and_token is None
            else PageRequest(request, desk, owner_and_token[0], "", now_us, owner_and_token[1])
        )
    cookie = request.cookies.get(entry.cookie_name(request))
    session = sessions.find(desk.store, cookie, now_us) if cookie else None
    return None if session is None else PageRequest(request, desk, session.user, session.csrf, now_us)


def _why_refused(request: PageRequest, route: PageRoute | Deed) -> str | None:
    """Return why a user may not see a page or do something; None if it is allowed."""
    is_own_page, token = route.path.startswith(OWN), request.token
    if not request.may(route.least):
        return f"this is for {route.least.name.lower()}s and above"
    if not is_own_page and request.must_have_factor():
        return "your role needs a second factor: set one up on your own page first"
    if token is None:
        return None
    if isinstance(route, PageRoute):
        return None if not is_own_page and route.least is UserRole.READER else "no API token opens this page"
    if not route.by_token:
        return "no API token does this: it takes a person who is logged in"
    return None if token.scope is tokens.TokenScope.TRIAGE else f"the API token {token.name} only reads"


def _forbid(request: PageRequest, path: str, why: str, form: str) -> Response:
    """Refuse a request that is not allowed, and record it."""
    if request.desk.refusals.allows(request.now_us):
        detail = {"path": path, "method": request.http.method}
        request.store.look(request.user.name, "refused", "console", detail, request.now_us)
    return _refusal_page(request, 403, why, form)


def _page_handler_of(
    desk: ConsoleContext, page: PageRoute, suffix: str | None
) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        form = suffix or request.query_params.get("format", "html")
        if form not in ("html", "json", "csv"):
            return _problem(400, f"{form[:40]!a} is not a form of a page: give html, json or csv", "json")
        try:
            page_request = _request_of_user(desk, request)
            if page_request is None:
                return _outside(request, form)
            if page_request.token is not None and form == "html":
                return _problem(406, f"an API token reads {page.path}.json or .csv", "json")
            if (why_not := _why_refused(page_request, page)) is not None:
                if form == "html" and page_request.may(page.least):
                    return RedirectResponse(page_request.url(OWN), 303)
                return _forbid(page_request, page.path, why_not, form)
        except StillwatchError as why:
            return _problem(503, str(why), form)
        try:
            answered = page.view(page_request)
        except StillwatchError as why:
            return _refusal_page(page_request, _status(why), str(why), form)
        except Exception as why:  # noqa: BLE001 - the edge of a request: an error becomes a sentence
            return _refusal_page(page_request, 500, f"the page failed: {type(why).__name__}", form)
        if isinstance(answered, Response):
            return answered
        if form == "json":
            return as_json(answered)
        if form == "csv":
            return as_csv(answered, page.path.split("{")[0].strip("/").replace("/", "-") or "page")
        return render.page(page_request, answered, DONE.get(page_request.query("done"), ""))

    return answer


def _deed_handler_of(desk: ConsoleContext, deed: Deed) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        form = "html" if request.scope["state"]["token"] is None else "json"
        page_request = None
        try:
            page_request = _request_of_user(desk, request)
            if page_request is None:
                return _outside(request, form)
            if page_request.token is None and not sessions.same(
                page_request.form("csrf", 200), page_request.csrf
            ):
                return _refusal_page(
                    page_request, 403, "this form is not of your session; open the page anew and try again"
                )
            if (why_not := _why_refused(page_request, deed)) is not None:
                return _forbid(page_request, deed.path, why_not, form)
            answered = deed.do(page_request)
            if page_request.token is not None:
                return _answer_program(page_request, answered)
            return render.page(page_request, answered) if isinstance(answered, Shown) else answered
        except StillwatchError as why:
            return (
                _refusal_page(page_request, _status(why), str(why), form)
                if page_request
                else _problem(503, str(why), form)
            )
        except Exception as why:  # noqa: BLE001 - the edge of a request: an error becomes a sentence
            return _problem(500, f"it failed: {type(why).__name__}", form)

    return answer


def _answer_program(request: PageRequest, answered: Shown | Response) -> Response:
    """Return the result as JSON: a page's message, or the case as its page shows it."""
    if isinstance(answered, Shown):
        return as_json(answered)
    words = dict(parse_qsl(urlsplit(answered.headers["location"]).query))
    case = request.store.case(request.part("case"), accounts=False)
    message = words.get("done", "")
    document = {"done": message, "message": DONE.get(message, ""), "case": queue.row(case, request)}
    return as_json(Shown("", "", document))


OWN = "/me"  # where people complete a setup that is required of them
DONE = {
    "begun": "Enter the secret in your authenticator, then give its first code below.",
    "read": "All that was shown is marked as read.",
    "address": "Your mail address is changed.",
    "revoked": "The token no longer works.",
    "removed": "You have no second factor any more.",
    "password": "Your password is changed. Your other sessions and your API tokens have ended.",
    "ended": "Your other sessions have ended.",
    "view": "The view is kept.",
    "unview": "The view is deleted.",
    "opened": "The case is open. No step can be taken in it before a finding names it.",
    "taken": "The case is yours.",
    "assigned": "The owner is changed.",
    "noted": "The note is kept.",
    "judged": "The verdict is kept.",
    "closed": "The case is closed.",
    "reopened": "The case is open again.",
    "suppressed": "The case is suppressed.",
    "unsuppressed": "The case is no longer suppressed.",
    "appealed": "The appeal is kept.",
    "decided": "The appeal is decided.",
    "lifted": "The appeal is granted, and what stood against the account has ended.",
    "undone": "It is taken back.",
    "split": "This is the new case of the accounts that were split off.",
    "late": "It is written down, but not in force on every worker yet. Health says why.",
    "acted": "The step is taken. It can be undone below.",
    "asked": "The step waits for a second person.",
    "waits": "You have dismissed many within a day: this waits for a second person, on Approvals.",
    "refused": "It is refused; nothing was done.",
    "dismissed": "The proposal is closed.",
    "state": "The detector's state is changed.",
}


def _status(why: StillwatchError) -> int:
    return (
        404
        if isinstance(why, RecordNotFound)
        else 503
        if isinstance(why, Unavailable | DatabaseUnreachable)
        else 409
    )


def _outside(request: Request, form: str) -> Response:
    """Respond to a request without a log-in."""
    if form != "html":
        answer = _problem(401, "log in first, or show an API token that works", form)
        answer.headers["www-authenticate"] = "Bearer"  # RFC 6750, section 3
        return answer
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = address(request, "/login")
    where = f"{login}?next={quote(target, safe='')}" if request.method == "GET" else login
    if request.headers.get("hx-request"):
        return Response("", 200, {"hx-redirect": where})
    return RedirectResponse(where, 303)


def _problem(status: int, text: str, form: str) -> Response:
    if form == "html":
        return PlainTextResponse(text + "\n", status)
    return JSONResponse({"error": {"status": status, "message": text}}, status)


def _refusal_page(request: PageRequest, status: int, text: str, form: str = "html") -> Response:
    if form != "html":
        return _problem(status, text, form)
    back = request.url("/queue")
    refusal = Shown(
        "refused.html.j2",
        "It was not done" if status != 404 else "Not found",
        {},
        view={"text": text, "back": back},
        status=status,
    )
    return render.page(request, refusal)
