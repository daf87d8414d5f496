"""An account's prompts and answers: hidden until somebody gives a reason, which is recorded.

The record comes first. If it cannot be written, nothing is shown.
"""

from stillwatch.cases import RecordNotFound, reading
from stillwatch.console import ConsoleError
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown

MOST = 50
SHORTEST_WHY = 8


def show(request: PageRequest) -> Shown:
    """Record who asks and why, then show the newest texts."""
    account = (request.accounts() or [""])[-1]
    why = request.why()
    if len(why) < SHORTEST_WHY:
        raise ConsoleError("say in a few words why you need to see them")
    inside = reading.account(request.store, account)
    if not inside:
        raise RecordNotFound("no case names this account, so nobody may see its texts")
    request.store.look(
        request.user.name, "prompts looked at", inside[0].case.id, {"most": MOST, "account_in": len(inside)},
        request.now_us, personal={account: {"account": account, "why": why}},
    )  # fmt: skip
    texts = request.deployment.captured_texts(account, MOST)
    view = {"account": account, "said_": texts, "why": why, "case": inside[0].case}
    return Shown("prompts.html.j2", "Prompts", {}, (), view)
