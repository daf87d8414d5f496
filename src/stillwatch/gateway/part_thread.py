"""A part of the gateway that runs in a thread of the supervisor."""

import threading
from abc import ABC, abstractmethod


class PartThread(ABC):
    """Runs `_run` in a thread from `start` on, until `stop` sets `_stop`."""

    name = "part"

    def __init__(self) -> None:
        self._stop = threading.Event()

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stop.set()

    @abstractmethod
    def _run(self) -> None:
        """Do the part's work until `_stop` is set."""
