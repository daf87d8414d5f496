"""Counts what an export holds and describes it in words. It lets nothing leave."""

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
    """Sum up what is about to leave."""
    return Leaving(
        form=form,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        holds=tuple((label, count) for label, count in holds.items() if count),
        names_accounts=names_accounts,
        marking=marking,
    )


def describe_leaving(one: Leaving) -> list[str]:
    """Say it, a line a fact."""
    lines = [f"{label}: {count:,}" for label, count in one.holds]
    lines.append("prompts, answers and their words: none")
    lines.append("names of accounts: as they are" if one.names_accounts else "names of accounts: none")
    if one.marking:
        lines.append(f"marked TLP:{one.marking.upper()}")
    lines.append(f"{one.bytes:,} bytes, SHA-256 {one.sha256}")
    return lines
