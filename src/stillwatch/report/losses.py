"""What reading a log lost without refusing a line, as sentences for the report. It knows no format."""

import re
from collections.abc import Iterable

from stillwatch.exchanges.rejects import Rejects
from stillwatch.report.amounts import plural

# how OpenAI and those after it, Stripe, Google and an Authorization header begin a secret
_SECRET = re.compile(r"(?:sk|rk)[-_][A-Za-z0-9_-]{20,}|AIza[A-Za-z0-9_-]{30,}|[Bb]earer \S{16,}")


def secrets(accounts: Iterable[str]) -> int:
    """How many accounts are named by what looks like a live API key.

    >>> secrets(["acct-1", "sk-4f9a0c22d1e85b7736aa", "Bearer abcdefghijklmnop"])
    2
    """
    return sum(_SECRET.fullmatch(name) is not None for name in accounts)


def losses(rejects: Rejects, exchanges: int, dead_letters: str = "") -> tuple[str, ...]:
    """Sentences on texts that were not there, rows that were one, and values that were none.

    `exchanges` is how many the scan counted of the rows that `rejects` saw being read; `dead_letters` the
    file that says where each was.
    """
    said = []
    if rejects.without_prompt:
        which = "No exchange" if rejects.without_prompt >= rejects.rows else "Not every exchange"
        said.append(
            f"{which} has a prompt: {plural(rejects.without_prompt, 'row')} without one, of "
            f"{rejects.rows:,}. They count for volume and timing only; nothing in them can be tied to others."
        )
    again = rejects.rows - exchanges
    if again > 0:
        said.append(
            f"{plural(again, 'row')} repeated an earlier one (the same id, account and time, or equal in "
            "every column), and such rows count once. Unless one file was given twice, the counts here are "
            "too low: give the exchanges ids, or finer times."
        )
    if rejects.mended:
        said.append(
            f"{plural(rejects.mended, 'value')} could not be read and were left empty (half a character: "
            "replaced). The exchanges and accounts that they belong to count"
            + (f"; {dead_letters} says where." if dead_letters else ".")
        )
    return tuple(said)
