"""Maps accounts to actors, by a file or by the campaign that the ledger recorded.

Which accounts belong together is decided by the scan or by a person.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from stillwatch.coin import Pair, Throw
from stillwatch.prove import ProveError
from stillwatch.prove.coin import OTHERS

LARGEST_BYTES = 64 << 20
ActorOf = Callable[[Pair | Throw], str]


def by_ledger(pair: Pair | Throw) -> str:
    """Return the campaign to which the account belonged when it was served."""
    return pair.campaign or OTHERS


def by_account(pair: Pair | Throw) -> str:
    return pair.account


def by_file(path: Path) -> ActorOf:
    """Return the mapping of a file, as `accounts_in` reads it. Raises: ProveError."""
    found = accounts_in(path)
    return lambda pair: found.get(pair.account, OTHERS)


def accounts_in(path: Path) -> dict[str, str]:
    """Read a map of account to actor: a scan's findings.json, a JSON object, or CSV with account and actor.

    Raises: ProveError if it is none of them, or names one account twice.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ProveError(f"{path}: is larger than {LARGEST_BYTES >> 20} MiB")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as why:
        reason = why.strerror if isinstance(why, OSError) else "no UTF-8"
        raise ProveError(f"{path}: the actors cannot be read: {reason}") from why
    found = _of_json(text, path) if text.lstrip()[:1] in ("{", "[") else _of_csv(text, path)
    if not found:
        raise ProveError(f"{path}: names no account; give account,actor in lines, or a scan's findings.json")
    return found


def _of_json(text: str, path: Path) -> dict[str, str]:
    try:
        document = json.loads(text)
        if isinstance(document, dict) and "campaigns" in document:
            pairs = [
                (account, campaign["id"])
                for campaign in document["campaigns"]
                for account in campaign["accounts"]
            ]
        elif isinstance(document, dict):
            pairs = list(document.items())
        else:
            pairs = [(row["account"], row["actor"]) for row in document]
    except (ValueError, KeyError, TypeError, RecursionError) as why:
        raise ProveError(
            f"{path}: is no list of actors ({type(why).__name__}: {why}); give an object account: actor"
        ) from None
    return _once(pairs, path)


def _of_csv(text: str, path: Path) -> dict[str, str]:
    rows = csv.DictReader(text.splitlines())
    if not {"account", "actor"} <= set(rows.fieldnames or ()):
        found = ", ".join(rows.fieldnames or ()) or "nothing"
        raise ProveError(f"{path}:1: actors come as the columns account and actor; found: {found[:200]}")
    return _once([(row["account"], row["actor"]) for row in rows], path)


def _once(pairs: list[tuple[object, object]], path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for account, actor in pairs:
        if not isinstance(account, str) or not isinstance(actor, str) or not account or not actor:
            raise ProveError(f"{path}: {account!r}: {actor!r}: an account and its actor are names")
        if found.setdefault(account, actor) != actor:
            raise ProveError(f"{path}: account {account!r} belongs to {found[account]!r} and to {actor!r}")
    return found
