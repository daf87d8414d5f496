"""The folder that all gateways of a fleet write to: segments by gateway, and what the one detector finds.

`segments` and `detector` of a gateway's own folder become links into it, so whoever reads them reads the
fleet's. Each gateway writes its segments into a folder of its name, which no other one writes to. It writes
none itself.
"""

import os
import socket
from pathlib import Path

from stillwatch.errors import refuse_os_errors
from stillwatch.gateway.folder import OWN_SEGMENTS, Folder, FolderError, derive

FLEET_MARK, OWNER_MARK = "fleet", "gateway"  # files that say whose a folder is


def use_shared(folder: Folder, shared: Path, gateway: str) -> str | None:
    """Have a gateway's folder write to the fleet's. Gives a warning where what it wrote to before is away.

    Raises: FolderError with what to do.
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
    """Whether a folder that this gateway wrote to is not there: a mount's empty place must not be begun anew.

    What is written there is hidden when the mount is back, and the recorder would number from the beginning.
    """
    link = folder.path / OWN_SEGMENTS
    return link.is_symlink() and link.readlink() == own and not os.path.exists(shared / FLEET_MARK)


def use_own(folder: Folder) -> None:
    """Have a gateway's folder keep its own segments again; what it wrote stays where it is."""
    with refuse_os_errors(FolderError, f"{folder.path}: cannot be used"):
        for path in (folder.segments, folder.detector, folder.path / OWN_SEGMENTS):
            if path.is_symlink():
                path.unlink()
                if path.name != OWN_SEGMENTS:
                    path.mkdir(mode=0o700)


def _mark(path: Path, text: str) -> str:
    """Write a mark where there is none; give what it says."""
    beside = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        beside.write_text(text + "\n", encoding="utf-8")
        os.link(beside, path)  # fails where there is one, also on a network's file system
    except FileExistsError:
        pass
    finally:
        beside.unlink(missing_ok=True)
    return path.read_text(encoding="utf-8").strip()


def _link(path: Path, target: Path, move_to: Path | None) -> None:
    """Put a link in the place of a folder of ours."""
    if not path.is_symlink() and path.is_dir():
        if any(path.iterdir()):
            if move_to is not None:
                raise FolderError(
                    f"{path}: holds exchanges of before there was a fleet; move them first: "
                    f"mv {path}/* {move_to}/"
                )
            path.rename(path.with_name(f"{path.name}.before-fleet"))  # it is made again from the segments
        else:
            path.rmdir()
    _point(path, target)


def _point(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    beside = path.with_name(f".{path.name}.link")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    os.replace(beside, path)
