"""Counts the content of an export and describes it in words."""

import hashlib
from collections.abc import Mapping

from stillwatch.cases.exports import Form, Leaving


def leaving(
    form: Form,
    data: bytes,
    holds: Mapping[str, int],
    marking: str | None = None,
    names_accounts: bool = False,
) -> Leaving:
    """Summarise what is about to leave."""
    return Leaving(
        form=form,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        holds=tuple((label, count) for label, count in holds.items() if count),
        names_accounts=names_accounts,
        marking=marking,
    )


def describe_leaving(leaving: Leaving) -> list[str]:
    """Return the summary, one fact per line."""
    lines = [f"{label}: {count:,}" for label, count in leaving.holds]
    lines.append("prompts, answers and their words: none")
    lines.append("names of accounts: as they are" if leaving.names_accounts else "names of accounts: none")
    if leaving.marking:
        lines.append(f"marked TLP:{leaving.marking.upper()}")
    lines.append(f"{leaving.bytes:,} bytes, SHA-256 {leaving.sha256}")
    return lines
