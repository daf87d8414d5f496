"""The policy: what is in force, its tests, what another text would change. A new policy comes by its file."""

from dataclasses import asdict
from typing import Any

from stillwatch.console import ConsoleError, InForce, Unavailable
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown
from stillwatch.terms.diff import difference
from stillwatch.terms.load import check
from stillwatch.terms.trial import run


def show(request: PageRequest) -> Shown:
    """Show the policy in force; with `against`, what changed since that text of the history."""
    try:
        force = request.deployment.terms()
    except Unavailable as why:
        return Shown(
            "terms.html.j2", "Terms", {"unavailable": str(why)}, (), {"force": None, "why_not": str(why)}
        )
    tests = run(force.terms, request.now_us)
    against, changes = _against(request, force)
    rows = [
        {"version": t.version, "at": t.at, "outcome": t.outcome, "why": t.why, "sha256": t.sha256}
        for t in force.texts
    ]
    text = next((t.text for t in force.texts if t.sha256 == force.sha256 and t.text), None)
    data: dict[str, Any] = {
        "version": force.terms.version, "sha256": force.sha256, "error": force.error, "text": text,
        "tests": [asdict(t) for t in tests], "history": rows, "against": against, "changes": changes,
    }  # fmt: skip
    view = {
        "force": force, "why_not": None, "text": text, "tests": tests,
        "failed": sum(not t.passed for t in tests), "against": against, "changes": changes,
    }  # fmt: skip
    return Shown("terms.html.j2", "Terms", data, rows, view)


def _against(request: PageRequest, force: InForce) -> tuple[str, list[dict[str, Any]]]:
    """Compare with another text of the history: the one named, or the one accepted before."""
    compared_to = request.query("against")
    older = [t for t in force.texts if t.text is not None and t.sha256 != force.sha256]
    if compared_to:
        older = [t for t in older if t.sha256.startswith(compared_to)]
        if not older:
            raise ConsoleError(f"no accepted text in the history begins with {compared_to[:64]!a}")
    if not older or older[0].text is None:
        return "", []
    checked = check(older[0].text, f"version {older[0].version}", request.now_us)
    if checked.terms is None:
        return "", []
    return older[0].sha256, [asdict(c) for c in difference(checked.terms, force.terms, request.now_us)]
