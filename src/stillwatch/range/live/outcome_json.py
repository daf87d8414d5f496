"""A live outcome as JSON and back, so that several seeds can be compared."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from stillwatch.errors import InputError
from stillwatch.range.live import LiveOutcome


def as_dict(outcome: LiveOutcome) -> dict[str, Any]:
    """Return all measurements."""
    return asdict(outcome) | {"folder": str(outcome.folder)}


def outcome_of(document: Mapping[str, Any]) -> LiveOutcome:
    """Read an outcome; its folder and its duration may be missing.

    Raises: InputError if it is not one.
    """
    try:
        return msgspec.convert(
            {"folder": "", **document}, LiveOutcome, dec_hook=lambda kind, text: kind(text)
        )
    except (msgspec.ValidationError, TypeError) as why:
        raise InputError(f"this is no outcome of a live run ({type(why).__name__}: {why})") from why
