"""A live outcome as JSON and back, so that several seeds can be put side by side. It measures nothing."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stillwatch.errors import InputError
from stillwatch.range.live import Arm, LeakPoint, Learnt, LiveOutcome, StudentScore


def as_dict(outcome: LiveOutcome) -> dict[str, Any]:
    """Everything measured."""
    return asdict(outcome) | {"folder": str(outcome.folder)}


def arm_of(told: Mapping[str, Any]) -> Arm:
    """One arm as it was written."""
    return Arm(**{**told, "marks": tuple(LeakPoint(**m) for m in told["marks"])})


def outcome_of(told: Mapping[str, Any]) -> LiveOutcome:
    """An outcome as it was written; its folder and what it took may be missing.

    Raises: InputError where it is none.
    """
    try:
        shares = {
            name: told[name] and StudentScore(**told[name]) for name in ("teacher", "untrained", "drilled")
        }
        return LiveOutcome(
            scene=told["scene"],
            seed=told["seed"],
            arms=tuple(arm_of(a) for a in told["arms"]),
            learnt=tuple(Learnt(**{**x, "share": StudentScore(**x["share"])}) for x in told["learnt"]),
            folder=Path(told.get("folder", "")),
            manifest=dict(told["manifest"]),
            took=dict(told.get("took", {})),
            **shares,
        )
    except (KeyError, TypeError, AttributeError) as why:
        raise InputError(f"this is no outcome of a live run ({type(why).__name__}: {why})") from why
