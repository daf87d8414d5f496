"""The policy over the admin port: the one in force, earlier ones, and what a candidate would change.

A new policy comes as a file, which an owner can review and keep a history of; this port sets none.
"""

from types import SimpleNamespace

from fastapi import APIRouter

from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.shapes import (
    Before,
    Limit,
    Number,
    Page,
    TermsCandidate,
    TermsChange,
    TermsChecked,
    TermsEntry,
    TermsShown,
    TermsTried,
)
from stillwatch.gateway.control.state import Missing
from stillwatch.gateway.instance import terms_history
from stillwatch.terms import Terms
from stillwatch.terms.diff import difference
from stillwatch.terms.history import HistoryEntry, TermsHistory
from stillwatch.terms.load import check
from stillwatch.terms.trial import run
from stillwatch.units import utc_us


def routes(desk: Desk) -> APIRouter:
    """Return the routes below /v1/terms."""
    to, watched = APIRouter(tags=["terms"]), desk.watched

    def entries() -> list[HistoryEntry]:
        return TermsHistory(terms_history(desk.folder)).entries

    @to.get("/v1/terms")
    def show_terms() -> TermsShown:
        """Return the policy in force, and the file's problems if it is not in force."""
        in_force = [e for e in entries() if e.sha256 == watched.sha256 and e.text is not None]
        return TermsShown(
            version=watched.terms.version,
            sha256=watched.sha256,
            text=in_force[-1].text if in_force else None,
            error=watched.error,
        )

    @to.get("/v1/terms/history")
    def list_history(before: Before = None, limit: Limit = 100) -> Page[TermsEntry]:
        """List the outcome of each text, newest first."""
        numbered = [(k, e) for k, e in enumerate(entries(), 1) if before is None or k < before]
        page = [TermsEntry.of(SimpleNamespace(number=k, **vars(e))) for k, e in numbered[::-1][:limit]]
        return Page.of(page, limit, "number", desk.state.revision())

    @to.get("/v1/terms/history/{number}")
    def show_version(number: Number) -> TermsShown:
        """Return one text of the history."""
        history = entries()
        if number > len(history):
            raise Missing(f"the history has {len(history)} entries, not {number}")
        revision = history[number - 1]
        return TermsShown(
            version=revision.version, sha256=revision.sha256, text=revision.text, error=revision.why or None
        )

    @to.post("/v1/terms/check")
    def check_terms(body: TermsCandidate) -> TermsChecked:
        """Report a candidate's problems, the results of its tests, and what it would change."""
        return _check_candidate(watched.terms, body.text, utc_us())

    return to


def _check_candidate(in_force: Terms, text: str, now_us: int) -> TermsChecked:
    checked = check(text, "candidate", now_us)
    if checked.terms is None:
        return TermsChecked(
            usable=False, version=None, problems=list(checked.problems), warnings=list(checked.warnings),
            tests=[], changes=[],
        )  # fmt: skip
    return TermsChecked(
        usable=True,
        version=checked.terms.version,
        problems=list(checked.problems),
        warnings=list(checked.warnings),
        tests=[TermsTried.of(test) for test in run(checked.terms, now_us)],
        changes=[TermsChange.of(change) for change in difference(in_force, checked.terms, now_us)],
    )
