"""The queue: cases by due date, then by size of harvest. The filters are in the address."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse, Response

from stillwatch.cases import Case, CaseState, Verdict, reading
from stillwatch.cases.feedback import EVIDENCE_US
from stillwatch.console import ConsoleError, inbox, saved_views
from stillwatch.console.page_context import LONGEST_NAME, PageRequest, from_form
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.units import us

PAGE = 50
WORDS = ("state", "verdict", "owner", "account", "suppressed", "text", "note", "detector", "spoke")
STATES = {
    "": (CaseState.NEW, CaseState.OPEN),
    "new": (CaseState.NEW,),
    "open": (CaseState.OPEN,),
    "closed": (CaseState.CLOSED,),
    "all": (),
}
# verdicts that a detector's record counts together, in addition to each by itself
VERDICTS: dict[str, tuple[Verdict | None, ...]] = {
    "": (),
    "judged": (Verdict.TRUE, Verdict.FALSE),
    "undecided": (None, Verdict.SUSPICIOUS),
}
LATELY = "lately"  # raised alarms within the time that a detector's precision is counted over


def show(request: PageRequest) -> Shown:
    given = {word: request.query(word) for word in WORDS}
    offset = request.query_number("offset", 10_000_000)
    counts = request.desk.looks.counts(request.now_us)
    queue = reading.queue(request.store, _queue_filter(request, given, offset), request.now_us, counts)
    rows = [row(case, request) for case in queue.cases]
    words = _address_words(given)
    views = saved_views.views_of(request.store, request.user.name)
    not_seen = list(request.deployment.not_seen(request.now_us))
    data = {
        "filter": given, "offset": offset, "total": queue.total, "more": queue.more, "counts": queue.counts,
        "not_seen": not_seen, "cases": rows, "views": views,
    }  # fmt: skip
    view = {
        "given": given, "queue": queue, "offset": offset, "page": PAGE,
        "owners": reading.owners(request.store), "back": words,
        "views": [(saved, queue_address(request, saved.words), saved.words == words) for saved in views],
        "verdicts": [*(v for v in Verdict if v is not Verdict.VICTIM), *filter(None, VERDICTS)],
        "of_any_detector": request.url("/queue", **given | {"detector": "", "spoke": ""}),
        "not_seen": not_seen,
        "elsewhere": reading.elsewhere(request.store, [case.id for case in queue.cases]),
        "unread": inbox.count_unread(request.store, request.user.name),
    }  # fmt: skip
    return Shown("queue.html.j2", "Queue", data, rows, view)


def save_view(request: PageRequest) -> Response:
    """Save the filter that the page showed, under a name."""
    words_given = dict.fromkeys(WORDS, "") | _words_of(request.form("back", LONGEST_NAME))
    _queue_filter(request, words_given, 0)  # a filter that the queue would refuse cannot be saved
    words = _address_words(words_given)
    saved_views.save(request.store, request.user.name, request.form("name"), words, request.now_us)
    return RedirectResponse(queue_address(request, words, done="view"), 303)


def delete_view(request: PageRequest) -> Response:
    """Delete one of the user's views."""
    saved_views.delete(request.store, request.user.name, from_form(request.form("name")), request.now_us)
    return RedirectResponse(request.url("/queue", done="unview"), 303)


def queue_address(request: PageRequest, words: str, **more: str) -> str:
    """Return the address of the queue with the filter in some query text."""
    return request.url("/queue", **_words_of(words), **more)


def _words_of(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, errors="surrogatepass")
    return {word: value for word, value in pairs if word in WORDS}


def _address_words(words_given: dict[str, str]) -> str:
    return urlencode({word: words_given[word] for word in WORDS if words_given[word]}, errors="surrogatepass")


def _queue_filter(request: PageRequest, words_given: dict[str, str], offset: int) -> reading.Filter:
    if words_given["state"] not in STATES:
        raise ConsoleError(f"state is {words_given['state'][:40]!a}; give one of new, open, closed, all")
    if words_given["suppressed"] not in ("", "yes", "all"):
        raise ConsoleError(f"suppressed is {words_given['suppressed'][:40]!a}; give yes or all")
    verdict = words_given["verdict"]
    if verdict not in VERDICTS and verdict not in list(Verdict):
        one_of = ", ".join(filter(None, (*Verdict, *VERDICTS)))
        raise ConsoleError(f"verdict is {verdict[:40]!a}; give one of {one_of}")
    spoke = words_given["spoke"]
    owner = request.user.name if words_given["owner"] == "me" else words_given["owner"]
    return reading.Filter(
        states=STATES[words_given["state"]],
        verdicts=VERDICTS[verdict] if verdict in VERDICTS else (Verdict(verdict),),
        owner=owner or None,
        account=words_given["account"] or None,
        text=words_given["text"] or None,
        note=words_given["note"] or None,
        suppressed={"": False, "yes": True, "all": None}[words_given["suppressed"]],
        detector=words_given["detector"] or None,
        first_spoken_us=None if spoke in ("", LATELY) else _month_us(spoke),
        last_spoken_us=request.now_us - EVIDENCE_US if spoke == LATELY else None,
        offset=offset,
        limit=PAGE,
    )


def _month_us(month: str) -> tuple[int, int]:
    """Return when a month such as 2026-11 begins, and when the next does."""
    try:
        begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    except ValueError:
        raise ConsoleError(f"spoke is {month[:40]!a}; give {LATELY}, or a month such as 2026-11") from None
    return us(begin), us(end)


def row(case: Case, request: PageRequest) -> dict[str, Any]:
    """Return a case as a row."""
    return {
        "case": case.id,
        "title": case.title,
        "state": str(case.state),
        "verdict": None if case.verdict is None else str(case.verdict),
        "owner": case.owner,
        "due": iso_us(case.due_us),
        "accounts": case.members,
        "exchanges": case.exchanges,
        "output_tokens": case.output_tokens,
        "p_value": case.p_value,
        "opened": iso_us(case.opened_us),
        "updated": iso_us(case.updated_us),
        "reopened": case.reopened,
        "suppressed_until": iso_us(case.suppressed_until_us),
        "appeal": case.appeal is not None,
        "revision": case.revision,
        "href": request.url(f"/case/{case.id}"),
    }
