"""Verifies the audit trail in the background, one check at a time, with progress and result.

A check covers the whole trail, or the records since the end of the last check.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from stillwatch.cases.audit import Broken, VerifiedTrail
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.audit.verify import TrailCheck
from stillwatch.cases.store import Store
from stillwatch.errors import StillwatchError

AT_ONCE_S = 0.15  # a result by then is shown at once


@dataclass(frozen=True)
class TrailCheckState:
    """The progress of a check, or the result of the last one."""

    running: bool = False
    whole: bool = True  # from the first record
    seen: int = 0  # records checked
    outcome: VerifiedTrail | Broken | None = None
    at_us: int | None = None  # time of the result
    trouble: str | None = None  # why it could not be finished


class TrailChecks:
    """The checks of one store's trail. Safe to share between threads."""

    def __init__(self, store: Store, now_us: Callable[[], int]) -> None:
        self._store, self._now_us = store, now_us
        self._lock = threading.Lock()
        self._check: TrailCheck | None = None
        self._thread: threading.Thread | None = None
        self._state = TrailCheckState()

    def start(self, whole: bool, wait_s: float = AT_ONCE_S) -> None:
        """Start a check if none is running; wait briefly for its end."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                if self._check is None:
                    trail = self._store.trail  # with its key: a trail rewritten under another fails
                    self._check = TrailCheck(
                        self._store, (trail.signer.key,) if isinstance(trail, Audit) else ()
                    )
                self._state = TrailCheckState(True, whole or not self._check.records_walked)
                self._thread = threading.Thread(target=self._run, args=(self._check, whole), daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(wait_s)

    def _run(self, check: TrailCheck, from_the_beginning: bool) -> None:
        outcome: VerifiedTrail | Broken | None = None
        trouble: str | None = "it ended in a fault of the program; its log says which"
        try:
            outcome, trouble = check.verify(from_the_beginning), None
        except StillwatchError as why:
            trouble = str(why)
        except DBAPIError as why:  # it could not even be opened
            trouble = f"{self._store.name}: the trail cannot be read: {' '.join(str(why.orig).split())}"
        finally:  # whatever happened, it has ended
            walked = self._state.whole
            self._state = TrailCheckState(
                False, walked, check.records_walked, outcome, self._now_us(), trouble
            )

    def state(self) -> TrailCheckState:
        """Return the present state."""
        state, check = self._state, self._check
        if not state.running or check is None:
            return state
        return TrailCheckState(True, state.whole, check.records_walked)
