"""Shapes by name: those of this package, and a researcher's own file beside a scene."""

from functools import cache
from pathlib import Path
from types import ModuleType

from stillwatch.errors import InputError
from stillwatch.plugins import blamed_on, load_file, modules_of
from stillwatch.range.campaigns import CampaignPlan, CampaignShape, Planned, PlannedRequest, Rng, accounts_of
from stillwatch.range.stock import Corpora

WANTED = "a function `requests(plan, corpora, rng, new_model_day)` that returns a list of PlannedRequest"


@cache
def shapes() -> dict[str, CampaignShape]:
    """Return every shape of this package, by name."""
    found = {
        module.__name__.rpartition(".")[2]: module for module in modules_of("stillwatch.range.campaigns")
    }
    return {name: _shape(name, module) for name, module in found.items() if hasattr(module, "requests")}


def shape(name: str, folder: Path | None = None) -> CampaignShape:
    """Return the shape of that name; a name that ends in .py is a file, looked for in `folder`.

    A file is Python and is run: use only files that you trust.

    Raises: InputError: no such shape, or an invalid file.
    """
    if name.endswith(".py"):
        file = (folder or Path()) / name
        return _shape(file.stem, load_file(file, ("requests",), f"a shape of one's own is {WANTED}"))
    if name not in shapes():
        raise InputError(f"shape {name!r} is unknown; known are {', '.join(sorted(shapes()))}")
    return shapes()[name]


def requests_of(
    plan: CampaignPlan, corpora: Corpora, rng: Rng, new_model_day: float, folder: Path | None = None
) -> Planned:
    """Return everything that the campaign sends, except cover.

    Raises: InputError: no such shape, too small a stock, or invalid results of a user's shape.
    """
    wanted = shape(plan.style, folder)
    if not plan.style.endswith(".py"):
        return wanted.requests(plan, corpora, rng, new_model_day)
    with blamed_on(plan.style, (folder or Path()) / plan.style):
        sent = wanted.requests(plan, corpora, rng, new_model_day)
    return _check_requests(sent, plan)


def _check_requests(sent: object, plan: CampaignPlan) -> Planned:
    """Check the results of a user's shape; the error names the request and the reason."""
    if not isinstance(sent, list) or not all(isinstance(r, PlannedRequest) for r in sent):
        raise InputError(f"{plan.style}: {type(sent).__name__} is no list of PlannedRequest; return one")
    if not sent:
        raise InputError(f"{plan.style}: gave no request; {plan.exchanges:,} were asked for")
    last = accounts_of(plan) - 1
    for n, r in enumerate(sent):
        if not 0 <= r.account <= last:
            raise InputError(f"{plan.style}: request {n} is of account {r.account}; 0 to {last} there are")
        if not plan.start <= r.day <= plan.start + plan.days + 1:
            raise InputError(f"{plan.style}: request {n} is on day {r.day}; give {plan.start:g} or later")
        if not isinstance(r.prompt, str) or not r.prompt:
            raise InputError(f"{plan.style}: request {n} has no text as prompt")
    return sent


def _shape(name: str, module: ModuleType) -> CampaignShape:
    return CampaignShape(
        name, module.requests, (module.__doc__ or "").strip(), getattr(module, "DEFAULTS", {})
    )
