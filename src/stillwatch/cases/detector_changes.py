"""People's changes of detectors' states: the newest one of each."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from stillwatch.cases import DetectorState
from stillwatch.cases.store import Store
from stillwatch.cases.tables import detector_states


def newest_changes(db: Connection) -> dict[str, Mapping[str, Any]]:
    """Return the valid rows of `detector_states`, by detector; none for a detector that nobody has set."""
    d = detector_states.c
    newest = select(func.max(d.change)).group_by(d.detector)
    rows = db.execute(select(detector_states).where(d.change.in_(newest))).mappings()
    return {row["detector"]: dict(row) for row in rows}


def states_set(store: Store) -> dict[str, DetectorState]:
    """Return the states of detectors that a person has set."""
    with store.reading() as db:
        return {name: DetectorState(row["state"]) for name, row in newest_changes(db).items()}
