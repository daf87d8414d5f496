"""Which of a gateway's processes apply the present state, by their own heartbeats.

A worker reports at once when it has applied a change, and every second. A starting one reads the state before
it accepts its first client.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillwatch.errors import StillwatchError
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control.mark import Version
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import PutBack
from stillwatch.gateway.fleet.database import FleetDatabase, behind_in, read_gateways
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.instance import running_pid
from stillwatch.units import utc_us

PATIENCE_S = 1.0  # a change is in force everywhere by then, or its author is told that it is not
FLEET_PATIENCE_S = 2.0  # the same for all gateways of a fleet
AGAIN_S = 0.02
JUST_NOW_US = 15_000_000  # of the heartbeat: they come each second; later the pid may be another process's
HEARD_US = 2_000_000  # by then serving processes have reported in a folder that replaced another


class NotInForce(StillwatchError):
    """A change is recorded, but not every process that serves clients applies it."""


def wait_until_in_force(
    folder: Folder, version: Version, put_back: PutBack | None, patience_s: float = PATIENCE_S
) -> None:
    """Wait until every process that serves applies this version, or a later one.

    put_back: a copy replaced the state. Just after that the serving processes may not have reported yet: the
    call waits until they have had the time. Raises: NotInForce naming those that do not within `patience_s`.
    """
    unheard_us = 0 if put_back is None else put_back.at_us + HEARD_US - utc_us()
    if 0 < unheard_us <= HEARD_US:
        time.sleep(unheard_us / 1e6)
    until = time.monotonic() + patience_s
    while late := behind(folder, version):
        if time.monotonic() >= until:
            raise NotInForce(
                f"it is written down as revision {version.revision}, but not in force everywhere: "
                f"{'; '.join(late)}. It counts there as soon as they read it: see /health"
            )
        time.sleep(AGAIN_S)


def wait_for_fleet(fleet: FleetDatabase, version: Version) -> None:
    """Wait until every gateway of a fleet reports that all its processes apply this version, or a later one.

    Raises: NotInForce naming those that do not in `FLEET_PATIENCE_S`; all, if the database cannot be read.
    """
    until = time.monotonic() + FLEET_PATIENCE_S
    written = f"it is written down as revision {version.revision}"
    try:
        with fleet.connect() as db:
            while late := behind_in(read_gateways(db), version.revision):
                if time.monotonic() >= until:
                    raise NotInForce(
                        f"{written}, but not in force everywhere: {'; '.join(late)}. It counts there as "
                        "soon as they reach the database; `stillwatch fleet forget NAME` forgets a gateway "
                        "that is no more"
                    )
                time.sleep(AGAIN_S)
    except StateError as why:
        raise NotInForce(f"{written}, but whether it is in force everywhere cannot be told: {why}") from why


def behind(folder: Folder, version: Version) -> list[str]:
    """Name the living processes that do not apply this version or a later one, each with its own."""
    return [text for name, says in _living(folder) if (text := _lag(name, says, version))]


def _living(folder: Folder) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each process that serves this folder, with its heartbeat.

    The holder of the lock serves the folder. After a copy replaced a served one, nobody holds the new lock:
    then processes with a recent heartbeat count.
    """
    is_served = running_pid(folder) is not None
    for path in sorted([*folder.run.glob("worker-*.json"), *folder.run.glob("hooks.json")]):
        says = heartbeat.read(path)
        pid, at_us = says.get("pid"), says.get("at")
        just_now = isinstance(at_us, int) and abs(utc_us() - at_us) < JUST_NOW_US
        if isinstance(pid, int) and (is_served or just_now) and _lives(pid):
            yield path.stem, says


def _lives(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    except OSError:  # no /proc here
        return True
    return stat.rpartition(")")[2].split()[:1] not in (["Z"], ["X"])


def _lag(name: str, says: dict[str, Any], version: Version) -> str | None:
    if says.get("tables_error"):
        return f"{name} cannot read the state ({says['tables_error']})"
    revision = says.get("tables_revision")
    if says.get("tables_generation") != version.generation:
        return f"{name} goes by another state (revision {revision})"
    if not isinstance(revision, int) or revision < version.revision:
        return f"{name} goes by revision {revision}"
    return None
