"""Health: the state of each part, how far behind it is, and gaps in the record."""

from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us

GAPS = 200


def show(request: PageRequest) -> Shown:
    """Show the parts, those with problems first."""
    order = {"failing": 0, "degraded": 1}
    parts = sorted(request.deployment.health(request.now_us), key=lambda p: order.get(p.status, 2))
    gaps = list(request.deployment.gaps())
    rows = [{"part": p.name, "status": p.status, "text": p.text} for p in parts]
    lost = [
        {"from": iso_us(g.from_us), "until": iso_us(g.until_us), "exchanges": g.exchanges, "why": g.why}
        for g in gaps[:GAPS]
    ]
    worst = parts[0].status if parts else "ok"
    view = {"parts": parts, "gaps": gaps[:GAPS], "gaps_left_out": max(0, len(gaps) - GAPS), "worst": worst}
    return Shown("health.html.j2", "Health", {"status": worst, "parts": rows, "gaps": lost}, rows, view)
