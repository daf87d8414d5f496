"""The state of the gateway, part by part, from the files that its processes write into the folder.

`failing` means that clients are not served. Any other fault is `degraded`: the gateway serves without its
detector, and exchanges that it could not record are recorded as a gap.
"""

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from stillwatch.errors import StillwatchError
from stillwatch.exchanges.documents import unread_text
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control.in_force import NotInForce, behind, wait_until_in_force
from stillwatch.gateway.control.state import ControlState, PutBack
from stillwatch.gateway.fleet.store import PROCESS as STORE
from stillwatch.gateway.fleet.store import is_store
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.latest import newest_gap
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.units import DAY_US, HOUR_US, time_of, us

Status = Literal["ok", "degraded", "failing"]
OK: Status = "ok"
DEGRADED: Status = "degraded"
FAILING: Status = "failing"
FRESH_US = 15_000_000
RECORDER_LAG_S, STORE_LAG_S, DETECTOR_LAG_S = 30.0, 60.0, 60.0
EVALUATION_US = 20  # per exchange kept, at most: how far the detector may be behind every hour
GAP_LATELY_US = HOUR_US
PUT_BACK_LATELY_US = HOUR_US
SKEW_S = 2.0  # how much the clocks of a fleet's hosts may differ
OLD_NETWORKS_US = 183 * DAY_US
LOW_DISK_BYTES = 1 << 30
LOW_DISK_SHARE = 0.02


@dataclass(frozen=True)
class PartHealth:
    """One part of the gateway, with a sentence for the person on call."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True)
class Health:
    status: Status
    at_us: int
    parts: tuple[PartHealth, ...]


def health(
    folder: Folder,
    settings: GatewaySettings,
    now_us: int,
    refuses: bool = False,
    state: ControlState | None = None,
) -> Health:
    """Check every part; one that cannot be read is itself reported. It raises nothing.

    refuses: the policy prefers to serve nobody rather than without recording; state: what the workers should
    apply. A change that is on its way to them is waited for, a second at most.
    """
    standings = _check_stored(folder, state, now_us)
    live = [says for says in _of_workers(folder) if _fresh(says, now_us)]
    supervisor = heartbeat.read(folder.run / "supervisor.json")
    parts = (
        _workers(live, settings.workers),
        *([_hooks(folder, now_us)] if settings.hooks_port is not None else []),
        _capture(live, refuses),
        _recorder(folder, now_us),
        _networks(folder, settings, now_us),
        _window(folder, detector_process(folder, now_us, supervisor)),
        _cases(supervisor),
        *([_alerts(folder, now_us)] if "alerts" in supervisor.get("children", {}) else []),
        _terms(live, supervisor),
        *_coin(live),
        *_owners(live),
        *_fleet(supervisor),
        *([_store(folder, now_us)] if is_store(settings.shared) else []),
        _state(live, supervisor, standings),
        _supervisor(supervisor, now_us),
        _gaps(folder, now_us),
        _disk(folder),
    )
    statuses = {part.status for part in parts}
    overall = FAILING if FAILING in statuses else DEGRADED if DEGRADED in statuses else OK
    return Health(overall, now_us, parts)


def unready(folder: Folder, settings: GatewaySettings, now_us: int) -> str | None:
    """Return why no new client should be sent here; None if clients are served. It raises nothing."""
    if heartbeat.read(folder.run / "supervisor.json").get("stopping"):
        return "it stops"
    serves = any(_fresh(says, now_us) for says in _of_workers(folder))
    return None if serves else "no worker gives a sign that it serves"


def _of_workers(folder: Folder) -> list[dict[str, Any]]:
    """Return each worker's heartbeat, including those that take over or are about to end."""
    return [heartbeat.read(path) for path in sorted(folder.run.glob("worker-*.json"))]


def _fresh(says: dict[str, Any], now_us: int) -> bool:
    at = says.get("at")
    return isinstance(at, int) and abs(now_us - at) < FRESH_US


def _workers(live: list[dict[str, Any]], wanted: int) -> PartHealth:
    text = f"{min(len(live), wanted)} of {wanted} serve"  # more, while others take over
    if not live:
        return PartHealth("workers", FAILING, f"none of {wanted} gives a sign that it serves")
    return PartHealth("workers", OK if len(live) >= wanted else DEGRADED, text)


def _capture(live: list[dict[str, Any]], refuses: bool) -> PartHealth:
    errors = sorted({str(says["capture"]) for says in live if says.get("capture")})
    if errors:
        nobody = refuses and all(says.get("capture") for says in live)
        return PartHealth(
            "capture", FAILING if nobody else DEGRADED, f"not written down: {'; '.join(errors)}"
        )
    return PartHealth("capture", OK, "every exchange is written down before it is forwarded")


def _coin(live: list[dict[str, Any]]) -> list[PartHealth]:
    """Report if coins cannot be thrown; otherwise nothing, since most gateways throw none."""
    errors = sorted({str(says["coin"]) for says in live if says.get("coin")})
    return (
        [PartHealth("coin", DEGRADED, f"no coins are thrown: {errors[0]}; serving goes on")] if errors else []
    )


def _owners(live: list[dict[str, Any]]) -> list[PartHealth]:
    """Report if the owners of stored objects cannot be looked up, or not be recorded; otherwise nothing."""
    errors = sorted({str(says["owners"]) for says in live if says.get("owners")})
    text = "whose what is cannot be looked up: stored objects, and models that may be somebody's, get 503"
    if errors:
        return [PartHealth("owners", DEGRADED, f"{text} ({errors[0]})")]
    waiting = sum(int(says.get("owners_waiting") or 0) for says in live)
    text = f"{waiting} new objects are known to the worker alone that saw them: objects.db takes nothing now"
    return [PartHealth("owners", DEGRADED, text)] if waiting else []


def _fleet(supervisor: dict[str, Any]) -> list[PartHealth]:
    """Report if the gateway is in a fleet: whether it learns of changes, and which members are silent."""
    says = supervisor.get("fleet")
    if not isinstance(says, dict):
        return []
    if says.get("error"):
        text = f"{says['error']}; what is known stays in force, changes cannot be made"
        return [PartHealth("fleet", DEGRADED, text)]
    texts = [f"no sign of {name}" for name in says.get("silent", [])]
    if says.get("other_terms"):
        texts.append(f"other terms than here are in force at {', '.join(says['other_terms'])}")
    ahead_s = float(says.get("clock_ahead_s", 0.0))
    if abs(ahead_s) > SKEW_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        texts.append(f"its clock is {abs(ahead_s):.1f} s {way} the database's; set it by NTP")
    who = f"{says.get('name')} is one of {says.get('gateways')} gateways"
    return [PartHealth("fleet", DEGRADED if texts else OK, "; ".join([who, *texts]))]


def _process(folder: Folder, name: str, now_us: int, most_lag_s: float, behind: str) -> PartHealth:
    says = heartbeat.read(folder.run / f"{name}.json")
    if not _fresh(says, now_us):
        since = f" since {_show_time(says['at'])}" if isinstance(says.get("at"), int) else ""
        return PartHealth(name, DEGRADED, f"gives no sign{since}; {behind}")
    lag_s = says.get("lag_s")
    lag_s = float(lag_s) if isinstance(lag_s, int | float) else 0.0
    if says.get("error"):
        return PartHealth(name, DEGRADED, f"{says['error']}; {behind}")
    if lag_s > most_lag_s:
        return PartHealth(name, DEGRADED, f"is {lag_s:.0f} s behind; {behind}")
    return PartHealth(name, OK, f"is {lag_s:.1f} s behind")


def _recorder(folder: Folder, now_us: int) -> PartHealth:
    part = _process(
        folder, "recorder", now_us, RECORDER_LAG_S, "exchanges wait in the log until it has caught up"
    )
    unread = heartbeat.read(folder.run / "recorder.json").get("unread_documents")
    return replace(part, text=f"{part.text}; {unread_text(unread)}") if unread else part


def _networks(folder: Folder, settings: GatewaySettings, now_us: int) -> PartHealth:
    """Report the recorder's table of networks, from which it fills in `asn`."""
    if not settings.networks:
        text = "no table is named: an office looks like rented servers; serve --networks FILE"
        return PartHealth("networks", OK, text)
    says = heartbeat.read(folder.run / "recorder.json").get("networks") or {}
    texts, old = [], False
    for file in says.get("files", []):
        changed = datetime.fromisoformat(file["changed"])
        old |= now_us - us(changed) > OLD_NETWORKS_US
        texts.append(
            f"{file['name']} of {changed:%Y-%m-%d}, {file['ranges']:,} ranges, SHA-256 {file['sha256'][:12]}"
            + (
                f", unusable lines: {file['unusable']:,}, as {file['examples'][0]}"
                if file["unusable"]
                else ""
            )
        )
    if says.get("error"):
        texts.append(f"{says['error']}; {'what was read before stays' if texts else 'asn stays unknown'}")
    if old:
        texts.append("older than half a year: systems change hands; get a new one")
    bad = old or says.get("error")
    return PartHealth("networks", DEGRADED if bad else OK, "; ".join(texts) or "not read yet")


def _hooks(folder: Folder, now_us: int) -> PartHealth:
    says = heartbeat.read(folder.run / "hooks.json")
    if not _fresh(says, now_us):
        return PartHealth(
            "hooks", DEGRADED, "gives no sign; other gateways get no decisions and no rows are taken"
        )
    for name in ("capture", "owners", "terms_error", "tables_error"):
        if says.get(name):
            return PartHealth("hooks", DEGRADED, str(says[name]))
    return PartHealth("hooks", OK, "answers other gateways")


def _store(folder: Folder, now_us: int) -> PartHealth:
    """Report what waits for the fleet's object store, and what this fleet did not write there."""
    part = _process(folder, STORE, now_us, STORE_LAG_S, "exchanges wait on this disk, nothing is lost")
    says = heartbeat.read(folder.run / f"{STORE}.json")
    texts = [part.text]
    if says.get("waiting"):
        texts.append(f"{says['waiting']:,} segments wait, {says['waiting_bytes'] / 1e6:.1f} MB")
    if says.get("strange"):
        named = "; ".join(map(str, says.get("strange_named", [])))
        texts.append(f"{says['strange']} objects are left alone: {named}")
    status = DEGRADED if says.get("strange") else part.status
    return PartHealth(STORE, status, "; ".join(texts))


def _alerts(folder: Folder, now_us: int) -> PartHealth:
    says = heartbeat.read(folder.run / "alerts.json")
    if not _fresh(says, now_us):
        return PartHealth("alerts", DEGRADED, "gives no sign; people are told of cases later")
    if says.get("error"):
        return PartHealth("alerts", DEGRADED, str(says["error"]))
    return PartHealth(
        "alerts", OK, f"{says.get('sent', 0)} sent since its start, {says.get('waiting', 0)} wait"
    )


def detector_process(folder: Folder, now_us: int, supervisor: dict[str, Any]) -> PartHealth:
    """Report whether the detector runs, here or at another gateway of the fleet, and is not behind."""
    says = supervisor.get("fleet")
    if isinstance(says, dict) and not says.get("leads"):
        if says.get("detector") and says["detector"] not in says.get("silent", []):
            return PartHealth("detector", OK, f"runs at gateway {says['detector']}")
        return PartHealth("detector", DEGRADED, "no gateway that is known runs it; findings come late")
    exchanges = heartbeat.read(folder.run / "detector.json").get("exchanges")
    lag_s = DETECTOR_LAG_S + (exchanges * EVALUATION_US / 1e6 if isinstance(exchanges, int) else 0.0)
    return _process(folder, "detector", now_us, lag_s, "serving goes on, findings come late")


def _window(folder: Folder, detector: PartHealth) -> PartHealth:
    """Report the detector and what it cannot see: it is well only if its rules have all that they need."""
    unseen = heartbeat.read(folder.run / "detector.json").get("unseen")
    if not isinstance(unseen, dict) or not unseen.get("text"):
        return detector
    status = DEGRADED if unseen.get("blind") else detector.status
    return PartHealth("detector", status, f"{detector.text}; it cannot see everything. {unseen['text']}")


def _cases(supervisor: dict[str, Any]) -> PartHealth:
    error = supervisor.get("cases")
    if error:
        return PartHealth("cases", DEGRADED, f"behind: {error}; they are told later")
    return PartHealth("cases", OK, "findings and actions are told")


def _terms(live: list[dict[str, Any]], supervisor: dict[str, Any]) -> PartHealth:
    errors = [str(says["terms_error"]) for says in live if says.get("terms_error")]
    errors += [str(_enforcer(supervisor)["terms"])] if "terms" in _enforcer(supervisor) else []
    versions = sorted(
        {int(says["terms_version"]) for says in live if isinstance(says.get("terms_version"), int)}
    )
    shown = ", ".join(map(str, versions)) or "?"
    if errors:
        return PartHealth("terms", DEGRADED, f"version {shown} in force; {errors[0]}")
    if len(versions) > 1:
        return PartHealth(
            "terms", DEGRADED, f"workers differ: versions {shown}; for more than a moment it is a fault"
        )
    return PartHealth("terms", OK, f"version {shown} in force")


def _state(live: list[dict[str, Any]], supervisor: dict[str, Any], stored: PartHealth) -> PartHealth:
    errors = [str(says["tables_error"]) for says in live if says.get("tables_error")]
    errors += [f"{part}: {why}" for part, why in _enforcer(supervisor).items() if part != "terms"]
    if errors:
        return PartHealth("standings", DEGRADED, f"the last good ones stay; {errors[0]}")
    return stored


def _check_stored(folder: Folder, state: ControlState | None, now_us: int) -> PartHealth:
    """Compare the enforcement statuses that the workers apply with those in the database."""
    if state is None:
        return PartHealth("standings", OK, "keys and standings can be read")
    try:
        version, put_back = state.version(), state.put_back()
        wait_until_in_force(folder, version, put_back)
        late = behind(folder, version)
    except NotInForce as why:
        return PartHealth("standings", DEGRADED, str(why))
    except (StillwatchError, OSError) as why:
        return PartHealth("standings", DEGRADED, f"the workers keep the last good ones; {why}")
    if late:
        return PartHealth("standings", DEGRADED, "; ".join(late))
    text = f"every worker applies keys and standings of revision {version.revision}"
    if put_back is None:
        return PartHealth("standings", OK, text)
    text += f"; {put_back_text(put_back)}"
    return PartHealth("standings", DEGRADED if now_us - put_back.at_us < PUT_BACK_LATELY_US else OK, text)


def put_back_text(put_back: PutBack) -> str:
    """Describe what it means that the state was replaced by a copy."""
    until = "" if put_back.last_us is None else f" of {_show_time(put_back.last_us)}"
    missing = put_back.known_revision - put_back.revision
    later = f"{missing} later changes are" if missing > 0 else "later changes, if there were any, are"
    return (
        f"state.db is a copy{until} that was put back {_show_time(put_back.at_us)}: {later} missing, "
        "and keys that were revoked since work again"
    )


def _enforcer(supervisor: dict[str, Any]) -> dict[str, Any]:
    enforcer = supervisor.get("enforcer", {})
    errors = enforcer.get("errors", {}) if isinstance(enforcer, dict) else {}
    return errors if isinstance(errors, dict) else {}


def _supervisor(says: dict[str, Any], now_us: int) -> PartHealth:
    if not _fresh(says, now_us):
        return PartHealth("supervisor", DEGRADED, "gives no sign: a process that ends is not started again")
    if says.get("stopping"):
        return PartHealth("supervisor", FAILING, "stops: new clients are refused, open streams end")
    if says.get("folder"):
        return PartHealth("supervisor", DEGRADED, str(says["folder"]))
    children = says.get("children", {})
    fleet = says.get("fleet")
    elsewhere = {"detector"} if isinstance(fleet, dict) and not fleet.get("leads") else set()
    down = [
        f"{name} ({child['ended']})"
        for name, child in sorted(children.items())
        if child["pid"] is None and name not in elsewhere
    ]
    if down:
        return PartHealth("supervisor", DEGRADED, f"waits to start again: {', '.join(down)}")
    restarts = sum(child["restarts"] for child in children.values())
    return PartHealth(
        "supervisor", OK, f"{len(children)} processes, {restarts} restarts since it was started"
    )


def _gaps(folder: Folder, now_us: int) -> PartHealth:
    try:
        gap = newest_gap(folder.gaps)
    except OSError as why:
        return PartHealth("gaps", DEGRADED, f"{folder.gaps}: cannot be read: {why.strerror}")
    if gap is None:
        return PartHealth("gaps", OK, "none on record")
    text = f"the last ended {_show_time(gap.until_us)}: {gap.exchanges} exchanges, {gap.reason}"
    return PartHealth("gaps", DEGRADED if abs(now_us - gap.until_us) < GAP_LATELY_US else OK, text)


def _disk(folder: Folder) -> PartHealth:
    try:
        disk = shutil.disk_usage(folder.path)
    except OSError as why:
        return PartHealth("disk", DEGRADED, f"{folder.path}: {why.strerror}")
    text = f"{disk.free / 1e9:.1f} GB free of {disk.total / 1e9:.1f}"
    low = disk.free < max(LOW_DISK_BYTES, int(disk.total * LOW_DISK_SHARE))
    return PartHealth(
        "disk", DEGRADED if low else OK, text + ("; capture ends when it is full" if low else "")
    )


def _show_time(at_us: int) -> str:
    return time_of(at_us).strftime("%Y-%m-%d %H:%M:%S UTC")
