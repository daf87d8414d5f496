"""The storage that all gateways of a fleet write to: segments by gateway, and the one detector's findings.

`segments` and `detector` of a gateway's own folder become links into it, so that readers see the fleet's.
Each gateway writes its segments into a folder of its name, which no other gateway writes to. In a fleet with
an object store, that folder is a copy on the gateway's own disk (`fleet.mirror`).
"""

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from stillwatch.errors import refuse_os_errors
from stillwatch.gateway.fleet.store import ObjectStore
from stillwatch.gateway.folder import OWN_SEGMENTS, Folder, FolderError, derive
from stillwatch.new_file import replace_file

COPY = "shared"  # in a gateway's folder: its copy of the object store
NOTES = "store.json"  # in the copy: this gateway's identity and position in the store
FLEET_MARK, OWNER_MARK = "fleet", "gateway"  # files that name the owner of a folder


def use_shared(folder: Folder, shared: Path, gateway: str) -> str | None:
    """Make a gateway's folder write to the fleet's. Returns a warning if the folder it used before is away.

    Raises: FolderError with advice.
    """
    own = shared / "segments" / gateway
    if _is_away(folder, shared, own):
        return (
            f"{shared}: is not mounted, or empty; exchanges wait in {folder.wal} until it is back. Where it "
            f"is lost for good: delete {folder.path / OWN_SEGMENTS} and start again"
        )
    with refuse_os_errors(FolderError, f"{shared}: cannot be used"):
        for below in (own, shared / "detector"):
            below.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = derive(folder.secret(), b"fleet").hex()
        if _mark(shared / FLEET_MARK, secret) != secret:
            raise FolderError(
                f"{shared}: is another fleet's: its gateways have another secret; give a folder of this "
                f"fleet's, or, where no gateway uses it any more, delete {shared / FLEET_MARK}"
            )
        here = f"{socket.gethostname()}:{folder.path}"
        if (writer := _mark(shared / "segments" / f".{gateway}.{OWNER_MARK}", here)) != here:
            raise FolderError(
                f"{own}: is written by {writer}; start this gateway with another --gateway NAME, or, where "
                f"that one is no more and its folder lies here now, delete "
                f"{own.parent}/.{gateway}.{OWNER_MARK}"
            )
        if not (folder.path / OWN_SEGMENTS).is_symlink() and any(own.glob("*/*.parquet")):
            raise FolderError(
                f"{own}: holds exchanges of a gateway whose folder this one is not: its numbers would come "
                "again. Start this one with another --gateway NAME"
            )
        _link(folder.segments, shared / "segments", own)
        _link(folder.detector, shared / "detector", None)
        _point(folder.path / OWN_SEGMENTS, own)
    return None


def _is_away(folder: Folder, shared: Path, own: Path) -> bool:
    """Return whether the folder that this gateway wrote to is missing: an empty mount point must not be used.

    Files written there are hidden when the mount is back, and the recorder would number from the beginning.
    """
    link = folder.path / OWN_SEGMENTS
    return link.is_symlink() and link.readlink() == own and not os.path.exists(shared / FLEET_MARK)


def enter_store(folder: Folder, store: ObjectStore, gateway: str) -> None:
    """Take a gateway's place in the object store, or confirm that it is its own.

    Raises: FolderError if the store is another fleet's, the name is another gateway's, or this folder is
    older than what it has uploaded; StoreError, StoreAway.
    """
    root = f"s3://{store.address.root}"
    notes = read_notes(folder, store)
    if "id" not in notes:
        notes = write_notes(folder, store, id=secrets.token_hex(8))
    _claim(store, "fleet/mark", f"{root}: is another fleet's: its gateways have another secret")
    _claim(
        store,
        f"gateways/{gateway}/{notes['id']}",
        f"{root}/segments/{gateway}: is written by a gateway whose folder this one is not; start this one "
        "with another --gateway NAME",
    )
    from stillwatch.gateway.record.segments import last_checkpoint  # loads Arrow: only in such a fleet

    newest = last_checkpoint(folder)[0]
    later = [stored for stored in store.objects(f"segments/{gateway}") if _last_number(stored.name) > newest]
    if store.first_whole(later, ".parquet"):  # somebody else may have written these
        raise FolderError(
            f"{folder.path}: is older than what it has put into {root}, as after a restore: its numbers "
            "would come again. Start it with another --gateway NAME"
        )
    if "entered" not in notes:
        write_notes(folder, store, entered=True)


def _last_number(name: str) -> int:
    """Return the last number of a segment from its object's name; 0 if it is not a segment."""
    from stillwatch.gateway.record.segments import segment

    path = Path(name)
    named = segment(Path(path.name.partition(".")[0] + path.suffix))
    return named.last if named else 0


def _claim(store: ObjectStore, mark: str, refusal: str) -> None:
    """Create a mark if there is none. Raises: FolderError if there is another."""
    below = mark.rpartition("/")[0]
    full = f"{mark}.{store.code(mark, iter([b'']))}"
    names = {stored.name for stored in store.objects(below)}
    if not names:
        store.put_bytes(mark, b"")
        names = {stored.name for stored in store.objects(below)}
        if names - {full}:  # two at once: both withdraw
            store.delete(full)
    if others := sorted(names - {full}):
        raise FolderError(f"{refusal}. Where nobody uses it any more, delete {', '.join(others)}")


def has_entered(folder: Folder, store: ObjectStore) -> bool:
    """Return whether this gateway has a place in the store: then it also starts while the store is away."""
    return "entered" in read_notes(folder, store)


def read_notes(folder: Folder, store: ObjectStore) -> dict[str, Any]:
    """Return this gateway's notes about the store; for another store only its own id."""
    try:
        notes = json.loads((folder.path / COPY / NOTES).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as why:
        raise FolderError(f"{folder.path / COPY / NOTES}: cannot be read: {why}") from why
    return notes if notes.get("root") == store.address.root else {k: v for k, v in notes.items() if k == "id"}


def write_notes(folder: Folder, store: ObjectStore, **more: Any) -> dict[str, Any]:
    """Add to this gateway's notes about the store."""
    notes = read_notes(folder, store) | {"root": store.address.root} | more
    (folder.path / COPY).mkdir(exist_ok=True, mode=0o700)
    replace_file(folder.path / COPY / NOTES, [json.dumps(notes).encode()])
    return notes


def use_own(folder: Folder) -> None:
    """Make a gateway's folder keep its own segments again; what it wrote stays where it is."""
    with refuse_os_errors(FolderError, f"{folder.path}: cannot be used"):
        for path in (folder.segments, folder.detector, folder.path / OWN_SEGMENTS):
            if path.is_symlink():
                path.unlink()
                if path.name != OWN_SEGMENTS:
                    path.mkdir(mode=0o700)


def _mark(path: Path, text: str) -> str:
    """Create a mark if there is none; return its text."""
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.link(temporary, path)  # fails if there is one, also on a network file system
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_text(encoding="utf-8").strip()


def _link(path: Path, target: Path, move_to: Path | None) -> None:
    """Replace a folder of ours by a link."""
    if not path.is_symlink() and path.is_dir():
        if any(path.iterdir()):
            if move_to is not None:
                raise FolderError(
                    f"{path}: holds exchanges of before there was a fleet; move them first: "
                    f"mv {path}/* {move_to}/"
                )
            path.rename(path.with_name(f"{path.name}.before-fleet"))  # rebuilt from the segments
        else:
            path.rmdir()
    _point(path, target)


def _point(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    temporary = path.with_name(f".{path.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)
