"""Which of a gateway's processes go by the state as it is now, by what each of them says of itself.

A worker says so at once when it has taken up a change, and every second. One that is being started reads the
state before it takes its first client. It changes nothing.
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

PATIENCE_S = 1.0  # a change is in force everywhere by then, or whoever made it is told that it is not
FLEET_PATIENCE_S = 2.0  # the same for all gateways of a fleet
AGAIN_S = 0.02
JUST_NOW_US = 15_000_000  # they say so each second; later the number may be another process's
HEARD_US = 2_000_000  # by then whoever serves has said so in a folder that was put in another's place


class NotInForce(StillwatchError):
    """A change is written down, but not every process that serves clients goes by it."""


def wait_until_in_force(
    folder: Folder, version: Version, put_back: PutBack | None, patience_s: float = PATIENCE_S
) -> None:
    """Wait until every process that serves goes by this version, or a later one.

    put_back: that a copy was put in the state's place. Just after that those who serve may not have said so
    yet: it waits until they have had the time.

    Raises: NotInForce naming those that do not within `patience_s`.
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
    """Wait until every gateway of a fleet says that all its processes go by this version, or a later one.

    Raises: NotInForce naming those that do not in `FLEET_PATIENCE_S`; all, where they cannot be asked.
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
    """Name the processes that live and do not go by this version, or a later one, each with what it has."""
    return [text for name, says in _living(folder) if (text := _lag(name, says, version))]


def _living(folder: Folder) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each process that serves this folder, with what it says of itself.

    Who holds the lock serves the folder. After a copy was put in the place of one that is served, nobody
    holds the new lock: then those that gave a sign just now do.
    """
    is_served = running_pid(folder) is not None
    for path in sorted([*folder.run.glob("worker-*.json"), *folder.run.glob("hooks.json")]):
        says = heartbeat.read(path)
        pid, at_us = says.get("pid"), says.get("at")
        just_now = isinstance(at_us, int) and abs(utc_us() - at_us) < JUST_NOW_US
        if isinstance(pid, int) and (is_served or just_now) and _lives(pid):
            yield path.stem, says


def _lives(pid: int) -> bool:
    """Whether a process is there and not a corpse that its parent has not looked at yet."""
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
